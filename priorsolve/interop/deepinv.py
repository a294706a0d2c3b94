"""deepinv, both ways: our solvers as its reconstructors, our operators as its physics.

model = as_reconstructor(Latent(prior))                          # deepinv.test(model, loader, physics)
physics = to_physics(Mask(known), Gaussian(0.02), img_size=(3, 64, 64))

The third way needs nothing: `solver(y, physics)` takes every deepinv physics of real pictures; one of `to_physics` is the
operator in it, for `put_back` too.
Checked with deepinv 0.5 (https://deepinv.github.io).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from priorsolve.operators.base import LinearOperator, Operator, place_of, shape_text, smallest_batch
from priorsolve.operators.noise import Noise, must_be_noise
from priorsolve.priors import Prior
from priorsolve.showing import checked_seed, is_whole, shown
from priorsolve.solvers import Mirrored, Solves, Staged
from priorsolve.types import Images, Measurements, Shape

try:
    from deepinv.models import Reconstructor
    from deepinv.physics import LinearPhysics, NoiseModel, Physics, ZeroNoise
    from deepinv.utils import TensorList
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] != "deepinv":
        raise  # deepinv is here and lacks something of its own
    message = 'priorsolve.interop.deepinv needs deepinv, which is not installed; run: pip install "deepinv>=0.5"'
    raise ModuleNotFoundError(message, name="deepinv") from None


def as_reconstructor(solver: Solves) -> SolverReconstructor:
    """The solver as a deepinv model: `model(y, physics)` is (B, C, H, W), as the prior draws it, in [0, 1] and not clamped.

    Raises:
        ValueError: it is no solver.
    """
    if not isinstance(getattr(solver, "prior", None), Prior):
        raise ValueError(f"as_reconstructor needs a solver, such as Latent(prior), got {shown(solver)}")
    return SolverReconstructor(solver)


def to_physics(operator: Operator, noise: Noise | None = None, *, img_size: Shape, seed: int = 0) -> OperatorPhysics:
    """The operator as a deepinv physics, a `LinearPhysics` where it is linear.

    Args:
        operator: one of `priorsolve.operators`. Its parameters are set; deepinv's `update(...)` and `A(x, mask=...)` are refused.
        noise: what `physics(x)` adds to `A(x)`; where nothing was measured (a hole) it adds nothing.
        img_size: (C, H, W) of the images.
        seed: of the noise's random numbers, which go on from call to call; `physics(x, seed=1)` begins them anew.

    Raises:
        ValueError: the operator is not one of ours, or cannot measure images of `img_size`.
    """
    if not isinstance(operator, Operator):
        raise ValueError(
            f"to_physics needs one of priorsolve's operators, got {shown(operator)}; deepinv's own Physics(A=...) takes functions"
        )
    must_be_noise(noise, "to_physics", "; a noise model of deepinv's is set afterwards, with set_noise_model")
    if not isinstance(img_size, Sequence) or isinstance(img_size, str) or not all(map(is_whole, img_size)):
        raise ValueError(f"to_physics: img_size is {shown(img_size)}; give (C, H, W), such as (3, 64, 64)")
    kind = LinearOperatorPhysics if isinstance(operator, LinearOperator) else OperatorPhysics
    return kind(operator, noise, tuple(img_size), checked_seed(seed, "to_physics"))


class SolverReconstructor(Reconstructor):  # type: ignore[misc]
    """A solver behind deepinv's `forward(y, physics)`. `to(device)` takes the priors along; they stay frozen and in eval mode."""

    def __init__(self, solver: Solves) -> None:
        super().__init__()
        self.solver = solver
        self.priors = nn.ModuleList(_priors(solver))

    def forward(self, y: Measurements | TensorList, physics: Physics) -> Images:
        """Images for measurements `y` of a physics; a stack's measurements, a `TensorList`, are compared as one long vector each.

        Raises:
            ValueError: the physics measures complex pictures only, such as a `RandomPhaseRetrieval`; and as a solver raises it.
        """
        if isinstance(y, TensorList):
            return self.solver(_joined(y), lambda x: _joined(physics.A(x))).images
        return self.solver(y, physics).images

    def train(self, mode: bool = True) -> SolverReconstructor:
        """There is nothing to train: stays in eval mode."""
        return super().train(False)  # type: ignore[no-any-return]


