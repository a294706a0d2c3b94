"""Where in a run's output folder everything lies, and each photo's results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from priorsolve.photos.names import output_name

FOLDERS = ("images", "measurements", "originals", "spread", "codes")
"""Where a run writes pictures, and what draws them."""
RECORDS = "records"
"""And what it keeps about each photo."""
RECIPE, PLAN, ALBUM = "recipe.yaml", "run.json", "album.json"
REPORT, SHEET, TABLE = "report.html", "sheet.png", "results.parquet"
OTHERS = (PLAN, ALBUM, SHEET, REPORT, TABLE)
"""All that it writes under one name, but for the recipe."""


@dataclass(frozen=True)
class Places:
    """Where a photo's results go, as paths below the output folder: the measurement is a picture or an array."""

    restored: str
    picture: str
    array: str
    clean: str
    spread: str
    codes: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.restored, self.picture, self.array, self.clean, self.spread, self.codes))


def places_of(name: str, output: Literal["same", "png"]) -> Places:
    """The places of the photo `name` where restored images have this format; no two photos with different images share one."""
    # the picture is called as a restored PNG is: `a.jpg.png` for `a.jpg`, so `a.jpg.png` steps aside
    restored, picture = output_name(name, output), output_name(name, "png")
    return Places(
        restored=f"images/{restored}",
        picture=f"measurements/{picture}",
        array=f"measurements/{restored}.npy",
        clean=f"originals/{picture}",
        spread=f"spread/{picture}",
        codes=f"codes/{restored}.safetensors",
    )


def photos_of(place: str) -> set[str]:
    """The names of all photos whose result may be at this place, whatever the format of restored images."""
    names = {place.partition("/")[2]}
    for suffix in (".npy", ".safetensors", ".png"):
        names |= {name.removesuffix(suffix) for name in names}
    return names


def must_be_result(place: str) -> str:
    """The place, unless it is not in one of the folders of a run, where no record may say that a photo's result is: then ValueError."""
    folder, *within = PurePosixPath(place).parts or ("",)
    if folder not in FOLDERS or not within or ".." in within:
        raise ValueError(f"{place!r} is no place of a result")
    return place
