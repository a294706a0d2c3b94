"""The benchmark: its numbers are those of the images it wrote, a second run does nothing again, and its intervals are Student's."""

from __future__ import annotations

import contextlib
import csv
import errno
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pyarrow.parquet as parquet
import pytest
import run_support as run
import torch
from PIL import Image
from scipy import stats
from solvers_support import linear

from priorsolve.baselines import BASELINES
from priorsolve.cli import main
from priorsolve.comparison import benchmark
from priorsolve.comparison.benchmark import Benchmark, passes_of
from priorsolve.comparison.summary import Mean, Score, interval, summarised
from priorsolve.comparison.variants import read_variants
from priorsolve.files import WriteError
from priorsolve.metrics import METRICS
from priorsolve.operators import Downsample
from priorsolve.priors import Prior
from priorsolve.recipe.components import RecipeError
from priorsolve.run.restoration import Options
from priorsolve.run.workbench import Workbench
from priorsolve.sheet import BOX, GAP
from priorsolve.solvers import Latent, Staged

SMALL = """\
operator:
  - downsample: {factor: 4, kernel: area}
noise:
  - gaussian: {sigma: 0.05}
prior: digiface64
solver:
  - latent: {steps: 2, restarts: 2, candidates: 3}
  - latent: {space: features@1, steps: 1}
"""


def command(tmp_path: Path, *more: str, count: int = 3) -> list[str]:
    """The benchmark of two recipes, one of them in two variants, of three photos."""
    hole, small = run.recipe_file(tmp_path / "hole"), run.recipe_file(tmp_path / "small", SMALL)
    photos = run.photos(tmp_path / "in", count)
    recipes = [f"hole={hole}", f"longer={hole}?solver.steps=3&solver.candidates=5", f"small={small}"]
    return ["benchmark", *recipes, "--photos", str(photos), "--out", str(tmp_path / "out"), "--metric", "psnr", "--metric", "ssim", *more]


def image(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)[None].float() / 255


def rows(out: Path, name: str = "table") -> dict[tuple[Any, ...], dict[str, Any]]:
    keys = ("recipe", "method") if name == "table" else ("recipe", "method", "photo")
    return {tuple(row[key] for key in keys): row for row in parquet.read_table(out / f"{name}.parquet").to_pylist()}