class OperatorPhysics(Physics):  # type: ignore[misc]
    """One of our operators as a deepinv physics; made by `to_physics`."""

    operator: Operator
    measured: Tensor
    """1 where something is measured, 0 in holes; of a measurement's shape, for one image or one each."""

    def __init__(self, operator: Operator, noise: Noise | None, img_size: Shape, seed: int) -> None:
        operator.out_shape(img_size)
        super().__init__(noise_model=ZeroNoise() if noise is None else _SeededNoise(noise, seed))
        device, dtype = place_of(operator)
        self.operator, self.img_size = operator, img_size
        self.register_buffer("measured", operator.support(torch.ones(smallest_batch(operator), *img_size, device=device, dtype=dtype)))
        self.to(self.measured.device)

    @property
    def priorsolve_operator(self) -> Operator:
        """The operator, by which solvers know its holes."""
        return self.operator

    def A(self, x: Images, **parameters: Any) -> Measurements:
        self._refuse(parameters)
        if tuple(x.shape[1:]) != self.img_size:
            expected, given = shape_text(self.img_size), shape_text(tuple(x.shape[1:]))
            raise ValueError(f"{self.operator}: this physics is for images of shape {expected}, got {given}; make another with to_physics")
        return self.operator.A(x)

    def noise(self, x: Measurements, **parameters: Any) -> Measurements:
        return torch.where(self.measured > 0, super().noise(x, **parameters), x)

    def update_parameters(self, **parameters: Any) -> None:
        self._refuse(parameters)

    def _refuse(self, parameters: dict[str, Any], why: str = "its parameters never change", way: str = "make another physics") -> None:
        """deepinv hands every part all parameters; those of the noise model, and its seed, pass."""
        mine = [name for name in parameters if name != "seed" and not hasattr(self.noise_model, name)]
        if mine:
            raise ValueError(f"{self.operator}: {why}, so {', '.join(mine)} cannot be given; {way}")


class LinearOperatorPhysics(OperatorPhysics, LinearPhysics):  # type: ignore[misc]
    """One of our linear operators as a deepinv `LinearPhysics`, with the operator's own adjoint and pseudo-inverse."""

    operator: LinearOperator

    def A_adjoint(self, y: Measurements, **parameters: Any) -> Images:
        self._refuse(parameters)
        return self.operator.A_adjoint(y)

    def adjointness_test(
        self, u: Tensor | None = None, img_size: Shape | None = None, num_samples: int | None = None, **others: Any
    ) -> Tensor:
        """deepinv's own; left out, `num_samples` is how many images the operator has parameters for, or 1 where they serve any number."""
        samples = smallest_batch(self.operator) if num_samples is None else num_samples
        error: Tensor = super().adjointness_test(u, img_size, samples, **others)
        return error

    def A_dagger(self, y: Measurements, **parameters: Any) -> Images:
        """The operator's own `A† y`, differentiable in `y`; it takes none of deepinv's solver settings."""
        self._refuse(parameters, "A_dagger is its own and takes none of deepinv's solver settings", "leave it out")
        return self.operator.A_dagger(y)


class _SeededNoise(NoiseModel):  # type: ignore[misc]
    """Our noise as a deepinv noise model, with a generator of its own."""

    def __init__(self, noise: Noise, seed: int) -> None:
        super().__init__(self._noisy, torch.Generator().manual_seed(seed))
        self.noise = noise

    def _noisy(self, y: Measurements) -> Measurements:
        return self.noise(y, rng=self.rng)

    def to(self, *args: Any, **kwargs: Any) -> _SeededNoise:
        """Our noises draw on the CPU wherever `y` lies, so the generator stays there."""
        return nn.Module.to(self, *args, **kwargs)


def _priors(solver: Solves) -> list[Prior]:
    if isinstance(solver, Mirrored):
        return _priors(solver.solver)
    return [prior for stage in solver.stages for prior in _priors(stage)] if isinstance(solver, Staged) else [solver.prior]


def _joined(y: TensorList) -> Measurements:
    return torch.cat([part.flatten(1) for part in y], dim=1)
