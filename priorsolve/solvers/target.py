"""What estimates are compared with: the measurements, their operator, and which entries were measured at all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from priorsolve.following import Following
from priorsolve.losses import Distance, Loss, l2, prepared
from priorsolve.operators.base import OF_EACH, Operator, smallest_batch, support_of
from priorsolve.operators.made import checked_shape, is_real, not_real
from priorsolve.showing import shown
from priorsolve.solvers.checks import must_be_measurements, must_be_operator, unwrapped
from priorsolve.solvers.measured_range import must_be_in_range
from priorsolve.solvers.solution import Solution
from priorsolve.types import AnyOperator, HasA, Images, Measurements, PerImage, Shape


@dataclass(frozen=True)
class Target:
    """Rows to compare with: an image's measurement once for each of its restarts, image after image."""

    A: Callable[[Images], Measurements]
    y: Measurements
    where: Measurements
    repeats: int = 1
    _distances: dict[int, tuple[Loss, Distance]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _following: Following = field(default_factory=Following, init=False, repr=False, compare=False)

    def estimate(self, images: Images) -> Measurements:
        """What the operator makes of the rows' pictures, in their type.

        Raises ValueError where it is not what was measured, or has no gradient.
        """
        estimate = _made(self.A, images)
        if estimate.shape != self.y.shape:
            made = tuple(estimate.shape[1:])
            raise ValueError(f"the operator makes measurements of shape {made} from {tuple(images.shape[1:])} images, {got(self.y, made)}")
        if images.requires_grad and not self._following(estimate, images):
            raise ValueError(
                "the operator lets no gradient through, so no solver can follow it; write it with differentiable torch functions, "
                "or solve with a stand-in, such as JPEG for PillowJPEG (in a recipe: `surrogate`)"
            )
        return estimate.to(self.y.dtype)

    def misfit(self, estimate: Measurements, loss: Loss) -> PerImage:
        """The loss of each row. What a loss can do with the measurement alone is done the first time."""
        # by identity, since not every loss has a hash; kept beside its distance, so that no other takes its place
        if id(loss) not in self._distances:
            with torch.no_grad():
                self._distances[id(loss)] = (loss, prepared(loss, self.y, self.where, self.repeats))
        return self._distances[id(loss)][1](estimate)

    def final_misfit(self, estimate: Measurements, loss: Loss) -> PerImage:
        """As `misfit`, and infinite where that is not a number, as after an image diverged."""
        misfit = self.misfit(estimate, loss)
        return misfit.where(~misfit.isnan(), torch.inf)

    def residual(self, estimate: Measurements) -> PerImage:
        """The root mean squared residual of each row."""
        return l2(estimate, self.y, self.where).sqrt()


class Measured:
    """Measurements (B, ...) and the operator that made them, ready to serve any rows, on the device and of the type of `like`.

    An operator of ours says where it measured nothing and can serve a part of the batch. Any other object with `.A` (or a plain
    callable) may have parameters for each image, so it is always called with all B images in their order.

    Raises:
        ValueError: the measurements are no float tensor, do not have the shape that the operator makes of the prior's
            images, or are far larger than it makes of any in [0, 1], or as it makes them of pictures in [-1, 1].
    """

    def __init__(self, y: Measurements, operator: AnyOperator, image_shape: Shape, *, like: Tensor) -> None:
        must_be_measurements(y)
        must_be_operator(operator)
        operator = unwrapped(operator)
        operator = beside(like, operator) if isinstance(operator, Operator) else operator
        y = y.detach().clone().to(like)
        self.y, self.operator, self.count = y, operator, len(y)
        self.where = torch.ones_like(y)
        if isinstance(operator, Operator):
            expected, given = checked_shape(operator.out_shape(image_shape), operator, "out_shape"), tuple(y.shape[1:])
            if given != expected:
                raise ValueError(f"{operator}: makes measurements of shape {expected} from {image_shape} images, {got(y, expected)}")
            if operator.batch not in (None, len(y)):
                raise ValueError(f"{operator}: has parameters for {operator.batch} images, got {len(y)} measurements")
            where = support_of(operator, image_shape, y)
            if (told := tuple(where.shape[1:])) != expected:
                made = tuple(operator.A(y.new_ones(smallest_batch(operator), *image_shape)).shape[1:])
                what = f"has a support of shape {told}" if made == expected else f"makes measurements of shape {made}"
                raise ValueError(f"{operator}: {what}, and its out_shape says {expected}")
            if len(where) != smallest_batch(operator):
                raise ValueError(f"{operator}: makes {len(where)} measurements of {smallest_batch(operator)} images; {OF_EACH}")
            self.where = where.expand_as(y)
            self.y = torch.where(self.where > 0, y, 0)  # whatever stands in a hole, NaN included, was not measured
        must_be_in_range(self.y, self.where, lambda pictures: self.whole().estimate(pictures), image_shape)

    @property
    def divisible(self) -> bool:
        """Whether a part of the batch can be measured by itself."""
        return isinstance(self.operator, Operator)

    @property
    def alike(self) -> bool:
        """Whether all images were measured in the same way."""
        return isinstance(self.operator, Operator) and self.operator.batch is None

    def others(self, pictures: Images, image: int) -> Measurements:
        """What the operator of the image with this index makes of other pictures; 0 in its holes."""
        if self.divisible:
            own = torch.tensor([image], device=self.y.device)
            estimate = self.target(own, len(pictures)).estimate(pictures)
        else:  # every image takes its turn with all pictures, and one is kept
            all_of_them = self.whole(len(pictures)).estimate(pictures.repeat(self.count, 1, 1, 1))
            estimate = all_of_them.view(self.count, len(pictures), *all_of_them.shape[1:])[image]
        return torch.where(self.where[image] > 0, estimate, 0)

    def whole(self, repeats: int = 1) -> Target:
        """The rows of all images."""
        return self.target(torch.arange(self.count, device=self.y.device), repeats)

    def target(self, images: Tensor, repeats: int) -> Target:
        """The rows of the images with these indices, each `repeats` times in a row."""
        owner = images.repeat_interleave(repeats)
        y, where = self.y[owner], self.where[owner]
        if isinstance(self.operator, Operator):
            operator = self.operator if self.operator.batch is None else self.operator.select(owner)
            return Target(operator.A, y, where, repeats)
        if len(images) != self.count:
            raise ValueError(f"{shown(self.operator)}: is not one of priorsolve's operators, so the whole batch must be measured at once")
        A = self.operator.A if isinstance(self.operator, HasA) else self.operator
        return Target(lambda x: _in_turns(A, x, repeats), y, where, repeats)


def with_images(solution: Solution, images: Images, y: Measurements, operator: AnyOperator, loss: Loss) -> Solution:
    """The solution with `images` (B, C, H, W), such as a mean, and with their own misfit and residual; all else stays.

    Args:
        y, operator: as in the solver's own call.
        loss: what compares A(images) with y.
    """
    target = Measured(y, operator, tuple(images.shape[1:]), like=images).whole()
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        estimate = target.estimate(images)
        return replace(solution, images=images, misfit=target.final_misfit(estimate, loss), residual=target.residual(estimate))


def beside(like: Tensor, operator: Operator) -> Operator:
    """The operator where `like` is: a copy if it was left elsewhere, such as on the CPU, since each of its calls would move its numbers."""
    if all(numbers.device == like.device for numbers in (*operator.parameters(), *operator.buffers())):
        return operator
    return copy.deepcopy(operator).to(like.device, like.dtype)


def _in_turns(A: Callable[[Images], Measurements], x: Images, repeats: int) -> Measurements:
    """`A` on the first restart of every image, then on the second …, put back in the rows' order; of copies, which it may change."""
    if repeats == 1:
        return A(x.clone())
    turns = x.view(-1, repeats, *x.shape[1:]).unbind(1)
    return torch.stack([_made(A, turn.clone()) for turn in turns], dim=1).flatten(0, 1)


def _made(A: Callable[[Images], Measurements], x: Images) -> Measurements:
    """`A(x)`. Raises ValueError where that is not one real measurement for each image."""
    try:
        made = A(x)
    except RuntimeError as error:
        if "Complex" in str(error):  # as in torch's "expected scalar type ComplexFloat but found Float"
            raise ValueError(
                "the operator measures complex pictures, and a prior draws real ones; give one that makes them so, such as "
                "lambda x: A(x + 0j)"
            ) from error
        if "numpy() on Tensor" in str(error):
            raise ValueError(
                "the operator makes numpy arrays of pictures, which let no gradient through; write it in torch, or as an Operator of yours"
            ) from error
        raise
    if not is_real(made):
        raise ValueError(f"the operator {not_real(made)}")
    if made.shape[:1] != x.shape[:1]:
        raise ValueError(
            f"the operator makes measurements of shape {tuple(made.shape)} from images of shape {tuple(x.shape)}; "
            f"it must make one for each image, of shape ({len(x)}, ...)"
        )
    return made


def got(y: Measurements, expected: Shape) -> str:
    """`got (3, 8, 8)`, the shape of each measurement in `y`, and what is missing where that is the batch's axis."""
    given = tuple(y.shape[1:])
    return f"got {given}" + ("; for a single measurement give y[None], a batch of one" if given == tuple(expected)[1:] else "")
