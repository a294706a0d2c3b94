"""What a benchmark writes beside its recipes' folders: somebody's own files in its place are kept, its own that no longer hold are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from priorsolve.files import writing
from priorsolve.photos.names import Photo
from priorsolve.run.outfolder import COMPARED, has_runs, is_run, refuse_overwriting, refuse_there

DIFFERENCES = ("differences.csv",)
TABLES = (COMPARED, "table.parquet", "table.md", "per_photo.parquet", *DIFFERENCES)


def sheet_of(name: str) -> str:
    """The sheet's name where the recipe of this name comes first."""
    return f"sheet-{name}.png"


def refuse_taken(photos: Iterable[Photo], out: Path, names: Sequence[str]) -> None:
    """Raise ValueError where `out` is a run's own, whose plan would be taken for an old one of the benchmark's, or where a table or a
    recipe's sheet would overwrite a photo, or, with no run in `out` before, somebody's own file."""
    if is_run(out):
        raise ValueError(f"{out} is a run's own folder, and no benchmark's; choose another output folder (--out)")
    targets = [*TABLES, *map(sheet_of, names)]
    refuse_overwriting(photos, out, targets)
    if not has_runs(out):
        refuse_there(out, targets)


def remove(out: Path, names: Iterable[str]) -> None:
    """Remove tables and sheets of before, of which nothing holds any more. Raises WriteError."""
    for name in names:
        with writing(out / name):
            (out / name).unlink(missing_ok=True)
