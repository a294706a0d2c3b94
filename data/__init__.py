"""What comes with the package: sample photos and masks; where each is from stands in the PROVENANCE.md beside it."""

from importlib.resources import files
from pathlib import Path


def samples() -> list[Path]:
    """The sample photos, sorted: faces in FFHQ's framing, free to redistribute."""
    return _pictures("samples")


def masks() -> list[Path]:
    """The masks, sorted: white marks what is damaged."""
    return _pictures("masks")


def _pictures(folder: str) -> list[Path]:
    place = Path(str(files("priorsolve.data") / folder))
    return sorted(path for path in place.iterdir() if path.suffix in (".jpg", ".png"))
