"""What priors drawn by styles share: a mean style, and features that need styles beside them to become a picture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from priorsolve.priors.base import Noise, Prior, singly
from priorsolve.priors.spaces import carries_no_style
from priorsolve.priors.whitening import Whitening
from priorsolve.types import Codes

if TYPE_CHECKING:
    from typing_extensions import Self


_STYLES = {"p_n": "w", "p_n+": "w+"}
"""What is whitened in each space of whitened styles."""


class Styled(Prior):
    """A prior in whose `features@k` the styles of the blocks from k on are no part: they are those of w̄, or of `resumed` codes.

    Maps lead from one of its `spaces` to later ones, and between w and p_n and between w+ and p_n+ in both directions.
    """

    rounds_together = True
    _later: Tensor | None
    _later_space: str

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_later", None, persistent=False)

    @property
    @abstractmethod
    def w_mean(self) -> Tensor:
        """w̄ for each layer, (L, w_dim)."""

    @property
    def filter_counts(self) -> Sequence[int]:
        """How many styles w each layer takes from `w++`, whose first rows they are, (L,); none for a prior without that space."""
        return []

    @property
    def filters(self) -> int:
        """How many styles w a layer has in `w++`: as many as the one that takes most. 0 for a prior without that space."""
        return max(self.filter_counts, default=0)

    def taken(self, codes: Codes) -> Codes:
        """The styles (B, sum(filter_counts), w_dim) of codes of `w++` that layers take; the others draw nothing."""
        return torch.cat([codes[:, layer, :n] for layer, n in enumerate(self.filter_counts)], 1)

    @abstractmethod
    def _whitening_like(self, codes: Codes) -> Whitening:
        """The whitening of w, where and of what type `codes` are."""

    @abstractmethod
    def _lead(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        """As `_map`, between spaces that are not whitened and of which `target` is not before `source`."""

    def _map(self, codes: Codes, source: str, target: str, label: Tensor | None, truncation: float, noise: Noise) -> Codes:
        order, end = list(self.spaces), _STYLES.get(target, target)
        if order.index(_STYLES.get(source, source)) > order.index(end) or (source, target) == ("z+c", "z"):
            raise ValueError(f"{self}: no map from {source!r} back to {target!r}; maps lead from code to picture")
        if (source, target) == ("w++", "s"):
            raise ValueError(f"{self}: no map from 'w++' to 's', where all filters of a layer have one style")
        codes, source = self._coloured(codes, source)
        mapped = codes if source == end and truncation == 1 else self._lead(codes, source, end, label, truncation, noise)
        if target == end:
            return mapped
        with torch.autocast(mapped.device.type, enabled=False):  # whose rounding the least deviations would make large
            return self._whitening_like(mapped).whitened(mapped)

    def _coloured(self, codes: Codes, space: str) -> tuple[Codes, str]:
        """Codes of p_n as w, those of p_n+ as w+, and others as they are; and their space."""
        if space not in _STYLES:
            return codes, space
        with torch.autocast(codes.device.type, enabled=False):
            return self._whitening_like(codes).coloured(codes), _STYLES[space]

    def spread(self, space: str | None = None, n: int = 64) -> Tensor:
        # codes of w++ are drawn as w+ repeated
        return super().spread("w+" if space == "w++" else space, n)

    def resumed(self, codes: Codes, space: str) -> Self:
        self._check(codes, space)
        if carries_no_style(space):
            raise ValueError(f"{self}: {space.split('@')[0]} carry no styles to go on with; give codes of z, w, w+ or s")
        if not space.startswith(("w", "s")):
            target = "w" if codes.ndim == 2 else "w+"
            with singly():  # the mapping network rounds several rows otherwise than one
                codes, space = self.map(codes, source=space, target=target), target
        return self._with_later(codes if len(codes) else codes.new_zeros(1, *codes.shape[1:]), space)  # of none, one for all

    def _with_later(self, later: Tensor, space: str) -> Self:
        other = copy(self)
        other._buffers = dict(self._buffers)
        other._later, other._later_space = later, space
        return other

    def _of_row(self, i: int, n: int) -> Self:
        later = self._later_of(n)
        if later is None or len(later) == 1:
            return self
        return self._with_later(later[i : i + 1].clone(memory_format=torch.contiguous_format), self._later_space)

    def _going_on(self, codes: Codes) -> tuple[Codes, str]:
        """What gives the blocks after features, or beside noise maps, their styles, and its space; 1 row or as many as `codes`."""
        later = self._later_of(len(codes))
        return (self.w_mean[None], "w+") if later is None else (later, self._later_space)

    def _later_of(self, n: int) -> Tensor | None:
        """The codes resumed from, if any: one for all or `n`."""
        if self._later is not None and len(self._later) not in (1, n):
            raise ValueError(f"{self}: {n} codes, but resumed from {len(self._later)}; give as many, or one for all")
        return self._later

    def _check_truncated(self, source: str, target: str) -> None:
        untouched = target if target.startswith("z") else source if not source.startswith(("z", "w", "p_n")) else None
        if untouched is not None:
            raise ValueError(f"{self}: truncation is between styles w, so not for codes of {untouched!r}; leave it at 1")

    def _per_filter(self, wplus: Tensor) -> Tensor:
        """w+ (B, L, w_dim) as a code of `w++`, (B, L, filters, w_dim): a view."""
        return wplus[:, :, None].expand(-1, -1, self.filters, -1)

    def _split(self, noise: Tensor) -> Sequence[Tensor]:
        """Each layer's own map (B, H·W) of a code of `noise`."""
        return torch.split(noise, self.noise_sizes, 1)

    def _centre(self, space: str) -> Codes:
        first = self.first_space
        zeros = self.w_mean.new_zeros(1, *self.spaces[space])
        if space == "z+c":
            size = self.spaces["z"][0]
            zeros[:, size:] = self.embed(zeros.new_full((1, self.n_classes), 1 / self.n_classes))
        if space in (first, "z", "p_n", "p_n+"):
            return zeros
        if space == "w":
            return self.w_mean.mean(0, keepdim=True)
        return self.map(self.w_mean[None], source="w+", target=space)
