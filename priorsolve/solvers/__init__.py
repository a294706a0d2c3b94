"""Solvers: find the code whose picture explains the measurement."""

from priorsolve.solvers.base import Solver, Solves
from priorsolve.solvers.delta import load_delta, save_delta
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.langevin import Langevin
from priorsolve.solvers.latent import Latent
from priorsolve.solvers.layered import Layered
from priorsolve.solvers.layerwise import Layerwise
from priorsolve.solvers.mirrored import Mirrored
from priorsolve.solvers.multicode import Multicode
from priorsolve.solvers.pivotal import Pivotal
from priorsolve.solvers.projector import Projector
from priorsolve.solvers.pulse import Pulse
from priorsolve.solvers.redrawn import picture
from priorsolve.solvers.solution import OnStep, Solution, Step
from priorsolve.solvers.staged import Staged
from priorsolve.solvers.starts import start_at
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.stored import load_solution, save_solution
from priorsolve.solvers.tuned import Tuned

__all__ = [
    "Langevin",
    "Latent",
    "Layered",
    "Layerwise",
    "Mirrored",
    "Multicode",
    "OnStep",
    "Pivotal",
    "Projector",
    "Pulse",
    "Solution",
    "Solver",
    "Solves",
    "Staged",
    "Step",
    "Stop",
    "Tuned",
    "load_delta",
    "load_solution",
    "picture",
    "save_delta",
    "save_solution",
    "solve_fitting",
    "start_at",
]
