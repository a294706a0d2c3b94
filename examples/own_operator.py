"""An operator of your own, checked by the laws and solved with: a lens that darkens the corners.

Run: python examples/own_operator.py [STEPS]
"""

import sys

import torch

import priorsolve as ps
from priorsolve.operators.laws import check_laws
from priorsolve.types import Images, Measurements, Shape


class Vignette(ps.operators.LinearOperator):
    """Brightness falls towards the corners.

    y = v·x          Aᵀ y = v·y          A† y = y / v          v = 1 − strength·r², r = 1 in the corners
    """

    def __init__(self, strength: float = 0.7) -> None:
        super().__init__()
        self.strength = strength

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise self._refuse("(B, C, H, W)", in_shape)
        return in_shape

    def in_shape(self, out_shape: Shape) -> Shape:
        return self.out_shape(out_shape)

    def _A(self, x: Images) -> Measurements:
        return self._brightness(x) * x

    def _A_adjoint(self, y: Measurements) -> Images:
        return self._brightness(y) * y

    def _A_dagger(self, y: Measurements) -> Images:
        return y / self._brightness(y)

    def _brightness(self, like: torch.Tensor) -> torch.Tensor:
        down, across = (torch.linspace(-1, 1, size, device=like.device, dtype=like.dtype) for size in like.shape[-2:])
        return 1 - self.strength * (down[:, None] ** 2 + across**2) / 2

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


def main(steps: int = 60) -> None:
    """Check the laws, then restore a picture that is dark in the corners and half missing."""
    check_laws(Vignette(), (3, 32, 32))
    prior = ps.load_prior("digiface64")
    truth = prior.decode(prior.sample(1, rng=torch.Generator().manual_seed(3)))
    A = ps.operators.Holes(half="left") @ Vignette()
    solution = ps.solvers.Latent(prior, steps=steps)(A.A(truth), A)
    print(f"{A}: residual {float(solution.residual):.4f} after {int(solution.steps)} steps; {solution.stopped[0].value}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
