"""Solvers: find the code whose picture explains the measurement."""

from priorsolve.solvers.base import OnStep, Solution, Solver, Step
from priorsolve.solvers.fit import solve_fitting
from priorsolve.solvers.latent import Latent
from priorsolve.solvers.staged import Staged
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.stored import load_solution, save_solution

__all__ = ["Latent", "OnStep", "Solution", "Solver", "Staged", "Step", "Stop", "load_solution", "save_solution", "solve_fitting"]
