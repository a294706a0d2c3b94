"""What the StyleGANs share: a mapping network, one w for each layer, and spaces that lead from z to the picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from priorsolve.counter_rng import normal
from priorsolve.priors.base import Noise
from priorsolve.priors.errors import CheckpointError, told
from priorsolve.priors.labels import class_weights, with_class
from priorsolve.priors.layout import fill
from priorsolve.priors.mapping import MEAN, MappingNetwork
from priorsolve.priors.spaces import carries_no_style, depth, is_features
from priorsolve.priors.styled import Styled
from priorsolve.priors.whitening import WHITENING, MeasuredWhitening, Whitening
from priorsolve.showing import is_number
from priorsolve.types import Codes, Images, Shape

_AVERAGED = 4096
_AT_ONCE = 64
"""Codes that go through the mapping together: a multiple of 16, of which torch draws the same numbers in parts as at once."""


class StylePrior(Styled):
    """Pictures from styles. The spaces, in the order in which maps lead:

    * `z+c`, only with classes: z and after it the class as the network sees it, so that both can be optimised; sampling starts there,
      a class drawn evenly. `z` (z_dim,), N(0, I), takes its class from `label`. Codes after z carry their class.
    * `w` (w_dim,), one style for all layers; `w+` (L, w_dim), one for each.
    * `w++` (L, F, w_dim), where it is known: one for each output filter of each layer, F being the widest layer's; narrower layers
      use the first rows.
    * `s`, what the layers' affine maps make of w+, end to end in the order of the layers.
    * `p_n` (w_dim,), whitened w, and `p_n+` (L, w_dim), whitened w+, see `Whitening`: of 65 536 codes, over all classes evenly, which are
      drawn when one of the two is first used.
    * `noise`, where there are noise inputs: all noise maps, end to end, beside the styles of w̄ or of the codes given to `resumed`.
    * `features@k`, what enters `blocks[k]`, k ≥ 2. The styles of the blocks from k on are no part of it: they are those of w̄, or of
      the codes given to `resumed`.

    `blocks` are the mapping network, then those of the synthesis. Truncation ψ moves a w towards w̄: w̄ + ψ (w − w̄). `noise="random"`
    draws the maps of `noise_seed`, the same for every picture of a batch, so that none depends on its neighbours.
    """

    mapping: MappingNetwork
    settings: Mapping[str, Any]
    """What the tensors do not tell, as `from_state` takes it."""
    noise_seed: int = 0
    _whitening: MeasuredWhitening

    def __init__(self, mapping: MappingNetwork, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.mapping, self.settings = mapping, dict(settings)

    @property
    @abstractmethod
    def slots(self) -> int:
        """L, how many styles w+ holds."""

    @property
    @abstractmethod
    def style_sizes(self) -> Sequence[int]:
        """How many numbers each layer's style has, in the order in which `s` holds them."""

    @property
    @abstractmethod
    def feature_shapes(self) -> Sequence[Shape]:
        """What enters block 2, 3, …"""

    @abstractmethod
    def _styled(self, wplus: Tensor) -> list[Tensor]:
        """The styles (B, style_sizes[i]) of w+ (B, L, w_dim); of w++ (B, L, F, w_dim) with an axis for the layer's filters, second."""

    @abstractmethod
    def _run(self, styles: Sequence[Tensor], x: Tensor | None, start: int, stop: int, noise: Noise) -> Tensor:
        """What blocks `start` to `stop` make of features (None before block 1); the raw picture after the last."""

    def saved_state(self) -> dict[str, Tensor]:
        """`state_dict()`, and `whitening.*` where loading that would measure another one; `from_state` takes both."""
        return {**self.state_dict(), **self._whitening.state_of(self.mapping)}

    @property
    def spaces(self) -> Mapping[str, Shape]:
        z, w, c = self.mapping.z_dim, self.mapping.w_dim, self.mapping.n_features
        spaces: dict[str, Shape] = {"z+c": (z + c,)} if c else {}
        spaces |= {"z": (z,), "w": (w,), "w+": (self.slots, w)}
        spaces |= {"w++": (self.slots, self.filters, w)} if self.filters else {}
        spaces |= {"s": (sum(self.style_sizes),), "p_n": (w,), "p_n+": (self.slots, w)}
        spaces |= {"noise": (self.noise_size,)} if self.noise_size else {}
        return spaces | {f"features@{k + 2}": shape for k, shape in enumerate(self.feature_shapes)}

    @property
    def n_classes(self) -> int:
        return self.mapping.n_classes

    @property
    def w_mean(self) -> Tensor:
        return self.mapping.w_avg.expand(self.slots, -1)

    def truncated(self, wplus: Codes, truncation: float, cutoff: int | None = None) -> Codes:
        """w̄ + ψ (w − w̄) for the first `cutoff` layers of w+ (B, L, w_dim) or w++ (B, L, F, w_dim), or for all."""
        mean = self.w_mean if wplus.ndim == 3 else self.w_mean[:, None]
        end = self.slots if cutoff is None else cutoff
        return torch.cat([torch.lerp(mean[:end], wplus[:, :end], truncation), wplus[:, end:]], dim=1)

    def embed(self, label: Tensor) -> Tensor:
        weights = class_weights(label, self.n_classes, self)
        embedded: Tensor = self.mapping.embed(weights.to(self.mapping.embed.weight))
        return embedded

    def _sample(self, n: int, rng: torch.Generator) -> Codes:
        z = normal(rng, n, self.mapping.z_dim)
        if not self.n_classes:
            return z
        return torch.cat([z, self.embed(torch.randint(self.n_classes, (n,), generator=rng, device="cpu")).to(z)], dim=1)

    def _decode(self, codes: Codes, space: str, label: Tensor | None, noise: Noise) -> Images:
        codes, space = self._coloured(with_class(self, codes, space, label), space)
        features = codes if is_features(space) else None  # others enter block 1: block 0 is the mapping network
        noise = codes if space == "noise" else noise
        return (self._run(self._styles(codes, space, 1.0), features, max(1, depth(space)), len(self.blocks), noise) + 1) / 2

    def _whitening_like(self, codes: Codes) -> Whitening:
        return self._whitening.like(codes)

    def _lead(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        codes = with_class(self, codes, source, label)
        if target == "w":
            w = codes if source == "w" else self.mapping(codes)
            return w if truncation == 1 else torch.lerp(self.w_mean.mean(0), w, truncation)
        if target == "w+":
            return self._wplus(codes, source, truncation)
        if target == "w++":
            wplus = self._wplus(codes, source, truncation)
            return wplus if source == "w++" else self._per_filter(wplus)
        styles = self._styles(codes, source, truncation)
        if target == "s":
            return torch.cat(styles, dim=1)
        return self._run(styles, codes if is_features(source) else None, max(1, depth(source)), depth(target), noise)

    def _wplus(self, codes: Codes, space: str, truncation: float) -> Tensor:
        w = self.mapping(codes) if space in ("z+c", "z") else codes
        wplus = w if space in ("w+", "w++") else w[:, None].expand(-1, self.slots, -1)
        return wplus if truncation == 1 else self.truncated(wplus, truncation)

    def _styles(self, codes: Codes, space: str, truncation: float) -> list[Tensor]:
        if carries_no_style(space):
            codes, space = self._going_on(codes)
        if space == "s":
            ends = list(accumulate(self.style_sizes))
            return [codes[:, end - size : end] for size, end in zip(self.style_sizes, ends, strict=True)]
        return self._styled(self._wplus(codes, space, truncation))


def finish(prior: StylePrior, state: Mapping[str, Tensor]) -> None:
    """Give `prior` its tensors, freeze it, and measure w̄ where `state` has none. Raises CheckpointError, as `fill`."""
    mapping = prior.mapping
    kept = {key: tensor for key, tensor in state.items() if key.startswith(WHITENING)}
    fill(prior, {MEAN: torch.zeros(mapping.w_dim), **{key: tensor for key, tensor in state.items() if key not in kept}})
    if tuple(mapping.w_avg.shape) not in ((mapping.w_dim,), (prior.slots, mapping.w_dim)):
        raise CheckpointError(f"{MEAN} has shape {list(mapping.w_avg.shape)}, expected [{mapping.w_dim}], or such a row for each layer")
    if MEAN not in state:
        mapping.w_avg = _mean_style(mapping)
    prior._whitening = MeasuredWhitening(mapping, kept)
    prior.requires_grad_(False).eval()


def _mean_style(mapping: MappingNetwork) -> Tensor:
    """w̄ (w_dim,), estimated from codes of a fixed seed; over all classes evenly."""
    rng = torch.Generator().manual_seed(0)
    total = torch.zeros(mapping.w_dim, dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, _AVERAGED, _AT_ONCE):
            total += mapping(mapping.drawn(start, _AT_ONCE, rng)).sum(dim=0, dtype=torch.float64)
    return (total / _AVERAGED).float()


def positive(settings: Mapping[str, object], key: str) -> float | None:
    """The positive number that `settings` gives for `key`, or None. Raises CheckpointError for anything else."""
    value = settings.get(key)
    if value is None:
        return None
    if not is_number(value) or not 0 < value < 1e9:
        raise CheckpointError(f"has {key} = {told(value)}; expected a positive number, so use another snapshot")
    return value
