"""MobileStyleGAN (Belousov 2021): a small StyleGAN2 student, from its constants alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from priorsolve.priors.base import NoiseMode, Prior
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.mobilestylegan_layers import First, Head, Layer, Noise, Styles
from priorsolve.priors.mobilestylegan_layers import Mapping as MappingNetwork
from priorsolve.priors.whitening import Whitening
from priorsolve.types import Codes, Images, Shape

_HEAD_CHANNELS = (3, 12)


@final
class MobileStyleGAN(Prior):
    """z → w → one style per modulation → 4×4 features, doubled by every layer → picture. Build one with `from_state`.

    The spaces, n being 512 and L the number of modulations (23 at 1024²):

    - `z` (n,) is N(0, I); only its direction counts. `w` (n,) and `w+` (L, n), one w per modulation, in the order of the network:
      the first convolution's, then upsampling's and the two convolutions' of every layer, then the head's.
    - `s` (S,): the styles themselves, one number per modulated channel, in that order.
    - `p_n` (n,): whitened w, see `Whitening`; |p_n|² measures how unusual a code is.
    - `features@k` (C, H, W): what enters block k ≥ 1. The later blocks' styles are then those of w̄; `decode_from` takes others.

    Maps lead z → w → w+ → s → features, p_n ↔ w, and from features to later ones. `truncation` moves every w on the way, w+ included,
    toward w̄. `noise="random"` draws the maps of `noise_seed`, as strong as the network's own and the same for every picture of a batch,
    so that none depends on its neighbours. Nothing is left to fold: the tensors have the network's constants inside.
    """

    noise_seed: int = 0

    def __init__(
        self, mapping: MappingNetwork, styles: Styles, first: First, layers: Sequence[Layer], head: Head, whitening: Whitening
    ) -> None:
        super().__init__()
        self.mapping, self.styles, self.first = mapping, styles, first
        self.layers, self.head, self.whitening = nn.ModuleList(layers), head, whitening
        width, (channels, side) = styles.weight.shape[1], first.input.shape[:2]
        spaces: dict[str, Shape] = {
            **{"z": (width,), "w": (width,), "w+": (len(styles.sizes), width)},
            **{"s": (sum(styles.sizes),), "p_n": (width,)},
        }
        for k, layer in enumerate(layers):
            spaces[f"features@{k + 1}"] = (channels, side, side)
            channels, side = len(layer.conv2.finish.bias), 2 * side
        spaces[f"features@{len(layers) + 1}"] = (channels, side, side)
        self._spaces = spaces
        self._side = side * (2 if len(head.bias) == 12 else 1)
        self.requires_grad_(False).eval()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MobileStyleGAN:
        """The network whose tensors are named as in `state_dict()`, in float32; without `whitening.*`, that is measured anew.

        Raises:
            CheckpointError: a tensor is missing, unknown or of a shape that does not fit the others; the line names it.
        """
        state = {key: value.detach().to(torch.float32) for key, value in state.items()}
        bad = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise CheckpointError(f"NaN or infinite values in {', '.join(bad[:5])}; the file is damaged, so use another copy")
        try:
            prior = cls(*_skeleton(state))
        except KeyError as error:
            raise CheckpointError(f"{error.args[0]} is missing; it is not a MobileStyleGAN, or only part of one") from None
        except (IndexError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"not a MobileStyleGAN: its tensors' shapes disagree ({str(error)[:120]})") from None
        if not any(key.startswith("whitening.") for key in state):
            mapping = {key.removeprefix("mapping."): value for key, value in state.items() if key.startswith("mapping.")}
            prior.mapping.load_state_dict(mapping, assign=True)
            measured = Whitening.measured(prior.mapping, prior.styles.weight.shape[1])
            state |= {f"whitening.{key}": value for key, value in measured.items()}
        try:
            prior.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise CheckpointError(f"not a MobileStyleGAN: {' '.join(str(error).split())[:300]}") from None
        prior.requires_grad_(False)
        return prior

    @property
    def image_shape(self) -> Shape:
        return (3, self._side, self._side)

    @property
    def spaces(self) -> Mapping[str, Shape]:
        return self._spaces

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.first, *self.layers, self.head]

    @property
    def w_mean(self) -> Tensor:
        """w̄ for each modulation, (L, n)."""
        return self.whitening.w_mean.expand(len(self.styles.sizes), -1)

    def decode_from(self, features: Codes, space: str, wplus: Codes, *, noise: NoiseMode = "const") -> Images:
        """Images of `features` in `space`, a `features@k`, whose later blocks follow w+ (B, L, n)."""
        self._check(features, space)
        self._check(wplus, "w+")
        return self._picture(features, _depth(space), self.styles(wplus), noise)

    def cut(self, space: str, head: Mapping[str, Tensor]) -> MobileStyleGAN:
        """The network up to `space`, a `features@k`, weights shared, and after it a head of another make.

        Args:
            head: `weight` (3 or 12, C, k, k), `bias` (3 or 12,), and the head's own modulation, `styles.weight` (C, n), `styles.bias` (C,).

        Raises:
            CheckpointError: a tensor is missing or does not fit the features.
        """
        kept = _depth(space) - 1
        sizes = [*self.styles.sizes[: 1 + 3 * kept], self.spaces[space][0]]
        styles, n = Styles(sizes, self.styles.weight.shape[1]), sum(sizes[:-1])
        try:
            drawn = Head(sizes[-1], *head["weight"].shape[::2])
            drawn.load_state_dict({key: head[key].to(self.styles.weight) for key in ("weight", "bias")}, assign=True)
            own = {key: head[f"styles.{key}"].to(self.styles.weight) for key in ("weight", "bias")}
            styles.load_state_dict({key: torch.cat([getattr(self.styles, key)[:n], own[key]]) for key in own}, assign=True)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"not a head for {space} of {self}: {' '.join(str(error).split())[:200]}") from None
        layers = [layer for layer in self.layers if isinstance(layer, Layer)][:kept]
        return type(self)(self.mapping, styles, self.first, layers, drawn, self.whitening)

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        return torch.randn(n, *self._spaces["z"], generator=rng)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: NoiseMode) -> Images:
        if label is not None:
            raise ValueError(f"{self}: has no classes; leave label out")
        if space.startswith("features@"):
            return self._picture(codes, _depth(space), self._mean_styles(), noise)
        styles = codes if space == "s" else self._map(codes, space, "s", None, 1.0)
        return self._picture(codes, 0, styles, noise)

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float) -> Codes:
        if label is not None:
            raise ValueError(f"{self}: has no classes; leave label out")
        order = ["z", "w", "w+", "s"]
        back = f"{self}: no map from {source!r} back to {target!r}; maps lead from code to picture"
        if source.startswith("features@"):
            if not target.startswith("features@") or _depth(target) < _depth(source):
                raise ValueError(back)
            return self._run(codes, _depth(source), _depth(target), self._mean_styles(), "const")
        if source == "p_n":
            codes, source = self.whitening.coloured(codes), "w"
        elif source == "z":
            codes, source = self.mapping(codes), "w"
        if target == "z" or (target in order and order.index(target) < order.index(source)) or (target == "p_n" and source != "w"):
            raise ValueError(back)
        if source != "s":
            codes = self.whitening.truncated(codes, truncation)
        if target == "w":
            return codes
        if target == "p_n":
            return self.whitening.whitened(codes)
        if target == "w+":
            return codes if source == "w+" else codes[:, None].repeat(1, len(self.styles.sizes), 1)
        styles: Tensor = codes if source == "s" else self.styles(codes)
        return styles if target == "s" else self._run(codes, 0, _depth(target), styles, "const")

    def _mean_styles(self) -> Tensor:
        styles: Tensor = self.styles(self.whitening.w_mean[None])
        return styles

    def _picture(self, x: Tensor, start: int, styles: Tensor, noise: NoiseMode) -> Images:
        x = self._run(x, start, len(self.layers) + 1, styles, noise)
        raw: Tensor = self.head(x, torch.split(styles, self.styles.sizes, 1)[-1])
        return (raw + 1) / 2

    def _run(self, x: Tensor, start: int, stop: int, styles: Tensor, noise: NoiseMode) -> Tensor:
        """What enters block `stop` from what enters block `start`; the first block, 0, takes nothing but its style."""
        style = torch.split(styles, self.styles.sizes, 1)
        maps: Noise = self.noise_seed if noise == "random" else noise
        for k in range(start, stop):
            x = self.first(style[0], maps) if k == 0 else self.layers[k - 1](x, *style[3 * k - 2 : 3 * k + 1], maps)
        return x


def _depth(space: str) -> int:
    """How many blocks come before `space`."""
    return int(space.removeprefix("features@"))


def _skeleton(state: Mapping[str, Tensor]) -> tuple[MappingNetwork, Styles, First, list[Layer], Head, Whitening]:
    """The modules whose sizes the tensors show, without numbers yet. Raises KeyError for a tensor that is needed."""
    depth, count = _count(state, "mapping.layers."), _count(state, "layers.")
    width = state["mapping.layers.0.weight"].shape[1]
    channels, side, _ = state["first.input"].shape
    outputs, _, kernel, _ = state["head.weight"].shape
    if outputs not in _HEAD_CHANNELS:
        raise ValueError(f"head.weight draws {outputs} channels, expected 3 or 12")
    first, sizes = First(channels, side), [channels]
    layers: list[Layer] = []
    for k in range(count):
        side, features = 2 * side, state[f"layers.{k}.conv2.pointwise"].shape[0]
        layers.append(Layer(channels, features, side, k))
        sizes += [channels, channels // 4, features]
        channels = features
    return MappingNetwork(depth, width), Styles([*sizes, channels], width), first, layers, Head(channels, outputs, kernel), Whitening(width)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow `prefix` in the tensors' names."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