@pytest.mark.usefixtures("digiface64")
def test_the_table_is_what_the_images_say(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    assert main(command(tmp_path)) == 0
    said = capfd.readouterr()
    assert "biharmonic" in said.out
    table, single = rows(out), rows(out, "per_photo")
    assert list(table) == [
        *[("hole", "latent"), ("longer", "latent")],
        *[("hole", name) for name in ("copy", "biharmonic", "tv", "pinv")],
        ("small", "latent + latent"),
        *[("small", name) for name in ("copy", "bicubic", "lanczos", "pinv")],
    ]
    assert len(single) == 3 * len(table)
    for (recipe, method), line in table.items():
        folder = out / recipe / "baselines" / method if method in BASELINES else out / recipe
        for key in ("psnr", "ssim"):
            values = [
                float(METRICS[key](image(folder / "images" / name), image(out / recipe / "originals" / name)))
                for name in ("00.png", "01.png", "02.png")
            ]
            assert values == [single[recipe, method, name][key] for name in ("00.png", "01.png", "02.png")]
            assert line[key] == pytest.approx(np.mean(values), abs=1e-9)
            assert line[f"{key}_ci95"] == pytest.approx(stats.t.interval(0.95, 2, 0, stats.sem(values))[1], rel=1e-9)
        assert line["n"] == 3
        assert line["seconds"] > 0
        assert line["seconds_ci95"] is None
        assert (line["passes"] == 0) == (method in BASELINES)
    # the measurement that was written is the one that everything was judged by, but for its 8 bits
    for method in ("latent + latent", "bicubic"):
        folder = out / "small" / ("baselines/bicubic" if method == "bicubic" else "")
        y = image(out / "small" / "measurements" / "01.png")
        residual = Downsample(4, "area").A(image(folder / "images" / "01.png")) - y
        assert single["small", method, "01.png"]["misfit"] == pytest.approx(float(residual.square().mean().sqrt()), abs=1.5e-3)
    assert single["hole", "tv", "00.png"]["misfit"] < 1e-6  # known pixels are kept, to the last of 8 bits
    with (out / "table.csv").open() as stream:
        assert [float(row["psnr"]) for row in csv.DictReader(stream)] == [line["psnr"] for line in table.values()]
    markdown = (out / "table.md").read_text()
    tv = table["hole", "tv"]
    assert f"| hole | tv | 3 | {tv['psnr']:.2f} ± {tv['psnr_ci95']:.2f} | " in markdown
    assert f" {tv['psnr']:.2f} ± {tv['psnr_ci95']:.2f} " in said.out, "in one line, though no terminal says how long it may be"
    assert "data range 1" in markdown
    with Image.open(out / "sheet-hole.png") as hole, Image.open(out / "sheet-small.png") as small:
        assert hole.width - small.width == BOX + GAP  # original, measurement, two recipes and four baselines, beside one recipe fewer
    assert not (out / "sheet-longer.png").exists()  # it poses the same problem as `hole`

    def never(*_: object, **__: object) -> NoReturn:
        raise AssertionError("it was done before")

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.parent.name in ("images", "records")}
    monkeypatch.setattr(Workbench, "solve", never)
    for name in ("biharmonic", "bicubic"):
        monkeypatch.setitem(BASELINES, name, type(BASELINES[name])(name, BASELINES[name].applies, never))
    assert main(command(tmp_path, "--quiet")) == 0
    assert capfd.readouterr().out == ""
    assert rows(out) == table
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.usefixtures("digiface64")
def test_failures_limits_and_what_is_missing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = command(tmp_path, "--no-baselines")
    (tmp_path / "in" / "01.png").write_text("no picture")
    out = tmp_path / "out"
    assert main([*arguments, "--limit", "1"]) == 0
    assert main([*arguments, "--limit", "1"]) == 0  # not one more each time
    assert {key[2] for key in rows(out, "per_photo")} == {"00.png"}
    assert rows(out)["hole", "latent"]["psnr_ci95"] is None
    assert "hole: 1 photo\n" in capfd.readouterr().err
    assert main(arguments) == 1
    said = capfd.readouterr().err
    assert "3 results are missing" in said
    assert said.count("failed: 01.png: ") == 1, "though three recipes met it"
    assert main(arguments) == 1
    assert capfd.readouterr().err.count("failed: 01.png: ") == 1, "it is tried again"
    assert {row["n"] for row in rows(out).values()} == {2}
    assert main([argument for argument in arguments if argument != "--no-baselines"]) == 1
    assert [line for line in capfd.readouterr().err.splitlines() if "01.png" in line] == [
        "failed: 01.png: not an image: no picture format that is read"
    ]  # once, though it is in no baseline's power
    assert rows(out)["hole", "tv"]["n"] == 2
    run.picture(1).save(tmp_path / "in" / "01.png")
    assert main([*arguments, "--quiet"]) == 0
    assert {row["n"] for row in rows(out).values()} == {3}


@pytest.mark.usefixtures("digiface64")
def test_a_photo_whose_name_leaves_no_room_for_a_record_s_stops_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, out = "a" * 251 + ".png", tmp_path / "out"
    arguments = command(tmp_path, count=1)
    run.picture(1).save(tmp_path / "in" / name)
    for _ in range(2):
        assert main(arguments) == 1
        assert f"failed: {name}: tv: File name too long: " in capfd.readouterr().err.replace("\n", "")
        assert {row["n"] for row in rows(out).values()} == {1}
        assert not list(out.rglob("aaa*"))


