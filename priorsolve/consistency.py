"""What was measured, and what is made of the answer: put back, or compared."""

from __future__ import annotations

from priorsolve.operators.base import LinearOperator, Operator
from priorsolve.types import Images, Measurements


def put_back(x: Images, y: Measurements, operator: LinearOperator) -> Images:
    """`x + A†(y − A x)`: the picture nearest to `x` that explains `y` exactly (as far as `A` can), so `A(result) = y`.

    Inpainting keeps the known pixels and the prior fills the hole; upscaling keeps the small picture. Where another picture that explains
    `y` looks better than the nearest, the operator's `lift` takes the place of `A†`: colorizing keeps the grey values and the chroma.
    What `y` holds where nothing was measured is ignored. Noise in `y` is put back too.
    """
    known = operator.support(x.new_ones(operator.batch or 1, *x.shape[1:]))
    return x + operator.lift((y - operator.A(x)) * known)


def surrogate_notes(x: Images, true: Operator, surrogate: Operator) -> list[str]:
    """A sentence for each picture: how far a solver's stand-in is from the operator that it stands for, there."""
    where = true.support(x.new_ones(true.batch or 1, *x.shape[1:]))
    squares = ((true.A(x) - surrogate.A(x)).square() * where).flatten(1).sum(1)
    off = (squares / where.expand(len(x), *where.shape[1:]).flatten(1).sum(1)).sqrt().tolist()
    return [f"the surrogate is off by {size:.2g} (root mean square) from the operator, on the restored picture" for size in off]
