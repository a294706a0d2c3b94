"""What comes with the package opens, and says where it is from."""

from pathlib import Path

import pytest

from priorsolve.data import masks, samples
from priorsolve.photos.images import read_cropped


@pytest.mark.parametrize("path", samples() + masks(), ids=lambda path: path.name)
def test_each_opens_and_has_a_provenance(path: Path) -> None:
    image, crop = read_cropped(path, (64, 64))
    assert min(crop.original) >= 64
    assert path.stat().st_size <= 60_000
    assert image.std() > 0.05
    entry = path.with_name("PROVENANCE.md").read_text(encoding="utf-8").split(f"## {path.name}")
    assert len(entry) == 2
    assert "licence:" in entry[1].split("\n## ")[0].lower()


def test_there_are_some() -> None:
    assert len(samples()) >= 2
    assert [path.name for path in masks()] == ["scratches.png"]


def test_the_scratches_leave_most_of_the_photo() -> None:
    mask, _ = read_cropped(masks()[0], (512, 512), 1)
    assert set(mask.unique().tolist()) == {0.0, 1.0}  # type: ignore[no-untyped-call]
    assert 0.01 < mask.mean() < 0.15
