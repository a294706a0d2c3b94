"""What speed.py measures with: priors by name, solvers of few steps, an operator that notes the time, and the machine's rates."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from random_weights import biggan256, stylegan2

from priorsolve.operators.mask import Mask
from priorsolve.priors import Prior, load_prior
from priorsolve.solvers import Langevin, Latent, Layered, Multicode, Projector, Pulse, Solver
from priorsolve.solvers.tuned import Tuned
from priorsolve.types import Images, Measurements

Clock = Callable[[], float]


def named(name: str) -> Prior:
    """A prior of the zoo, or a network of that size with random weights."""
    made: dict[str, Callable[[], Prior]] = {f"stylegan2-{side}": partial(stylegan2, side) for side in (256, 1024)}
    made["biggan-256"] = biggan256
    return made[name]() if name in made else load_prior(name)


def computed(prior: Prior, dtype: str | None) -> Prior:
    """The prior as it is, or computing in another type while gradients are taken."""
    return prior.computing(getattr(torch, dtype)) if dtype else prior


def space_of(prior: Prior, solver: str) -> str:
    """Where the solver's code lives, and the bare pass begins."""
    styled = "w+" in prior.spaces
    own = {"layered": "features@2", "projector": "w", "pulse": "w+", "tuned": "w" if styled else prior.first_space}
    return own.get(solver, "w+" if styled else prior.first_space)


def made(prior: Prior, name: str, steps: int) -> Solver:
    """The solver with its defaults and one candidate: the start is not what is measured."""
    space = space_of(prior, name)
    makers: dict[str, Callable[[], Solver]] = {
        "latent": lambda: Latent(prior, space=space, steps=steps, restarts=1, candidates=1),
        "multicode": lambda: Multicode(prior, block=2, steps=steps, candidates=1),
        "layered": lambda: Layered(prior, block=2, steps=steps),
        "langevin": lambda: Langevin(prior, noise=0.1, steps=steps, candidates=1),
        "tuned": lambda: Tuned(prior, space=space, steps=steps, candidates=1),
        "pulse": lambda: Pulse(prior, steps=steps),
        "projector": lambda: Projector(prior, steps=steps, whiteness=1e3),
    }
    return makers[name]()


class Ticking(Mask):
    """A mask with a hole in the middle that notes when it is used."""

    def __init__(self, shape: Sequence[int], clock: Clock) -> None:
        known = torch.ones(*shape[1:])
        known[shape[1] // 3 : -shape[1] // 3, shape[2] // 3 : -shape[2] // 3] = 0
        super().__init__(known)
        self.clock, self.times = clock, [0.0]

    def _A(self, x: Images) -> Measurements:
        settle(x.device.type)
        self.times.append(self.clock())
        return super()._A(x)


def settle(device: str) -> None:
    """Wait for what the device was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def matmul_rate(dtype: str | None, device: str, clock: Clock) -> float:
    """FLOP/s of products of 2048² matrices, the median of seven."""
    side, rates = 2048, []
    matrix = torch.randn(side, side, device=device, dtype=getattr(torch, dtype) if dtype else torch.float32)
    for _ in range(8):
        settle(device)
        begun = clock()
        matrix @ matrix
        settle(device)
        rates.append(2 * side**3 / (clock() - begun))
    return statistics.median(rates[1:])


def peak(device: str) -> float:
    """Bytes that the process, or on a GPU its tensors, held at most."""
    if device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    status: Any = Path("/proc/self/status").read_text().splitlines()  # getrusage would count the parent's as well
    return next(float(each.split()[1]) * 1024 for each in status if each.startswith("VmHWM"))