@pytest.mark.usefixtures("digiface64")
def test_a_folder_that_baselines_cannot_write_ends_the_benchmark(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> NoReturn:
        raise WriteError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(benchmark, "together", lambda instead_of: contextlib.nullcontext(full))
    assert main(command(tmp_path, count=1)) == 2
    assert f"output folder {tmp_path / 'out'} cannot be written: No space left on device" in capfd.readouterr().err


@pytest.mark.usefixtures("digiface64")
def test_baselines_are_not_done_again_where_another_recipe_comes_first(tmp_path: Path) -> None:
    path, photos, out = run.recipe_file(tmp_path), [run.photos(tmp_path / "in", 1)], tmp_path / "out"

    def bench(*recipes: str) -> Benchmark:
        return Benchmark(read_variants(recipes), photos, out, Options(), metrics=["psnr"])

    before = bench(f"b={path}")
    assert len(list(before.entries[0].run.records())) == 1
    assert {record.status for record in before.baseline_records(before.baseline_work())} == {"done"}
    after = bench(f"a={path}?solver.steps=3", f"b={path}")
    assert after.baseline_work() == []
    assert after.results() == after.expected() - 1  # recipe a is still to be done, and nothing to be judged
    told = {(score.recipe, score.method, score.values["psnr"]) for score in after.scores()}
    assert told == {(score.recipe if score.method == "latent" else "a", score.method, score.values["psnr"]) for score in before.scores()}


@pytest.mark.usefixtures("digiface64")
def test_results_that_cannot_be_read_are_missing_until_they_are_deleted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [*command(tmp_path, count=2), "--quiet"]
    out = tmp_path / "out"
    assert main(arguments) == 0
    table = rows(out)
    broken = [out / "longer" / "images" / "00.png", out / "hole" / "baselines" / "tv" / "images" / "01.png"]
    broken[0].write_bytes(b"no picture")
    broken[1].write_bytes(broken[1].read_bytes()[:100])
    capfd.readouterr()
    assert main(arguments) == 1
    said = capfd.readouterr().err
    lines = said.splitlines()
    assert [line.split(": ")[:2] for line in lines[:2]] == [["missing", str(path)] for path in broken]
    assert "delete it, and the same command makes it again" in said
    unpaired = [f"{method}: 1 of 2 photos; means are not of the same photos" for method in ("longer latent", "hole tv")]
    assert lines[2:] == unpaired
    assert all(f"\n{line}.\n" in (out / "table.md").read_text(encoding="utf-8") for line in unpaired)
    assert list(rows(out)) == list(table), "the first photo's methods are not put first"
    assert rows(out)["longer", "latent"]["n"] == rows(out)["hole", "tv"]["n"] == 1
    assert rows(out)["hole", "latent"] == table["hole", "latent"]
    for path in broken:
        path.unlink()
    assert main(arguments) == 0
    again = rows(out)
    assert {key: row["psnr"] for key, row in again.items()} == {key: row["psnr"] for key, row in table.items()}


@pytest.mark.usefixtures("digiface64")
def test_a_photo_that_is_gone_when_its_results_are_judged_is_left_out(tmp_path: Path) -> None:
    """So is one whose own mask is; a benchmark of hours ended there, without a table."""
    text = run.QUICK.replace("boxes: [[0.25, 0.25, 0.75, 0.75]]", "file: 'masks/{stem}.png'")
    path, photos = run.recipe_file(tmp_path, text), run.photos(tmp_path / "in", 4)
    for photo in sorted(photos.glob("*.png")):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.new("L", (64, 64)).save(tmp_path / "masks" / photo.name)
    bench = Benchmark(read_variants([f"a={path}"]), [photos], tmp_path / "out", Options(), baselines=False, metrics=["psnr"])
    assert [record.status for record in bench.entries[0].run.records()] == ["done"] * 4
    (photos / "00.png").unlink()
    run.picture(9).save(photos / "01.png")
    (tmp_path / "masks" / "02.png").unlink()
    said: list[str] = []
    assert [score.photo for score in bench.scores(say=said.append)] == ["03.png"]
    assert said[:2] == [f"left out: {name}: it is gone, or another one, since it was restored" for name in ("00.png", "01.png")]
    assert said[2].startswith("left out: 02.png: operator[0]")
    (sheet,) = bench.write_sheets()
    assert sheet.is_file()


def test_a_sheet_tells_how_many_finished_photos_it_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[list[int], int]] = []
    monkeypatch.setattr(benchmark, "SHOWN", 2)
    monkeypatch.setattr(benchmark, "write_sheet", lambda path, rows, more: told.append((rows, more)))
    places = [SimpleNamespace(record_of=lambda photo: photo != 3), SimpleNamespace(record_of=lambda photo: None)]  # all that one failed on
    contest = SimpleNamespace(name="a", places=places)
    bench: Any = SimpleNamespace(entries=[], out=tmp_path, photos=[1, 2, 3, 4, 5], contests=[contest], _row=lambda contest, photo: photo)
    assert Benchmark.write_sheets(bench) == [tmp_path / "sheet-a.png"]
    assert told == [([1, 2], 2)]


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["inpaint", "inpaint"], ["two recipes are called inpaint", "other=inpaint"]),
        (["inpaint?solver.0.steps=5"], ["needs a name", "mine=inpaint?solver.0.steps=5"]),
        (["a/b=inpaint"], ["'a/b' cannot name a folder", "mine=inpaint"]),
        (["differences.csv=inpaint"], ["differences.csv is a file that the benchmark itself writes", "mine=inpaint"]),
        (["table.csv=inpaint"], ["table.csv is a file that the benchmark itself writes", "mine=inpaint"]),
        (["sheet-a.PNG=inpaint"], ["sheet-a.PNG is a file that the benchmark itself writes", "mine=inpaint"]),
        (["records=inpaint"], ["records is the folder in which a run keeps its records", "mine=inpaint"]),
        (["tv=inpaint"], ["tv is the name of a baseline", "my-tv=RECIPE"]),
        (["original=inpaint"], ["original is the name of a column of the sheet", "my-original=RECIPE"]),
        (["mine=inpant"], ["inpant", "did you mean 'inpaint'"]),
        (["mine=inpaint?solver.9.steps=5"], ["mine?solver.9.steps=5: ", "no component 9"]),
        (["inpaint", "--metric", "pnsr"], ["'pnsr'", "did you mean 'psnr'"]),
        (["inpaint", "--limit", "0"], ["limit is 0", "use 1 or more"]),
        (["inpaint", "."], [".: a folder, not a recipe; if it holds photos, give it as --photos ."]),
        (["inpaint", "--photos", "nowhere"], ["no such file or folder: nowhere"]),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str], told: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *arguments]) == 2
    said = capfd.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert all(words in said.err for words in told), said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("digiface64")
