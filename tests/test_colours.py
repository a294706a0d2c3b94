"""An album's photos in like colours."""

from __future__ import annotations

import itertools
import json
import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import run_support as run
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from photo_support import WIDE
from PIL import Image

from priorsolve.cluster import Cluster, restore_on
from priorsolve.files import digest_of, write_atomically
from priorsolve.operators.gray import Gray
from priorsolve.photos.images import read_photo
from priorsolve.recipe.components import RecipeError
from priorsolve.report import write_report
from priorsolve.run import album, journal
from priorsolve.run.album import Chroma, chroma_of, grey_of, recoloured, share_colours, unshared
from priorsolve.run.journal import add_line
from priorsolve.run.records import Record, read_records, write_record
from priorsolve.run.restoration import Options, Run, restore

ALBUM = {"consistency": True, "album": True}
FILE = "album.json"


def coloured(hue: tuple[float, float, float]) -> torch.Tensor:
    """(3, 80, 90): a grey ramp on the left, the same ramp tinted on the right."""
    ramp = torch.linspace(0.2, 0.7, 80)[:, None].expand(3, 80, 90).clone()
    ramp[:, :, 40:] += torch.tensor(hue).view(3, 1, 1)
    return ramp


def test_chroma_is_of_what_has_a_colour_and_moves_to_the_albums() -> None:
    warm, cool = coloured((0.15, 0.02, -0.1)), coloured((0.12, 0.05, -0.1))
    own, albums = chroma_of(warm), chroma_of(cool)
    assert own is not None
    assert albums is not None
    assert chroma_of(coloured((0, 0, 0))) is None
    made = recoloured(warm, own, albums, Gray())
    after = chroma_of(made)
    assert after is not None
    assert abs(after.a - albums.a) < 0.3 * abs(own.a - albums.a)
    for grey in (Gray(), Gray([0.6, 1.2, 0.3]), Gray([1, -1, 0])):  # weights that add up to 1, to more, and to nothing
        assert (grey.A(recoloured(warm, own, albums, grey)[None]) - grey.A(warm[None])).abs().max() < 1e-5
    assert (made - warm)[:, :, :40].abs().max() < 1e-4  # grey stays grey


def test_a_hundredth_of_a_picture_with_a_colour_is_enough() -> None:
    image = torch.full((3, 20, 20), 0.5)
    image[0, 0, :3] = 0.9
    assert chroma_of(image) is None
    image[0, 0, :4] = 0.9
    assert chroma_of(image) is not None


def test_colours_grow_stronger_around_their_mean_and_no_more_than_so_far() -> None:
    lightness, steps = torch.full((4, 8), 60.0), torch.linspace(-2, 2, 32).view(4, 8)
    lab = torch.stack([lightness, 20 + steps, 10 - steps])
    made = recoloured(lab_to_rgb(lab[None], clip=False)[0], Chroma(20, 10, 1), Chroma(20, 10, 9), Gray())
    mean = torch.tensor([20.0, 10.0]).view(2, 1, 1)
    torch.testing.assert_close(rgb_to_lab(made[None])[0, 1:] - mean, 1.25 * (lab[1:] - mean), atol=0.3, rtol=0)


def test_a_tall_picture_is_recoloured_as_its_parts_are_and_as_far_as_may_be() -> None:
    image, own = torch.rand(3, 300, 8, generator=torch.Generator().manual_seed(0)), Chroma(0, 0, 10)
    made = recoloured(image, own, Chroma(99, -99, 10), Gray())
    torch.testing.assert_close(Gray().A(made.clamp(0, 1)[None]), Gray().A(image[None]))  # which clamping would change
    torch.testing.assert_close(made[:, 280:], recoloured(image[:, 280:], own, Chroma(album.SHIFT, -album.SHIFT, 10), Gray()))


