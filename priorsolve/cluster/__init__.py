"""Photos on many workers, by Ray: each holds the prior, the driver hands out batches, and a worker that dies is replaced.

Actors rather than Ray Data: what is to be done about a batch that killed its worker (its photos one by one, the culprit named) is ours
to say, and every record is on the disk before it is told, so nothing depends on Ray's memory of what was done.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

from priorsolve.cluster.ray import Cluster, ClusterError
from priorsolve.cluster.workers import Crew, crew
from priorsolve.recipe.recipe import Recipe
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, Run, run_of

__all__ = ["Cluster", "ClusterError", "Crew", "crew", "restore_on"]


def restore_on(
    cluster: Cluster, recipe: Recipe, photos: str | Path | Sequence[str | Path], out: str | Path, options: Options | None = None
) -> Generator[Record, None, None]:
    """As `priorsolve.restore`, on a cluster: the same pictures and records, told in the order in which they are done.

    Raises as that does, and ClusterError.
    """
    return _records(run_of(recipe, photos, out, options), cluster)


def _records(run: Run, cluster: Cluster) -> Generator[Record, None, None]:
    if run.todo:
        with crew(run, cluster) as made:
            made.prepare()
            yield from made.records()
    else:
        yield from run.records()  # an album may be left to finish
