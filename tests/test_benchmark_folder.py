"""A benchmark's output folder: whose files are in it, what is out of date there, and who is at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import run_support as run

from priorsolve.cli import main
from priorsolve.command.comparing import run_benchmark
from priorsolve.comparison.benchmark import Benchmark
from priorsolve.comparison.variants import read_variants
from priorsolve.comparison.written import DIFFERENCES, TABLES
from priorsolve.run.claims import FolderBusyError, at_work, claimed
from priorsolve.run.restoration import Options


def command(recipe: str, photos: Path, out: Path) -> list[str]:
    """The quickest benchmark of one recipe, called `a`."""
    return ["benchmark", f"a={recipe}", "--photos", str(photos), "--out", str(out), "--metric", "psnr", "--no-baselines", "--quiet"]


@pytest.mark.usefixtures("digiface64")
@pytest.mark.parametrize("name", ["table.csv", "table.parquet", "table.md", "per_photo.parquet", "sheet-a.png"])
def test_somebody_s_own_file_is_not_overwritten(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    (out / name).write_text("my own")
    assert main(command(recipe, photos, out)) == 2
    told = f"{out / name} is there, and no run made it, but this one would overwrite it; choose another output folder (--out)\n"
    assert capfd.readouterr().err.endswith(told)
    assert [(path, path.read_text()) for path in out.iterdir()] == [(out / name, "my own")]


@pytest.mark.usefixtures("digiface64")
def test_a_link_of_somebody_s_own_is_not_replaced_wherever_it_leads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    out.mkdir()
    (out / "table.csv").symlink_to(tmp_path / "on another disk")
    assert main(command(recipe, photos, out)) == 2
    assert "table.csv is there, and no run made it" in capfd.readouterr().err
    assert [path.name for path in out.iterdir()] == ["table.csv"]


@pytest.mark.usefixtures("digiface64")
def test_a_photo_is_not_overwritten_by_a_sheet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, photos = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1)
    run.picture(1).save(photos / "sheet-a.png")
    before = run.files(photos)
    assert main(command(recipe, photos, photos)) == 2
    assert "sheet-a.png would be overwritten by its own result; choose another output folder (--out)\n" in capfd.readouterr().err
    assert run.files(photos) == before
    (photos / "sheet-a.png").rename(photos / "sheet-b.png")  # no recipe is called so
    for _ in range(2):  # the second time its own table and sheet are there
        assert main(command(recipe, photos, photos)) == 0
        assert (photos / "table.md").read_text(encoding="utf-8").splitlines()[2].startswith("| a | latent | 2 |")
    assert main([*command(recipe, photos, photos), "--limit", "1", f"b={recipe}?seed=3"]) == 2  # now one is


@pytest.mark.usefixtures("digiface64")
def test_which_files_are_no_photos_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "in"
    run.photos(photos / "masks", 1)
    (photos / "00.png").write_text("no picture")
    recipe = run.recipe_file(tmp_path, run.QUICK.replace("boxes: [[0.25, 0.25, 0.75, 0.75]]", f"file: '{photos}/masks/{{stem}}.png'"))
    *loud, quiet = command(recipe, photos, tmp_path / "out")
    told = "files among the photos that are left out, since they are the recipe's masks: 1\n"
    assert main(loud) == 1
    assert capfd.readouterr().err.startswith(told)
    assert main([*loud, quiet]) == 1
    assert told not in capfd.readouterr().err


@pytest.mark.usefixtures("digiface64")
def test_a_run_s_own_folder_is_refused_and_left_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As the benchmark's: its plan would be taken for an old one."""
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    assert main(["restore", recipe, str(photos), "--out", str(out), "--quiet"]) == 0
    before = sorted(out.rglob("*"))
    assert main(command(recipe, photos, out)) == 2
    assert capfd.readouterr().err == f"priorsolve: {out} is a run's own folder, and no benchmark's; choose another output folder (--out)\n"
    assert sorted(out.rglob("*")) == before
    assert main(command(recipe, photos, out / "benchmarked")) == 0


