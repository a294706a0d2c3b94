"""What a search cost, counted so that it does not depend on the machine."""

from __future__ import annotations

from priorsolve.solvers import Solves, Staged


def passes(solver: Solves, steps: int) -> int:
    """Generator passes for one photo that took `steps` steps: one for each restart still followed at each step, one for each candidate.

    A step's pass is forward and backward, a sampled candidate's forward only. A pass is a picture: the several codes that multicode mixes
    into one count as one, though each goes through the layers before the mixing by itself. Stages are taken to have spent their steps in
    order, so an early stage that stopped before its budget lends what it left to the next. The pictures from which `begin_at: regressed`
    predicts are drawn once for a prior and serve every photo ever after, so they are no photo's own and not counted.
    """
    stages = list(solver.stages) if isinstance(solver, Staged) else [solver]
    total, left = 0, steps
    for place, stage in enumerate(stages):
        spent = min(left, stage.steps) if place < len(stages) - 1 else left
        left -= spent
        # a later stage begins at one solution, others in the middle of the prior or by regression: they follow one code
        sampled = place == 0 and getattr(stage, "begin_at", "sampled") == "sampled"
        rows = getattr(stage, "restarts", 1) if sampled else 1
        if sampled:
            total += max(getattr(stage, "candidates", 0), rows if hasattr(stage, "candidates") else 0)
        halvings = frozenset(getattr(stage, "halve_at", ()))
        for step in range(spent):
            total += rows
            rows = (rows + 1) // 2 if step in halvings else rows
    return total
