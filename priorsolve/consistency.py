"""What was measured, put back into the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from priorsolve.operators.base import LinearOperator, of_grey, support_of
from priorsolve.operators.gray import Gray
from priorsolve.operators.krylov import damped_least_squares
from priorsolve.showing import must_be_number, shown
from priorsolve.solvers.checks import must_be_measurements, unwrapped
from priorsolve.solvers.target import got
from priorsolve.types import HasA, Images, Measurements, PerImage

EXACT = 0.25 / 255
"""How far what is measured of a picture may be off: after rounding to 8 bits a small picture is still right to half a level of these."""
ROUNDS, TRIAL = 200, 5
"""How many projections to make at most (faces made larger took 5 to 100), and after how many the misfit must have fallen to two thirds."""


def put_back(x: Images, y: Measurements, operator: HasA, *, damping: float = 0.0) -> Images:
    """`x + A†(y − A x)`: the picture nearest to `x` that explains `y` exactly (as far as `A` can), so `A(result) = y`.

    Inpainting keeps the known pixels and the prior fills the hole; upscaling keeps the small picture. Where only grey is measured, it is
    the nearest of the pictures with the same chroma: `A†` would tint. The operator's `lift` knows which, and may know better.
    What `y` holds where nothing was measured is ignored. Noise in `y` is put back too, and where the operator is not quite what happened
    to the photo, A† makes much of little. With `damping` λ it is `x + e`, with the e of least `‖A e − (y − A x)‖² + λ‖e‖²`
    (Tikhonov): what can only be explained by large changes stays as the prior drew it. Where only grey is measured, e is the same in all
    colours, and ‖e‖ that of one of them.

    The result may leave [0, 1]: clamped, it explains y no longer there.

    Args:
        x: (B, C, H, W) the pictures.
        y: (B, ...) what was measured, or one measurement for all pictures. It is brought to the device and type of `x`.
        operator: a linear one of `priorsolve.operators`, or a physics that `to_physics` made of one.
        damping: the square of how large errors of `y` are beside those of `x`: 0.04 for errors of 0.02 and 0.1.

    Raises:
        ValueError: the operator has no `A†`, the pictures or the measurements do not fit it, or `damping` is below 0 or no number.
    """
    own = unwrapped(operator)
    if not isinstance(own, LinearOperator):
        raise ValueError(
            f"put_back needs a linear operator of priorsolve's, got {shown(own)}; others have no A†, so keep the pictures as they are"
        )
    must_be_number(damping, "damping")
    if damping < 0:
        raise ValueError(f"damping is {damping}; it must be at least 0")
    must_be_measurements(y)
    if not isinstance(x, Tensor):
        way = "; give torch.from_numpy(x)" if type(x).__name__ == "ndarray" else ""
        raise ValueError(f"put_back: expected pictures as a float tensor (B, C, H, W), got {shown(x)}{way}")
    with torch.autocast(x.device.type, enabled=False):  # in whose types y is explained to two digits
        made = own.A(x)
        if y.shape[1:] != made.shape[1:]:
            expected, images = tuple(made.shape[1:]), tuple(x.shape[1:])
            raise ValueError(f"{own}: makes measurements of shape {expected} from {images} images, {got(y, expected)}")
        if len(y) not in (1, len(x)):
            raise ValueError(f"got {len(y)} measurements for {len(x)} images; give one each, or one for all")
        known = support_of(own, x.shape[1:], x)
        unexplained = torch.where(known > 0, y.to(x) - made, 0)
        return x + (_damped(own, unexplained, damping) if damping else own.lift(unexplained))


def _damped(operator: LinearOperator, y: Measurements, damping: float) -> Images:
    """The picture of least `‖A e − y‖² + λ‖e‖²`: where only grey is measured, of the grey ones, as in `lift`."""
    if not operator.grey:
        return damped_least_squares(operator.A, operator.A_adjoint, y, damping)
    colours = operator.in_shape(tuple(y.shape[1:]))[0]
    return damped_least_squares(*of_grey(operator, colours), y, damping).expand(-1, colours, -1, -1)


def put_back_within(x: Images, y: Measurements, operator: HasA) -> Images:
    """As `put_back`, and in [0, 1], where clamping what that gives would change what is measured of it.

    Grey pixels are moved towards their grey (`Gray.within`). Otherwise it is found by projecting onto [0, 1] and onto the pictures that
    explain `y` in turn, with Nesterov's momentum. A picture of which that finds none, as where `y` is not what a picture in [0, 1] gives,
    is `put_back`'s own, and so to the last bit is one that explains `y` when it is clamped.

    Source: FISTA (Beck & Teboulle 2009) on the squared distance to the pictures that explain y.
    """
    own, x = unwrapped(operator), put_back(x, y, operator)
    if isinstance(own, Gray) and own.grey:
        return own.within(x)
    assert isinstance(own, LinearOperator)
    y, known = y.to(x), support_of(own, x.shape[1:], x)

    def unexplained(image: Images) -> Measurements:
        return torch.where(known > 0, y - own.A(image), 0)

    def misfit(image: Images) -> PerImage:
        return unexplained(image).abs().flatten(1).amax(1)

    kept, ahead = x, x.clamp(0, 1)
    last, first = ahead, misfit(ahead)
    sought = first > EXACT
    for count in range(1, ROUNDS + 1):
        if not bool(sought.any()):
            break
        new = (ahead + own.lift(unexplained(ahead))).clamp(0, 1)
        ahead, last = new + (count - 1) / (count + 2) * (new - last), new
        off = misfit(last)
        kept = torch.where((sought & (off <= EXACT)).view(-1, 1, 1, 1), last, kept)
        sought = sought & (off > EXACT)
        if count == TRIAL:
            sought = sought & (off < first * 2 / 3)
    return kept
