"""What a solve gives, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from priorsolve.showing import shown
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.variables import is_remembered, is_weight
from priorsolve.types import Images, PerImage


@dataclass(frozen=True, eq=False)
class Step:
    """How far a solve is, for a progress bar or a film of the way. Detached. A copy by pickle has no pictures."""

    index: int
    steps: int
    misfit: PerImage
    """(B,) best so far."""
    active: Tensor
    """(B,) bool: the images that have not stopped yet."""
    draw: Callable[[], Images | None] | None = field(default=None, kw_only=True, repr=False)
    """What `images` asks; it gives None once `on_step` has returned."""

    def images(self) -> Images:
        """(B, C, H, W), not clamped: what the search would give if it ended now. Drawn when asked, by one pass for each image.

        Raises RuntimeError once `on_step` has returned: the search goes on, and nothing of it is kept.
        """
        images = None if self.draw is None else self.draw()
        if images is None:
            raise RuntimeError("a step's pictures can be drawn while on_step runs, and it has returned; ask for step.images() in it")
        return images.detach()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "draw": None}


AXIS = {"images": 0, "misfit": 0, "residual": 0, "steps": 0, "history": 1}
"""On which axis of a solution's tensors its images are; on the first one of its codes."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The best seen for each image, and why it stopped there. Equal to itself only: compare its tensors.

    `len(solution)` is B. `solution[i]`, a slice, a list or a tensor of places or a mask (B,) gives the solution of these images alone,
    always a batch, its tensors copied.
    """

    images: Images
    """(B, C, H, W) as the prior drew them: in [0, 1], not clamped."""
    codes: Mapping[str, Tensor]
    """What the solver moved, by name: `{"z": (B, 100)}` for one code in z."""
    misfit: PerImage
    """(B,) the loss between A(images) and y."""
    residual: PerImage
    """(B,) root mean squared residual, in the measurement's units."""
    steps: Tensor
    """(B,) how many steps each image took before it stopped."""
    stopped: tuple[Stop, ...]
    """Why each of the B images stopped."""
    history: Tensor
    """(k, B) best misfit at the start, after every 10 steps and at the end; its last value goes on once an image has stopped."""

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Solution:
        places = _places(index, len(self))
        chosen = self._each(lambda tensor, axis: tensor.index_select(axis, places.to(tensor.device)))
        return replace(chosen, stopped=tuple(self.stopped[place] for place in places.tolist()))

    def __iter__(self) -> Iterator[Solution]:
        return (self[place] for place in range(len(self)))

    def to(self, device: torch.device | str) -> Solution:
        """The solution with all its tensors there."""
        return self._each(lambda tensor, _: tensor.to(device))

    def _each(self, change: Callable[[Tensor, int], Tensor]) -> Solution:
        """Every tensor changed, by what is told on which axis its images are."""
        tensors = {name: change(getattr(self, name), axis) for name, axis in AXIS.items()}
        return Solution(**tensors, codes={name: change(code, 0) for name, code in self.codes.items()}, stopped=self.stopped)

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        tuned = sum(is_weight(name) for name in self.codes)
        codes = [f"{name} {tuple(code.shape[1:])}" for name, code in self.codes.items() if ":" not in name]
        codes += [f"{tuned} tuned weights"] if tuned else []
        codes += ["Adam's moments"] if any(map(is_remembered, self.codes)) else []
        stops = ", ".join(f"{self.stopped.count(stop)} {stop.name}" for stop in dict.fromkeys(self.stopped))
        return f"Solution({count} × {'×'.join(map(str, shape))}; codes: {', '.join(codes)}; stopped: {stops or 'none'})"


def joined(parts: Sequence[Solution]) -> Solution:
    """The solutions of one solver for several batches as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    tensors = {name: torch.cat([getattr(part, name) for part in parts], axis) for name, axis in AXIS.items()}
    codes = {name: torch.cat([part.codes[name] for part in parts]) for name in parts[0].codes}
    return Solution(**tensors, codes=codes, stopped=tuple(stop for part in parts for stop in part.stopped))


OnStep: TypeAlias = Callable[[Step], None]


def tell(on_step: OnStep, step: Step, draw: Callable[[], Images]) -> None:
    """Tell of a step, with `draw` for its pictures for as long as `on_step` runs: whoever keeps the step keeps nothing of the search."""
    asked = [draw]
    try:
        on_step(replace(step, draw=lambda: asked[0]() if asked else None))
    finally:
        asked.clear()


def shifted(on_step: OnStep | None, before: int, steps: int) -> OnStep | None:
    """What tells `on_step` of one search among several: `before` steps were taken by those before it, and all take `steps`."""
    return retold(on_step, lambda step: replace(step, index=step.index + before, steps=steps))


def retold(on_step: OnStep | None, change: Callable[[Step], Step]) -> OnStep | None:
    """What tells `on_step` of the steps as `change` makes them."""
    return None if on_step is None else lambda step: on_step(change(step))


def _places(index: int | slice | Sequence[int] | Tensor, count: int) -> Tensor:
    """Which of `count` images these are, (k,). Raises IndexError for one that is not there, ValueError for what tells of none."""
    everyone = torch.arange(count, device="cpu")
    if isinstance(index, slice):
        return torch.tensor(range(count)[index], dtype=torch.long, device="cpu")
    try:
        places = torch.as_tensor(index, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        places = torch.zeros(1)  # of a type that is told below
    if isinstance(index, list | tuple) and not index:
        places = places.long()
    if places.dtype == torch.bool and places.shape == (count,):
        return everyone[places]
    if places.dtype == torch.bool or places.is_floating_point() or places.is_complex() or places.ndim > 1:
        raise ValueError(f"an index is {shown(index)}; give a place, a slice, places, or a mask of {count} images")
    places = places.reshape(-1).long()
    for place in places[(places < -count) | (places >= count)].tolist():
        raise IndexError(f"there is no image {place} in a solution of {count}")
    return places % max(count, 1)
