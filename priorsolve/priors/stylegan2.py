"""StyleGAN2 (Karras et al. 2020) in plain PyTorch: styles scale the convolutions, noise is added, pictures grow block by block.

Tensor names are NVIDIA's; other publishers' files are renamed first (see `rosinality`, `tensorflow`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import copy
from itertools import accumulate, repeat
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.base import Noise
from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.fir import binomial
from priorsolve.priors.layout import numbered
from priorsolve.priors.mapping import MappingNetwork
from priorsolve.priors.style import StylePrior, finish, positive
from priorsolve.priors.stylegan2_frozen import Frozen, FrozenBlock, FrozenConvolution
from priorsolve.priors.stylegan2_layers import Block, Convolution, Picture
from priorsolve.types import Shape

_UNUSED = {
    "skip": re.compile(r"synthesis\.b\d+\.conv1\.resample_filter|synthesis\.b4\.resample_filter"),
    **dict.fromkeys(("resnet", "orig"), re.compile(r"synthesis\.b\d+\.(conv1\.)?resample_filter")),
}
"""NVIDIA's blocks and layers all have a filter, where nothing is resampled too; without a running picture no block's own is used."""
_BLOCK_LIMIT = 11


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are NVIDIA's StyleGAN2."""
    return "synthesis.b4.const" in state