def finished(out: Path, name: str, colour: tuple[int, ...], *, told: bool = False, misfit: float | None = 0.1, **settings: Any) -> None:
    """A picture that the recipe `r` made, with its record, which is older than digests of pictures unless one is `told`."""
    values = np.full((16, 16, len(colour)), colour, np.uint8)
    values[:8] //= 2
    (out / "images").mkdir(exist_ok=True)
    Image.fromarray(values).save(out / "images" / name, **settings)
    digest = digest_of(out / "images" / name)
    write_record(out, Record(name, "done", "f", misfit=misfit, recipe="r", image=f"images/{name}", image_sha256=digest if told else ""))


def brought(out: Path, recipe: str) -> int:
    """How many pictures are written anew when the recipe's colours are shared."""

    def written() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (out / "images").iterdir()}

    before = written()
    share_colours(out, Gray(), recipe)
    after = written()
    return sum(before[path] != after[path] for path in before)


def test_only_a_picture_made_since_is_brought_to_the_album(tmp_path: Path) -> None:
    finished(tmp_path, "a.png", (200, 120, 80))
    finished(tmp_path, "b.png", (120, 160, 200))
    assert [brought(tmp_path, "r") for _ in range(2)] == [2, 0]
    finished(tmp_path, "a.png", (210, 90, 90))  # restored once more
    assert brought(tmp_path, "r") == 1


def test_an_album_changes_nothing_of_a_picture_but_its_colours(tmp_path: Path) -> None:
    artist = Image.Exif()
    artist[315] = "somebody"
    finished(tmp_path, "a.png", (200, 120, 80, 255), exif=artist, icc_profile=WIDE)
    finished(tmp_path, "b.png", (120, 160, 200))
    before = run.pixels(tmp_path / "images/a.png")
    assert brought(tmp_path, "r") == 2
    with Image.open(tmp_path / "images/a.png") as made:
        assert made.getexif()[315] == "somebody"
        assert made.info["icc_profile"] == WIDE
    after = run.pixels(tmp_path / "images/a.png")
    assert (after[..., 3] == before[..., 3]).all()
    assert (after[..., :3] != before[..., :3]).any()


def test_a_photo_that_was_only_copied_keeps_its_colours_and_does_not_count(tmp_path: Path) -> None:
    finished(tmp_path, "a.png", (200, 120, 80), told=True)
    finished(tmp_path, "copy.png", (80, 120, 200), told=True, misfit=None)
    own, copied = chroma_of(read_photo(tmp_path / "images/a.png")[0]), run.pixels(tmp_path / "images/copy.png")
    assert own is not None
    brought(tmp_path, "r")
    assert json.loads((tmp_path / FILE).read_text())["chroma"] == {"r": asdict(own)}
    assert (run.pixels(tmp_path / "images/copy.png") == copied).all()
    assert unshared(tmp_path, "r") == []