def test_a_missing_package_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanting = BASELINES["copy"]
    monkeypatch.setitem(BASELINES, "copy", type(wanting)("copy", wanting.applies, wanting.restore, needs="no_such_module"))
    bench = Benchmark(
        read_variants([run.recipe_file(tmp_path)]), [run.photos(tmp_path / "in", 1)], tmp_path / "out", Options(), metrics=["psnr"]
    )
    with pytest.raises(ValueError, match=r"copy needs no_such_module.*\[benchmark\].*--no-baselines"):
        bench.baseline_work()


def test_variants(tmp_path: Path) -> None:
    path = run.recipe_file(tmp_path)
    first, second, third = read_variants([path, f"quick={path}?solver.steps=5&seed=7", "presets-x=inpaint"], ["seed=3"])
    (long,) = read_variants([f"long={path}?" + "&".join(f"seed={number}" for number in range(100))])  # no file has a name of 800 letters
    assert long.recipe.seed == 99
    assert [first.name, second.name, third.name] == ["recipe", "quick", "presets-x"]
    assert (first.recipe.seed, second.recipe.seed, third.recipe.seed) == (3, 7, 3)
    assert second.recipe.solver[0]["latent"]["steps"] == 5
    (both,) = read_variants([f"x={path}?&task=R&D & more&&seed=4& solver.*.steps =6&"])  # what no key follows is of the value
    assert (both.recipe.task, both.recipe.seed, both.recipe.solver[0]["latent"]["steps"]) == ("R&D & more", 4, 6)
    odd = tmp_path / "a?b=c.yaml"
    odd.write_text(run.QUICK)
    with pytest.raises(RecipeError, match="cannot name a folder"):  # it is the file, not a variant of `a`
        read_variants([str(odd)])
    assert [each.name for each in read_variants(["presets/brgm"])] == ["presets-brgm"]
    with pytest.raises(RecipeError, match="no such recipe"):
        read_variants(["../missing.yaml"])