@final
class StyleGAN2(StylePrior):
    """w+ → constant 4×4 → twice the side per block → picture. `blocks` are the mapping network, then 4², 8², … in order.

    In `features@k` of the skip architecture the running picture's channels follow the features', since both enter block k.
    Every size comes from the tensors: build one with `from_state`. `folded` sorts them for the CPU.
    """

    _frozen: Frozen | None

    def __init__(self, mapping: MappingNetwork, blocks: Mapping[str, Block], settings: Mapping[str, object]) -> None:
        super().__init__(mapping, settings)
        self.synthesis = nn.ModuleDict(blocks)
        self._frozen = None

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], settings: Mapping[str, object] | None = None) -> StyleGAN2:
        """The generator with NVIDIA's tensor names, in float32.

        Args:
            state: `mapping.*` and `synthesis.b{side}.*`. Without `mapping.w_avg` the mean style is estimated from 4096 codes.
            settings: `architecture` ("skip", "resnet" or "orig"; left out, the tensors tell), `conv_clamp` (a number; left out or None,
                nothing is clipped), `lr_multiplier` of the mapping network (0.01).

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape or not finite, or a setting makes no sense.
        """
        settings = settings or {}
        sides = _sides(state)
        architecture = settings.get("architecture") or _architecture(state)
        unused = _UNUSED.get(architecture) if isinstance(architecture, str) else None
        if unused is None:
            raise CheckpointError(f"has architecture {told(architecture)}; known are {', '.join(_UNUSED)}")
        clamp, multiplier = positive(settings, "conv_clamp"), positive(settings, "lr_multiplier") or 0.01
        state = {key: value for key, value in state.items() if not unused.fullmatch(key)}
        mapping = MappingNetwork(state, multiplier)
        blocks = {f"b{side}": Block(state, side, str(architecture), clamp, mapping.w_dim, last=side == sides[-1]) for side in sides}
        prior = cls(mapping, blocks, {"architecture": architecture, "conv_clamp": clamp, "lr_multiplier": multiplier})
        # other publishers' files leave the filters out
        finish(prior, {key: binomial() for key in prior.state_dict() if key.endswith("resample_filter")} | state)
        return prior

    @property
    def image_shape(self) -> Shape:
        last = self._synthesis[-1]
        return (last.torgb.channels, last.side, last.side)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.mapping, *self._synthesis]

    @property
    def slots(self) -> int:
        return 2 * len(self._synthesis)

    @property
    def filter_counts(self) -> Sequence[int]:
        return [max(len(layer.weight) for at, layer in self._slotted if at == slot) for slot in range(self.slots)]

    @property
    def style_sizes(self) -> Sequence[int]:
        return [len(layer.affine.bias) for block in self._synthesis for layer in block.layers]

    @property
    def feature_shapes(self) -> Sequence[Shape]:
        return [(block.inputs + self.drawn_channels, block.side // 2, block.side // 2) for block in self._synthesis[1:]]

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        return [(layer.side, layer.side) for layer in self._convolutions if layer.noisy]

    def noise_maps(self) -> Tensor:
        maps = [layer.noise_const.flatten() for layer in self._convolutions if layer.noisy]
        return torch.cat(maps)[None] if maps else super().noise_maps()

    @apart()
    def folded(self) -> StyleGAN2:
        if self.mapping.w_avg.device.type != "cpu":
            return self
        other = copy(self)
        other._modules = dict(self._modules)
        other._frozen = Frozen(self._synthesis, [slot for slot, _ in self._slotted])
        return other

    @property
    def _convolutions(self) -> list[Convolution]:
        return [layer for block in self._synthesis for layer in block.convolutions]

    @property
    def _synthesis(self) -> list[Block]:
        return [block for block in self.synthesis.values() if isinstance(block, Block)]

    @property
    def _slotted(self) -> list[tuple[int, Convolution | Picture]]:
        """Every layer and its row of w+; a block's colours share that of the next block's first convolution."""
        starts = accumulate((len(block.convolutions) for block in self._synthesis), initial=0)
        return [(start + i, layer) for start, block in zip(starts, self._synthesis, strict=False) for i, layer in enumerate(block.layers)]

    @property
    def drawn_channels(self) -> int:
        return self.image_shape[0] if self.settings["architecture"] == "skip" else 0

    def _styled(self, wplus: Tensor) -> list[Tensor]:
        if self._frozen is not None and wplus.ndim == 3:
            return self._frozen.styles(wplus)
        own = [(layer, wplus[:, slot]) for slot, layer in self._slotted]
        return [layer.affine(w[:, : len(layer.weight)] if w.ndim == 3 else w) for layer, w in own]

    def _run(self, styles: Sequence[Tensor], x: Tensor | None, start: int, stop: int, noise: Noise) -> Tensor:
        image: Tensor | None = None
        if x is not None and self.drawn_channels:
            x, image = x[:, : -self.drawn_channels], x[:, -self.drawn_channels :]
        blocks: Sequence[Block | FrozenBlock] = self._synthesis
        if self._frozen is not None and styles[0].ndim == 2:
            blocks = self._frozen.blocks
        at, noises = 0, iter(self._added(noise, [layer for block in blocks for layer in block.convolutions]))
        for k, block in enumerate(blocks, start=1):
            own = [next(noises) for _ in block.convolutions]
            if start <= k < stop:
                x, image = block(x, image, styles[at : at + len(block.layers)], own)
            at += len(block.layers)
        assert x is not None
        if stop == len(self.blocks):
            assert image is not None
            return image
        return x if image is None else torch.cat([x, image], dim=1)

    def _added(self, noise: Noise, convolutions: Sequence[Convolution | FrozenConvolution]) -> list[Tensor | None]:
        """What every convolution adds; drawn for all of them, so that the maps are the same wherever a picture is entered."""
        rng = torch.Generator().manual_seed(self.noise_seed)
        own = iter(self._split(noise)) if isinstance(noise, Tensor) else repeat(noise)
        return [layer.added(next(own), rng) if layer.noisy else None for layer in convolutions]


def _sides(state: Mapping[str, Tensor]) -> list[int]:
    """4, 8, 16, … as many as there are blocks."""
    count = len(numbered(state, "synthesis.b"))
    if not 1 <= count <= _BLOCK_LIMIT:
        raise CheckpointError(f"has tensors of {count} blocks synthesis.b4, b8, …; expected 1 to {_BLOCK_LIMIT}")
    return [4 << i for i in range(count)]


def _architecture(state: Mapping[str, Tensor]) -> str:
    """What the names tell: a way round every block, colours at every side, or neither."""
    if "synthesis.b8.skip.weight" in state:
        return "resnet"
    return "skip" if "synthesis.b4.torgb.weight" in state else "orig"
