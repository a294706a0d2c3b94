"""Where a mapping network puts its w: the mean, and the coordinates in which they are roughly a standard normal cloud.

P and P_N are Zhu et al.'s ("Improved StyleGAN Embedding: Where are the Good Latents?", 2020): p = leaky ReLU of slope 5 of w undoes the
mapping's last activation, and p_n are its principal coordinates, each divided by its standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from threading import RLock
from typing import Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from priorsolve.apart import apart
from priorsolve.priors.layout import fill
from priorsolve.priors.mapping import MappingNetwork

WHITENING = "whitening."
"""What the names of its tensors begin with in a file."""
_BATCH = 4096
_lock = RLock()


class Drawing(Protocol):
    """A mapping network that also draws codes, evenly over the classes where there are classes."""

    def drawn(self, start: int, n: int, rng: torch.Generator) -> Tensor:
        """Codes `start` to `start + n` of many, (n, what it takes), where its weights are."""

    def __call__(self, code: Tensor) -> Tensor:
        """Styles w (B, n) of codes."""


@final
class Whitening(nn.Module):
    """w̄ and the map between w (B, n) and p_n (B, n), which has an exact inverse."""

    w_mean: Tensor
    """w̄, (n,)."""
    p_mean: Tensor
    """(n,)."""
    components: Tensor
    """The principal directions of p, one a column, (n, n)."""
    deviations: Tensor
    """The standard deviations along them, (n,), largest first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, shape in (("w_mean", (width,)), ("p_mean", (width,)), ("components", (width, width)), ("deviations", (width,))):
            self.register_buffer(name, torch.empty(shape, device="meta"))

    @staticmethod
    @torch.no_grad()
    def measured(mapping: Drawing, n: int = 65_536) -> dict[str, Tensor]:
        """The tensors of a `Whitening` (its state) from the w of `n` codes, always the same; sums in float64."""
        rng = torch.Generator().manual_seed(0)
        w_sum, p_sum, products = (torch.zeros((), dtype=torch.float64) for _ in range(3))
        for start in range(0, n, _BATCH):
            w = mapping(mapping.drawn(start, min(_BATCH, n - start), rng)).cpu().double()
            p = F.leaky_relu(w, 5.0)
            w_sum, p_sum, products = w_sum + w.sum(0), p_sum + p.sum(0), products + p.T @ p
        w_mean, p_mean = w_sum / n, p_sum / n
        variances, components = torch.linalg.eigh(products / n - torch.outer(p_mean, p_mean))
        components = torch.where(components.sum(0) < 0, -components, components)  # whose sign every machine would choose for itself
        deviations = variances.clamp_min(1e-12).sqrt()
        tensors = {"w_mean": w_mean, "p_mean": p_mean, "components": components.flip(1), "deviations": deviations.flip(0)}
        return {name: tensor.float().contiguous() for name, tensor in tensors.items()}

    def whitened(self, w: Tensor) -> Tensor:
        """p_n of w."""
        return (F.leaky_relu(w, 5.0) - self.p_mean) @ self.components / self.deviations

    def coloured(self, p_n: Tensor) -> Tensor:
        """w of p_n."""
        return F.leaky_relu((p_n * self.deviations) @ self.components.T + self.p_mean, 0.2)

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        """w̄ + ψ (w − w̄), of w or of every row of w+."""
        return w if truncation == 1 else torch.lerp(self.w_mean.expand_as(w), w, truncation)


@final
class MeasuredWhitening:
    """The whitening of a prior whose files may have none: measured when it is first asked for, of the mapping as it was loaded.

    All copies of a prior have this very one, tuned ones too, so that a code of p_n is the same w whatever becomes of their weights. It is
    no part of the network: no state_dict has it, and what is exchanged for the time of one call does not reach it.
    """

    def __init__(self, mapping: MappingNetwork, state: Mapping[str, Tensor]) -> None:
        """Of `state`, named as `state_of` names it, if there is any. Raises CheckpointError where it is no whitening of the mapping's w."""
        self._mapping = deepcopy(mapping).cpu()  # which tuning in place does not reach
        self._made: dict[tuple[torch.device, torch.dtype], Whitening] = {}
        if state:
            self._keep(state)

    def __deepcopy__(self, memo: object) -> MeasuredWhitening:
        return self

    def like(self, codes: Tensor) -> Whitening:
        """The whitening, where and of what type `codes` are."""
        place = codes.device, codes.dtype
        with _lock:
            return self._made[place] if place in self._made else self._make(*place)

    def state_of(self, mapping: MappingNetwork) -> dict[str, Tensor]:
        """The tensors `whitening.*` for the file of a prior with `mapping`; none where loading it would measure the same."""
        with _lock:
            pairs = zip(self._mapping.parameters(), mapping.parameters(), strict=True)
            if not self._made and all(torch.equal(loaded, now.detach().to(loaded)) for loaded, now in pairs):
                return {}
            return self._first().state_dict(prefix=WHITENING)

    @apart()
    def _make(self, device: torch.device, dtype: torch.dtype) -> Whitening:
        return self._made.setdefault((device, dtype), deepcopy(self._first()).to(device, dtype))

    @apart()
    def _first(self) -> Whitening:
        if not self._made:
            with torch.autocast("cpu", enabled=False):
                self._keep({WHITENING + name: tensor for name, tensor in Whitening.measured(self._mapping).items()})
        return next(iter(self._made.values()))

    def _keep(self, state: Mapping[str, Tensor]) -> None:
        whitening = Whitening(self._mapping.w_dim)
        fill(nn.ModuleDict({"whitening": whitening}), state)
        self._made[torch.device("cpu"), torch.float32] = whitening.cpu()