@pytest.mark.parametrize("count", [2, 5, 32])
def test_the_interval_is_students(count: int) -> None:
    values = np.random.default_rng(count).normal(20, 3, count).tolist()
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = interval(values)
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_intervals_that_are_not_known() -> None:
    assert interval([3.0]) == Mean(3.0, None)
    assert interval([3.0, math.inf]) == Mean(math.inf, None)
    assert interval([2.0, 2.0]) == Mean(2.0, 0.0)
    with pytest.raises(ValueError, match="nothing to take the mean of"):
        interval([])


def test_lines_are_by_recipe_and_method() -> None:
    scores = [Score(recipe, method, photo, {"psnr": value}) for recipe, method, photo, value in
              [("a", "x", "1", 1.0), ("a", "y", "1", 2.0), ("a", "x", "2", 3.0), ("b", "x", "1", 7.0)]]  # fmt: skip
    assert [(line.recipe, line.method, line.n, line.means["psnr"].mean) for line in summarised(scores)] == [
        ("a", "x", 2, 2.0),
        ("a", "y", 1, 2.0),
        ("b", "x", 1, 7.0),
    ]


def test_passes_are_counted_pictures(digiface64: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = Latent(digiface64, steps=8, restarts=4, candidates=10)
    counted = {True: 0, False: 0}
    draw = Prior.decode

    def counting(self: Prior, codes: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        counted[codes.requires_grad] += len(codes)
        return draw(self, codes, *rest, **more)

    y = Downsample(4).A(digiface64.decode(digiface64.sample(1, torch.Generator().manual_seed(0))))
    monkeypatch.setattr(Prior, "decode", counting)
    assert solver(y, Downsample(4)).steps.tolist() == [8]
    assert solver.passes(8) == counted[True] + 10 == 10 + 3 * 4 + 3 * 2 + 2  # halved after steps 2 and 5
    assert counted[False] == 10 + 1 + 1  # the candidates, a look at the last step's picture, and the answer: the latter two do not count
    second = Latent(digiface64, steps=5, restarts=4, candidates=10)
    assert Staged([solver, second]).passes(8 + 5) == solver.passes(8) + 5
    assert Staged([solver, second]).passes(8 + 2) == solver.passes(8) + 2


@pytest.mark.usefixtures("digiface64")
def test_recipes_that_draw_samples_are_judged_by_their_spread_too(tmp_path: Path) -> None:
    hole = run.recipe_file(tmp_path / "hole")
    recipes = [f"once={hole}", f"thrice={hole}?samples=3"]
    photos = str(run.photos(tmp_path / "in", 2))
    assert (
        main(["benchmark", *recipes, "--photos", photos, "--out", str(tmp_path / "out"), "--metric", "psnr", "--no-baselines", "-q"]) == 0
    )
    table = rows(tmp_path / "out")
    several = next(row for (recipe, _), row in table.items() if recipe == "thrice")
    single = next(row for (recipe, _), row in table.items() if recipe == "once")
    assert 0 < several["coverage"] <= 1
    assert several["spread_to_error"] > 0
    assert math.isnan(single["coverage"])
    own = [row for (recipe, *_), row in rows(tmp_path / "out", "per_photo").items() if recipe == "thrice"]
    squares = np.array([[(row["spread_to_error"] * row["guessed_error"]) ** 2, row["guessed_error"] ** 2] for row in own]).sum(0)
    assert several["spread_to_error"] == pytest.approx(np.sqrt(squares[0] / squares[1]))
    assert "guessed_error" not in several
    assert "| – | – |" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


def test_samples_after_the_first_take_their_own_passes() -> None:
    """They begin at sampled codes, several at once, however the first does."""
    solver = Latent(linear(), begin_at="centre", steps=20)
    others = Latent(linear(), begin_at="sampled", steps=20)
    assert passes_of(solver, 20, 1) == solver.passes(20) == 20
    assert passes_of(solver, 20, 3) == 20 + 2 * others.passes(20) > 20 + 2 * 64