def test_a_finished_picture_that_somebody_retouched_stays_as_it_is(tmp_path: Path) -> None:
    finished(tmp_path, "a.png", (200, 120, 80))
    finished(tmp_path, "b.png", (120, 160, 200))
    assert brought(tmp_path, "r") == 2
    with Image.open(tmp_path / "images/a.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(180).save(tmp_path / "images/a.png")
    assert unshared(tmp_path, "r") == []
    assert brought(tmp_path, "r") == 0


def test_a_retouched_picture_stays_before_and_after_the_album_whatever_its_time(tmp_path: Path, digiface64: object) -> None:
    def retouched(record: Record) -> bytes:
        path = tmp_path / "out" / str(record.image)
        assert record.image_sha256 == digest_of(path) or record.name in shared
        with Image.open(path) as image:
            image.rotate(180).save(path)
        os.utime(path, (0, 0))  # as a copy of the folder may leave it
        return path.read_bytes()

    recipe, photos, shared = run.quick(operator="gray", output=ALBUM), run.photos(tmp_path / "in", 3), list[str]()
    before = [retouched(record) for record in restore(recipe, photos, tmp_path / "out", Options(limit=1))]
    shared = [record.name for record in restore(recipe, photos, tmp_path / "out")]
    assert shared == ["01.png", "02.png"]
    after = [retouched(record) for record in read_records(tmp_path / "out") if record.name in shared]
    assert list(restore(recipe, photos, tmp_path / "out")) == []
    assert [path.read_bytes() for path in sorted((tmp_path / "out/images").iterdir())] == before + after


def test_a_damaged_album_is_decided_on_anew_by_all_its_pictures_and_none_is_brought_twice(tmp_path: Path) -> None:
    finished(tmp_path, "a.png", (200, 120, 80), told=True)
    finished(tmp_path, "b.png", (120, 160, 200), told=True)
    assert brought(tmp_path, "r") == 2
    (tmp_path / FILE).write_text("{")
    finished(tmp_path, "c.png", (210, 90, 90), told=True)
    chroma = [chroma_of(read_photo(path)[0]) for path in (tmp_path / "images").iterdir()]
    assert brought(tmp_path, "r") == 1
    expected = {key: statistics.median(getattr(each, key) for each in chroma) for key in ("a", "b", "spread")}
    assert json.loads((tmp_path / FILE).read_text())["chroma"] == {"r": expected}


def test_the_first_time_decides_on_the_albums_chroma(tmp_path: Path) -> None:
    def decided() -> object:
        assert brought(tmp_path, "r") == 1
        return json.loads((tmp_path / FILE).read_text())["chroma"]

    finished(tmp_path, "a.png", (200, 120, 80))
    first = decided()
    finished(tmp_path, "b.png", (80, 120, 200))
    assert decided() == first


def test_a_run_shares_its_colours_once(tmp_path: Path, digiface64: object) -> None:
    photos = run.photos(tmp_path / "in", 3)
    recipe = run.quick(operator="gray", output=ALBUM)
    assert len(list(restore(run.quick(operator="gray"), photos, tmp_path / "own"))) == 3
    assert len(list(restore(recipe, photos, tmp_path / "album"))) == 3

    def spread(out: str) -> float:
        paths = sorted((tmp_path / out / "images").glob("*.png"))
        found = [chroma_of(torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255) for path in paths]
        return float(np.std([chroma.a for chroma in found if chroma]) + np.std([chroma.b for chroma in found if chroma]))

    assert spread("album") < 0.8 * spread("own")
    for path in (tmp_path / "own/images").glob("*.png"):
        grey = [
            np.asarray(Image.open(each)).astype(float) @ [0.299, 0.587, 0.114] for each in (path, tmp_path / "album/images" / path.name)
        ]
        assert np.median(np.abs(grey[0] - grey[1])) < 1
    before = run.files(tmp_path / "album")
    run.picture(7).save(photos / "late.png")
    assert len(list(restore(recipe, photos, tmp_path / "album"))) == 1
    after = run.files(tmp_path / "album")
    assert {name: after[name] for name in before if name.startswith("images/")} == {
        k: v for k, v in before.items() if k.startswith("images/")
    }
    assert "images/late.png" in (tmp_path / "album" / FILE).read_text()
    (tmp_path / "album" / FILE).write_text("{")
    run.picture(8).save(photos / "later.png")
    assert len(list(restore(recipe, photos, tmp_path / "album"))) == 1
    assert "images/later.png" in (tmp_path / "album" / FILE).read_text(), "a damaged file is none"
    with pytest.raises(ValueError, match=r"output\.album brings all photos together.*leave shard out"):
        restore(recipe, photos, tmp_path / "shards", Options(shard=(0, 2)))


def test_an_album_is_finished_whenever_it_was_killed_and_no_picture_is_brought_twice(
    tmp_path: Path, digiface64: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = run.photos(tmp_path / "in", 3)
    recipe = run.quick(operator="gray", output=ALBUM)
    list(restore(recipe, photos, tmp_path / "whole"))
    list(restore(run.quick(operator="gray"), photos, tmp_path / "own"))
    whole, own = run.files(tmp_path / "whole"), run.files(tmp_path / "own")
    assert all(whole[name] != own[name] for name in own if name.startswith("images/"))
    for killed in range(9):  # before the first write, after it, …, after the last
        left = [killed]

        def alive(left: list[int] = left) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1

        def write(path: Path, data: bytes, alive: Callable[[], None] = alive) -> None:
            alive()
            write_atomically(path, data)

        def add(path: Path, told: Mapping[str, Any], alive: Callable[[], None] = alive) -> None:
            alive()
            add_line(path, told)

        out = tmp_path / str(killed)
        with monkeypatch.context() as patched:
            for module in (album, journal):
                patched.setattr(module, "write_atomically", write)
            patched.setattr(journal, "add_line", add)
            if killed < 8:
                with pytest.raises(KeyboardInterrupt):
                    list(restore(recipe, photos, out))
            else:
                list(restore(recipe, photos, out))
        again = Run(recipe, [photos], out, Options())
        assert (again.todo, again.before) == ([], {"done": 3})
        # with Ray, which nothing is left for, it is finished here
        assert list(restore_on(Cluster(), recipe, [photos], out) if killed == 1 else again.records()) == []
        assert run.files(out) == whole
        assert not unshared(out, next(iter(run.records(out).values()))["recipe"])


def recorded(out: Path) -> dict[str, float]:
    return {name: record["metrics"]["psnr"] for name, record in run.records(out).items()}


def written(out: Path) -> dict[str, float]:
    """The PSNR of the 8 bits in the files."""
    off = {name: run.pixels(out / each["image"]) - run.pixels(out / each["original"]) for name, each in run.records(out).items()}
    return {name: float(-10 * np.log10(np.mean(np.square(each / 255)))) for name, each in off.items()}


def test_records_have_the_figures_of_the_pictures_that_the_album_brought(
    tmp_path: Path, digiface64: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, options = run.photos(tmp_path / "in", 3), Options(degrade=True)
    recipe = run.quick(operator="gray", output=ALBUM)
    before = {record.name: record.metrics["psnr"] for record in restore(recipe, photos, tmp_path / "whole", options)}
    whole = recorded(tmp_path / "whole")
    assert whole == pytest.approx(written(tmp_path / "whole"), abs=0.006)
    assert all(abs(whole[name] - before[name]) > 0.02 for name in whole), "as it was before, the figures would be these"
    for killed in range(3):  # before a record is written
        left, out = [killed], tmp_path / str(killed)

        def write(out: Path, record: Record, left: list[int] = left) -> Path:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return write_record(out, record)

        with monkeypatch.context() as patched:
            patched.setattr(album, "write_record", write)
            with pytest.raises(KeyboardInterrupt):
                list(restore(recipe, photos, out, options))
        assert recorded(out) != whole
        assert list(restore(recipe, photos, out, options)) == []
        assert recorded(out) == whole
        assert run.files(out) == run.files(tmp_path / "whole")
    write_report(tmp_path / "whole")
    table = pyarrow.parquet.read_table(tmp_path / "whole/results.parquet").to_pylist()
    assert [row["psnr"] for row in table] == [whole[name] for name in sorted(whole)]


@pytest.mark.parametrize("original", ["gone", "another size"])
def test_figures_are_left_out_where_a_picture_cannot_be_compared_again(tmp_path: Path, original: str) -> None:
    finished(tmp_path, "a.png", (200, 120, 80))
    finished(tmp_path, "b.png", (120, 160, 200))
    (tmp_path / "originals").mkdir()
    if original != "gone":
        Image.new("RGB", (20, 16)).save(tmp_path / "originals/a.png")
    figures = {"psnr": 20.0, "coverage90": 0.9}
    compared = Record("a.png", "done", "f", misfit=0.1, recipe="r", image="images/a.png", original="originals/a.png", metrics=figures)
    write_record(tmp_path, compared)
    assert brought(tmp_path, "r") == 2
    record = run.records(tmp_path)["a.png"]
    assert record["metrics"] == {"coverage90": 0.9}
    assert record["notes"] == [album.NO_FIGURES]
    assert run.records(tmp_path)["b.png"]["notes"] == []


def test_figures_of_frames_stay_and_say_what_they_are_of(tmp_path: Path) -> None:
    finished(tmp_path, "a.png", (200, 120, 80))
    finished(tmp_path, "b.png", (120, 160, 200))
    write_record(tmp_path, Record("a.png", "done", "f", recipe="r", misfit=0.1, image="images/a.png", metrics={"psnr": 20.0}))
    share_colours(tmp_path, Gray(), "r", framed=True)
    kept = run.records(tmp_path)
    assert (kept["a.png"]["metrics"], kept["a.png"]["notes"]) == ({"psnr": 20.0}, [album.OF_FRAMES])
    assert kept["b.png"]["notes"] == []


def test_each_recipe_has_an_album_of_its_own_in_a_folder(tmp_path: Path) -> None:
    def chroma() -> dict[str, object]:
        kept: dict[str, object] = json.loads((tmp_path / FILE).read_text())["chroma"]
        return kept

    finished(tmp_path, "a.png", (200, 120, 80))
    assert brought(tmp_path, "r") == 1
    first = chroma()
    finished(tmp_path, "b.png", (80, 120, 200))
    own = chroma_of(read_photo(tmp_path / "images/b.png")[0])
    assert own is not None
    write_record(tmp_path, Record("b.png", "done", "f", misfit=0.1, recipe="s", image="images/b.png"))
    assert brought(tmp_path, "s") == 1
    assert chroma() == {**first, "s": asdict(own)}
    assert [unshared(tmp_path, recipe) for recipe in "rs"] == [[], []], "no picture is brought twice"
    (tmp_path / FILE).write_text(json.dumps({**json.loads((tmp_path / FILE).read_text()), "chroma": first["r"]}))  # an older file's
    assert unshared(tmp_path, "r") == []
    finished(tmp_path, "c.png", (80, 120, 200))
    assert brought(tmp_path, "r") == 1
    assert chroma() == first


def test_a_run_that_is_stopped_leaves_the_album_to_the_next_one(tmp_path: Path, digiface64: object) -> None:
    photos, out, asked = run.photos(tmp_path / "in", 3), tmp_path / "out", itertools.count()
    recipe, one = run.quick(operator="gray", output=ALBUM), Options(batch_size=1)
    list(restore(recipe, photos, tmp_path / "whole", one))
    stopped = Run(recipe, [photos], out, one)
    assert len(list(stopped.records(stop=lambda: next(asked) >= 1))) == 1
    assert not (out / FILE).exists()
    assert len(list(restore(recipe, photos, out, one))) == 2
    assert run.files(out) == run.files(tmp_path / "whole")
    assert (out / FILE).read_text() == (tmp_path / "whole" / FILE).read_text()


def test_the_first_photos_of_a_run_with_a_limit_do_not_decide(tmp_path: Path, digiface64: object) -> None:
    photos, out = run.photos(tmp_path / "in", 3), tmp_path / "out"
    recipe = run.quick(operator="gray", output=ALBUM)
    list(restore(recipe, photos, tmp_path / "whole"))
    for limit in (2, 0):
        list(restore(recipe, photos, out, Options(limit=limit)))
        assert not (out / FILE).exists()
    assert len(list(restore(recipe, photos, out, Options(limit=2)))) == 1
    assert run.files(out) == run.files(tmp_path / "whole")


def test_grey_pictures_are_looked_at_once(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.fromarray((coloured((0, 0, 0)).permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(tmp_path / f"images/{name}.png")
        write_record(tmp_path, Record(f"{name}.png", "done", "f", misfit=0.1, image=f"images/{name}.png"))
    assert unshared(tmp_path, "f") == ["images/a.png", "images/b.png"]
    assert brought(tmp_path, "f") == 0
    assert unshared(tmp_path, "f") == []
    Image.fromarray((coloured((0.15, 0.02, -0.1)).permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(tmp_path / "images/b.png")
    write_record(tmp_path, Record("b.png", "done", "f", misfit=0.1, image="images/b.png"))  # restored once more
    assert brought(tmp_path, "f") == 1  # which decides on the album's chroma
    assert unshared(tmp_path, "f") == []


def test_photos_with_colours_of_their_own_keep_them() -> None:
    with pytest.raises(RecipeError, match="gray among the operators"):
        grey_of(run.quick(output=ALBUM))
    assert run.quick(operator="gray", output=ALBUM).fingerprint() != run.quick(operator="gray").fingerprint()
