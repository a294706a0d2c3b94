"""What an operator makes: one real tensor, for each image a measurement."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from priorsolve.showing import shown
from priorsolve.types import Measurements, Shape


def is_real(made: object) -> bool:
    """Whether it is a tensor of real numbers."""
    return isinstance(made, Tensor) and not made.is_complex()


def not_real(made: object) -> str:
    """What is told of an operator that made something else."""
    given = "complex numbers" if isinstance(made, Tensor) else f"a {type(made).__name__}"
    way = ", such as torch.view_as_real gives" if isinstance(made, Tensor) else ""
    return f"makes {given} of images; it must make a real tensor of measurements (B, ...){way}"


def checked_shape(shape: object, operator: object, name: str) -> Shape:
    """What its `out_shape` or `in_shape`, the name, gave. Raises ValueError where that is no shape, as without a `return`."""
    if not isinstance(shape, Iterable):
        raise ValueError(f"{operator}: its {name} gives {shown(shape)}; it must return a shape without batch, such as (3, 32, 32)")
    return tuple(shape)


def straight_through(y: Measurements, x: Tensor) -> Measurements:
    """`y`, which lets no gradient through, with the gradient of `x`: adds exactly 0, of ∞ too."""
    return y + (x - x.detach()).nan_to_num(0)


def none(batch: Tensor, shape: Shape) -> Measurements:
    """(0, *shape): not every formula takes no images. The sum lets gradients through."""
    return batch.sum().expand(0, *shape)
