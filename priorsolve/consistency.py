"""Put back what was measured."""

from __future__ import annotations

from priorsolve.operators.base import LinearOperator
from priorsolve.types import Images, Measurements


def put_back(x: Images, y: Measurements, operator: LinearOperator) -> Images:
    """`x + A†(y − A x)`: the picture nearest to `x` that explains `y` exactly (as far as `A` can), so `A(result) = y`.

    Inpainting keeps the known pixels and the prior fills the hole; upscaling keeps the small picture. Where another picture that explains
    `y` looks better than the nearest, the operator's `lift` takes the place of `A†`: colorizing keeps the grey values and the chroma.
    What `y` holds where nothing was measured is ignored. Noise in `y` is put back too.
    """
    known = operator.support(x.new_ones(operator.batch or 1, *x.shape[1:]))
    return x + operator.lift((y - operator.A(x)) * known)
