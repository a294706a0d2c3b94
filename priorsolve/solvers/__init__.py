"""Solvers: find the code whose picture explains the measurement."""

from priorsolve.solvers.base import OnStep, Solution, Solver, Step
from priorsolve.solvers.drawing import picture
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.langevin import Langevin
from priorsolve.solvers.latent import Latent
from priorsolve.solvers.layered import Layered
from priorsolve.solvers.multicode import Multicode
from priorsolve.solvers.projector import Projector
from priorsolve.solvers.pulse import Pulse
from priorsolve.solvers.staged import Staged
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.stored import load_solution, save_solution

__all__ = [
    "Langevin",
    "Latent",
    "Layered",
    "Multicode",
    "OnStep",
    "Projector",
    "Pulse",
    "Solution",
    "Solver",
    "Staged",
    "Step",
    "Stop",
    "load_solution",
    "picture",
    "save_solution",
    "solve_fitting",
]
