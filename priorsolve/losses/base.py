"""What a loss is: any function of estimate, measurement and mask, one number per image."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from inspect import signature
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from priorsolve.alike import of_long_rows, rows_apart
from priorsolve.following import Following
from priorsolve.priors.layers import mixes
from priorsolve.showing import shown
from priorsolve.types import Measurements, PerImage

Loss: TypeAlias = Callable[[Measurements, Measurements, Tensor], PerImage]
"""`loss(estimate, measured, where)`: the mean over the entries where `where` is 1; all three (B, ...), the result (B,)."""

Distance: TypeAlias = Callable[[Measurements], PerImage]
"""A loss whose measurement is settled: `distance(estimate)`."""

_Made = TypeVar("_Made")
_SETTINGS = (bool, int, float, str)


@runtime_checkable
class Prepares(Protocol):
    """A loss that can do a part of its work once for a measurement that stays."""

    def against(self, measured: Measurements, where: Tensor) -> Distance:
        """The loss with its measurement settled."""


class Preparing(ABC):
    """A loss that `Prepares`, and is always what it is against a settled measurement."""

    @abstractmethod
    def against(self, measured: Measurements, where: Tensor) -> Distance:
        """The loss with its measurement settled."""

    def __call__(self, estimate: Measurements, measured: Measurements, where: Tensor) -> PerImage:
        return self.against(measured, where.to(measured))(estimate)  # a mask may be of bool


@runtime_checkable
class Fetches(Protocol):
    """A loss that needs files which may not be on this machine yet."""

    def fetch(self) -> None:
        """Have them on this machine. Raises FetchError."""


def prepared(loss: Loss, measured: Measurements, where: Tensor, repeats: int = 1) -> Distance:
    """The loss with its measurement settled, whether or not it can prepare itself.

    On the CPU, where networks round a batch otherwise than its images, a loss that prepares looks at one image after another, and once
    at a measurement that stands `repeats` times in a row. The distance raises ValueError where the loss does not give one number per
    image, lets no gradient through or changes what it is given; a network must be in eval mode.
    """
    _must_be_settled(loss, "the loss")  # as it is now, whatever it was when the solver was made
    if not isinstance(loss, Prepares):
        return _watched(lambda estimate: loss(estimate, measured, where), measured, where)
    if len(measured) < 2 or measured.device.type != "cpu":
        return _settled(loss, measured, where)
    own = [_settled(loss, *row) for row in zip(rows_apart(measured[::repeats]), rows_apart(where[::repeats]), strict=True)]
    each = [distance for distance in own for _ in range(repeats)]
    return lambda estimate: torch.cat([distance(row) for distance, row in zip(each, rows_apart(estimate), strict=True)])


def _settled(loss: Prepares, measured: Measurements, where: Tensor) -> Distance:
    distance = _untouched(lambda: loss.against(measured, where), measurement=measured, mask=where)
    if not callable(distance):
        raise ValueError(f"the loss's against gives {shown(distance)}; it must return a function of the estimate, one number per image")
    return _watched(distance, measured, where)


def _watched(distance: Distance, measured: Measurements, where: Tensor) -> Distance:
    """`distance`, which is from `measured`. It raises ValueError for what a loss must not give or do."""
    following = Following()

    def watched(estimate: Measurements) -> PerImage:
        value = _untouched(lambda: distance(estimate), measurement=measured, mask=where, estimate=estimate)
        return one_each(value, estimate, following)

    return watched


def _untouched(made: Callable[[], _Made], **given: Tensor) -> _Made:
    """`made()`. Raises ValueError where it writes into what is given, which the next steps and the residual are to see as it was."""
    before = {name: _version(tensor) for name, tensor in given.items()}
    value = made()
    for name, tensor in given.items():
        if _version(tensor) != before[name]:
            raise ValueError(f"the loss changes the {name}, which is needed as it was; write e - m, not e.sub_(m) or m.sub_(e)")
    return value


def _version(tensor: Tensor) -> int:
    """How often it was written into; 0 for tensors of inference mode, which do not count it."""
    return 0 if tensor.is_inference() else tensor._version


def must_compare(loss: object, name: str) -> None:
    """Raise ValueError unless `loss` may serve as one: it is called with three arguments, or settles the last two by `against`.

    A network must be in eval mode.
    """
    if isinstance(loss, type) or not (isinstance(loss, Prepares) or (callable(loss) and _takes_three(loss))):
        raise ValueError(
            f"{name} is {shown(loss)}; it must be a function of estimate, measurement and mask that gives one number per image, "
            "such as priorsolve.losses.l1 or Huber(0.05); names are for recipes"
        )
    _must_be_settled(loss, name)


def _must_be_settled(loss: object, name: str) -> None:
    """Raise ValueError for a network in training mode."""
    for part in (loss, getattr(loss, "__self__", None)):  # a bound method's owner may be a network
        if isinstance(part, nn.Module) and mixes(part):
            raise ValueError(
                f"{name}, {shown(part)}, is in training mode, where a misfit depends on its neighbours or on chance; call its eval()"
            )


def _takes_three(loss: Callable[..., object]) -> bool:
    """Whether three arguments fit, the last one no setting: torch's l1_loss takes `size_average: bool | None` there."""
    try:
        wanted = signature(loss.forward if isinstance(loss, nn.Module) else loss)
        wanted.bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # what is written in C may not say what it takes
        return True
    return not any(isinstance(third.default, _SETTINGS) or _is_setting(third.annotation) for third in [*wanted.parameters.values()][2:3])


def _is_setting(annotation: object) -> bool:
    words = re.findall(r"\w+", annotation.__name__ if isinstance(annotation, type) else str(annotation))
    return any(kind.__name__ in words for kind in _SETTINGS)


def one_each(value: PerImage, estimate: Measurements, following: Following) -> PerImage:
    """What a loss gave for `estimate`, in its type. Raises ValueError where that is not one number per image, or has no gradient."""
    if not isinstance(value, Tensor) or value.shape != estimate.shape[:1]:
        given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ValueError(
            f"the loss gives {given} for {len(estimate)} images; it must give one number per image, "
            "a tensor of shape (B,), such as values.flatten(1).mean(1)"
        )
    if estimate.requires_grad and torch.is_grad_enabled() and not following(value, estimate):
        raise ValueError("the loss lets no gradient through, so no solver can follow it; write it with differentiable torch functions")
    return value.to(estimate.dtype)


def mean_where(values: Tensor, where: Tensor) -> PerImage:
    """Each image's mean of `values`, weighted with `where`, which may be one for all channels; 0 where nothing was measured."""
    weighted, weight = values * where, _sum(where.expand_as(values))
    return (_sum(weighted) / weight.clamp_min(torch.finfo(weight.dtype).eps)).to(weighted.dtype)


def _sum(values: Tensor) -> PerImage:
    """In float32 at least: float16 ends at 65504, fewer than the entries of a picture."""
    dtype = torch.promote_types(values.dtype, torch.float32)
    return of_long_rows(lambda rows: rows.sum(1, dtype=dtype), values.flatten(1))


def must_be_pictures(measured: Measurements, name: str) -> None:
    """Raise ValueError for measurements that are not (B, C, h, w)."""
    if measured.ndim != 4:
        raise ValueError(f"{name} compares pictures (C, h, w), and the measurement is {tuple(measured.shape[1:])}; use l2 or l1")
