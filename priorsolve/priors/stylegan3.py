"""StyleGAN3 (Karras et al. 2021), configurations T and R, in plain PyTorch: layers that do not cling to the pixel grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import final

from torch import Tensor, nn

from priorsolve.priors.base import Noise
from priorsolve.priors.errors import CheckpointError
from priorsolve.priors.mapping import MappingNetwork
from priorsolve.priors.style import StylePrior, finish, positive
from priorsolve.priors.stylegan3_layers import Layer, Waves
from priorsolve.priors.stylegan3_plan import names_of, plan_of
from priorsolve.types import Shape


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are NVIDIA's StyleGAN3."""
    return "synthesis.input.freqs" in state


@final
class StyleGAN3(StylePrior):
    """w+ → waves → layers of filtered activations → picture. `blocks` are the mapping network, the waves, then every layer.

    It has no noise inputs. In `w++` the waves, which are moved as a whole, take the first row. `move` turns and shifts the pictures. Every
    size comes from the tensors: build one with `from_state`.
    """

    def __init__(self, mapping: MappingNetwork, waves: Waves, layers: Mapping[str, Layer], settings: Mapping[str, object]) -> None:
        super().__init__(mapping, settings)
        self.synthesis = nn.ModuleDict({"input": waves, **layers})

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], settings: Mapping[str, object] | None = None) -> StyleGAN3:
        """The generator with NVIDIA's tensor names, in float32; filters are those of the file.

        Args:
            state: `mapping.*`, `synthesis.input.*` and `synthesis.L{i}_{size}_{channels}.*`.
            settings: the sampling rates (`input`, `layers`), `output_scale` and `lr_multiplier`, as a pickle holds them; left out,
                NVIDIA's defaults.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape or not finite, or a setting makes no sense.
        """
        settings = settings or {}
        names = names_of(list(state))
        waves_plan, plans = plan_of(names, settings)
        multiplier, scale = positive(settings, "lr_multiplier") or 0.01, positive(settings, "output_scale") or 0.25
        mapping = MappingNetwork(state, multiplier)
        size = int(waves_plan["size"])
        waves = Waves(state, size, waves_plan["sampling_rate"], waves_plan["bandwidth"], mapping.w_dim)
        layers = {plan.name: Layer(state, plan, mapping.w_dim, last=plan is plans[-1]) for plan in plans}
        channels = waves.channels
        for name, layer in layers.items():
            if layer.inputs != channels:
                raise CheckpointError(
                    f"synthesis.{name}.weight takes {layer.inputs} channels, but {channels} come in; use another snapshot"
                )
            channels = layer.channels
        if channels not in (1, 3):
            raise CheckpointError(f"synthesis.{names[-1]}.weight draws {channels} channels; a picture has 1 or 3")
        sampling = {"input": dict(waves_plan), "layers": [asdict(plan) for plan in plans]}
        kept = {"lr_multiplier": multiplier, "output_scale": scale, **sampling}
        prior = cls(mapping, waves, layers, kept)
        finish(prior, state)
        return prior

    @property
    def image_shape(self) -> Shape:
        last = self._layers[-1]
        return (last.channels, last.plan.out_size, last.plan.out_size)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.mapping, *self.synthesis.values()]

    @property
    def slots(self) -> int:
        return len(self.synthesis)

    @property
    def filter_counts(self) -> Sequence[int]:
        return [1, *(layer.channels for layer in self._layers)]

    @property
    def style_sizes(self) -> Sequence[int]:
        return [4, *(layer.inputs for layer in self._layers)]

    @property
    def feature_shapes(self) -> Sequence[Shape]:
        return [(layer.inputs, layer.plan.in_size, layer.plan.in_size) for layer in self._layers]

    def move(self, transform: Tensor) -> None:
        """Turn and shift all pictures from now on: `transform` (3, 3) is the inverse of what happens to them, in picture sides."""
        self._waves.transform.copy_(transform)

    @property
    def _waves(self) -> Waves:
        waves = self.synthesis["input"]
        assert isinstance(waves, Waves)
        return waves

    @property
    def _layers(self) -> list[Layer]:
        return [layer for layer in self.synthesis.values() if isinstance(layer, Layer)]

    def _styled(self, wplus: Tensor) -> list[Tensor]:
        of_filters = wplus.ndim == 4
        waves: Tensor = self._waves.affine(wplus[:, 0, 0] if of_filters else wplus[:, 0])
        own = [w[:, : layer.channels] if of_filters else w for w, layer in zip(wplus[:, 1:].unbind(1), self._layers, strict=True)]
        return [waves, *(layer.affine(w) for w, layer in zip(own, self._layers, strict=True))]

    def _run(self, styles: Sequence[Tensor], x: Tensor | None, start: int, stop: int, noise: Noise) -> Tensor:
        if x is None:
            x, start = self._waves(styles[0]), 2
        for layer, style in list(zip(self._layers, styles[1:], strict=True))[start - 2 : stop - 2]:
            x = layer(x, style)
        return x * self.settings["output_scale"] if stop == len(self.blocks) else x
