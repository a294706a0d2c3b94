"""Where the command line's photos are done: in this process, or by Ray's workers. torch is imported inside, so that --help is quick."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from priorsolve.cluster import Cluster
    from priorsolve.run.advance import OnAdvance
    from priorsolve.run.records import Record
    from priorsolve.run.restoration import Run
    from priorsolve.run.workbench import ShouldStop

    Records: TypeAlias = Callable[[OnAdvance | None, ShouldStop], Iterator[Record]]


def cluster_of(engine: str, **given: Any) -> Cluster | None:
    """Where Ray's workers are to be, None for the local engine."""
    if engine not in ("local", "ray"):
        raise ValueError(f"--engine {engine}: use local or ray")
    if engine == "local":
        if names := [
            f"--{'ray-' if name == 'address' else ''}{name.replace('_', '-')}" for name, value in given.items() if value is not None
        ]:
            raise ValueError(f"{', '.join(names)}: for --engine ray alone")
        return None
    from priorsolve.cluster import Cluster

    return Cluster(**given)


@contextlib.contextmanager
def loaded(run: Run, cluster: Cluster | None, quiet: bool) -> Iterator[Records]:
    """Prior and workers, and within it a function of `(on_step, stop)` that yields the records."""
    from priorsolve.command import console

    if cluster is not None and run.todo:
        from priorsolve.cluster import crew

        with crew(run, cluster) as made:
            made.prepare()
            yield lambda _, stop: made.records(stop)
        return
    if run.todo:
        with console.downloading(run.recipe.prior, quiet) as on_download, console.learning(run.recipe.prior, quiet) as on_learning:
            run.prepare(on_download, on_learning)
    yield lambda on_step, stop: run.records(on_step, stop=stop)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """What --shard says."""
    if text is None:
        return None
    given = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
    if given is None:
        raise ValueError(f"--shard {text}: write it as i/n, such as 0/4")
    return int(given[1]), int(given[2])