@pytest.mark.usefixtures("digiface64")
def test_a_benchmark_s_folder_is_refused_to_a_run_and_left_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No benchmark could go on there."""
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    assert main(command(recipe, photos, out)) == 0
    before = sorted(out.rglob("*"))
    restore = ["restore", recipe, str(photos), "--quiet", "--out"]
    assert main([*restore, str(out)]) == 2
    assert capfd.readouterr().err == f"priorsolve: {out} is a benchmark's own folder, and no run's; choose another output folder (--out)\n"
    assert sorted(out.rglob("*")) == before
    assert main([*restore, str(out / "a")]) == 0  # a recipe's folder in it is a run's
    (out / "table.csv").rename(tmp_path / "table.csv")
    assert main([*restore, str(out)]) == 0  # runs below a folder are no benchmark


@pytest.mark.usefixtures("digiface64")
def test_a_recipe_that_failed_on_every_photo_is_told_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 2), tmp_path / "out"
    no_mask = f"b={recipe}?operator={{mask: {{file: 'none/{{stem}}.png'}}}}"
    assert main([*command(recipe, photos, out), no_mask]) == 1
    assert capfd.readouterr().err.endswith("b latent: 0 of 2 photos\n")
    assert "\nb latent: 0 of 2 photos.\n" in (out / "table.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("digiface64")
def test_tables_and_sheets_that_no_longer_hold_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    small = f"b={recipe}?operator=[{{downsample: {{factor: 4}}}}]"
    assert main([*command(recipe, photos, out), small]) == 0

    def files() -> set[str]:
        return {path.name for path in out.iterdir()}

    assert files() == {"a", "b", *TABLES, "sheet-a.png", "sheet-b.png"} - set(DIFFERENCES), "b poses another problem"
    (out / "sheet-c.png").touch()  # no recipe of these
    assert main([*command(recipe, photos, out), f"b={recipe}?solver.steps=1"]) == 0
    assert files() == {"a", "b", *TABLES, "sheet-a.png", "sheet-c.png"}, "b is on the sheet of a now"
    (photos / "00.png").write_text("no picture")
    capfd.readouterr()
    assert main(command(recipe, photos, out)) == 1
    assert capfd.readouterr().err.endswith(f"no photo was restored, so there is no table; the records in {out} say why\n")
    assert files() == {"a", "b", "sheet-c.png"}
    run.picture(0).save(photos / "00.png")
    assert main(command(recipe, photos, out)) == 0
    assert files() == {"a", "b", *TABLES, "sheet-a.png", "sheet-c.png"} - set(DIFFERENCES), "there is nothing beside a"


@pytest.mark.usefixtures("digiface64")
def test_a_second_benchmark_in_the_folder_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work, and also where it began to prepare before the first one was at work; else both do the same baselines."""
    recipe, photos, out = run.recipe_file(tmp_path), run.photos(tmp_path / "in", 1), tmp_path / "out"
    bench = Benchmark(read_variants([f"a={recipe}"]), [photos], out, Options(), metrics=["psnr"])
    with claimed(out, None):
        assert main(command(recipe, photos, out)) == 2
        assert capfd.readouterr().err.startswith(f"priorsolve: output folder {out} is in use: a run that this process itself began")
        with pytest.raises(FolderBusyError, match="in use"):
            run_benchmark(bench, quiet=True)
    assert list(out.iterdir()) == []
    held: list[int] = []

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(Benchmark, name)

        def method(self: Benchmark, *given: Any) -> Any:
            held.append(len(at_work(out)))
            return real(self, *given)

        return method

    for name in ("_baseline_record", "_judgements", "write_sheets"):
        monkeypatch.setattr(Benchmark, name, watched(name))
    assert run_benchmark(bench, quiet=True) == 0
    assert held == [1] * (len(bench.contests[0].baselines) + 2)
    assert at_work(out) == []
