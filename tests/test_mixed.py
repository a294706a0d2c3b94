"""Runs of several recipes, or with several lists of metrics, in one folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import run_support as run
from PIL import Image
from report_support import done, folder

from priorsolve.cli import main
from priorsolve.command.other_runs import told_of_metrics, told_of_strangers
from priorsolve.report import write_report
from priorsolve.report.about import about, heading, licence, mixed, stats
from priorsolve.report.groups import by_recipe
from priorsolve.report.words import value
from priorsolve.run.records import Record, read_records, strangers, write_record
from priorsolve.run.restoration import Options, Run

OTHER = "that another recipe, or other options, made; choose another --out to keep them apart\n"


@pytest.mark.usefixtures("digiface64")
def test_another_recipe_in_the_folder_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 2)
    command = ["restore", run.recipe_file(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, str(tmp_path / "in"), "--degrade"]) == 0
    assert main([*command, str(tmp_path / "in"), "--degrade"]) == 0
    assert "another recipe" not in capfd.readouterr().err
    run.picture(5).save(tmp_path / "other.png")
    gray = [*command, str(tmp_path / "other.png"), "--set", "operator=gray", "--set", "output.consistency=false"]
    assert main(gray) == 0
    assert f"holds the records of 2 photos {OTHER}" in capfd.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "This folder holds the records of 2 recipes." in page
    assert "<li>gray (" in page
    assert "<dt>median psnr</dt>" not in page  # none is of both
    run.picture(6).save(tmp_path / "in" / "other.png")
    assert main([*command, str(tmp_path / "in"), "--limit", "0"]) == 0  # three that this run, without --degrade, would do again
    assert f"holds the records of 3 photos {OTHER}" in capfd.readouterr().err


@pytest.mark.parametrize(("count", "what"), [(1, "the record of 1 photo"), (2, "the records of 2 photos")])
def test_how_many_records_are_another_recipe_s_is_told(count: int, what: str) -> None:
    assert told_of_strangers(Path("out"), count) + "\n" == f"out holds {what} {OTHER}"


@pytest.mark.usefixtures("digiface64")
def test_masks_of_the_photos_own_make_no_other_recipe(tmp_path: Path) -> None:
    photos = run.photos(tmp_path / "in", 2)
    for name in ("00", "01"):
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask = Image.new("L", (64, 64))
        mask.putpixel((int(name), 0), 255)
        mask.save(tmp_path / "masks" / f"{name}.png")
    recipe = run.quick(operator={"mask": {"file": str(tmp_path / "masks" / "{stem}.png")}})
    assert len(list(Run(recipe, [photos], tmp_path / "out", Options()).records())) == 2
    first, second = read_records(tmp_path / "out")
    assert first.fingerprint != second.fingerprint
    assert len(by_recipe([first, second])) == 1
    run.photos(tmp_path / "more", 3)
    assert Run(recipe, [tmp_path / "more" / "02.png"], tmp_path / "out", Options()).strangers == 0
    assert Run(run.quick(), [tmp_path / "more" / "02.png"], tmp_path / "out", Options()).strangers == 2


def test_older_records_are_told_apart_by_their_fingerprints(tmp_path: Path) -> None:
    records = [Record(f"{index}.png", "done", fingerprint) for index, fingerprint in enumerate(("a", "a", "b", "c"))]
    assert [len(group) for group in by_recipe(records).values()] == [2, 2]  # b and c may be one recipe's, with masks of their own
    assert len(by_recipe([*records[:2], Record("4.png", "done", "a", recipe="a")])) == 1
    for record in records:
        write_record(tmp_path, record)
    assert strangers(tmp_path, (), lambda photo: "a", "a") == 2
    assert strangers(tmp_path, {"2.png"}, lambda photo: {"3.png": "c"}.get(photo.name, "a"), "a") == 0
    assert strangers(tmp_path / "nowhere", (), lambda photo: "a", "a") == 0
    assert strangers(tmp_path, (), lambda photo: "z", "z") == 4


def test_a_page_is_headed_by_the_task_or_by_what_was_done_to_photos() -> None:
    assert heading("task: fill\noperator: gray") == "fill"
    assert heading("operator: [gray, {mask: {}}]") == "gray then mask"
    assert heading("operator: [") == heading("") == heading("- 1") == "a restoration run"
    assert licence("prior: digiface64") == licence("prior: {digiface64: {}}") == "prior digiface64, licence: MIT"
    assert licence("operator: gray") == ""


@pytest.mark.parametrize(
    ("name", "number", "said"),
    [
        ("psnr", 27.34, "27.3 dB"),
        ("psnr", math.inf, "∞"),
        ("mine", -math.inf, "−∞"),
        ("mine", math.nan, "not a number"),
        ("ssim", 0.5, "0.500"),
    ],
)
def test_a_metric_in_words(name: str, number: float, said: str) -> None:
    assert value(name, number) == said


def test_the_report_of_two_recipes_has_the_medians_of_each(tmp_path: Path) -> None:
    folder(tmp_path, 2)
    own = list(read_records(tmp_path))
    assert "<dt>median psnr</dt><dd>20.5 dB</dd>" in stats(own)
    assert mixed(own) == ""
    assert "<dt>psnr</dt>" in about(own, "")
    other = replace(done(tmp_path, "z.png", 9), recipe="beef", task="fill <holes>")
    write_record(tmp_path, other)
    both = [*own, other]
    assert "median psnr" not in stats(both)
    assert "<li>a recipe (f00d): 2 restored, 1 failed, median psnr 20.5 dB, median ssim 0.500</li>" in mixed(both)
    assert "<li>fill &lt;holes&gt; (beef): 1 restored, median psnr 29.0 dB, median ssim 0.500</li>" in mixed(both)
    assert "<dt>psnr, a recipe (f00d)</dt>" in about(both, "")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('<script type="application/json" id="photos">')[1].split("</script>")[0])
    assert [each["psnr"] for each in data["medians"]] == [20.5, 29.0]
    assert [photo["group"] for photo in data["photos"]] == [0, 0, 0, 1]


@pytest.mark.usefixtures("digiface64")
def test_records_of_other_metrics_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run.photos(tmp_path / "in", 2)
    command = ["restore", run.recipe_file(tmp_path), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--degrade"]
    assert main([*command, "--set", "metrics=[psnr]", "--limit", "1"]) == 0
    assert main([*command, "--set", "metrics=[psnr]"]) == 0
    assert "other metrics" not in capfd.readouterr().err
    assert main([*command, "--set", "metrics=[ssim, psnr]"]) == 0
    assert "restored before with other metrics, without ssim: 2 (--overwrite does them again)\n" in capfd.readouterr().err


def test_photos_that_lack_metrics_are_counted_once(tmp_path: Path) -> None:
    """However many each lacks; one that was not judged, such as one that failed, lacks none."""
    record = Record("a.png", "done", "f", original="originals/a.png", misfit=0.1, metrics={"psnr": 20.0})
    write_record(tmp_path, record)
    write_record(tmp_path, replace(record, name="b.png", metrics={"psnr": 20.0, "ssim": 0.5}))
    write_record(tmp_path, Record("c.png", "failed", "f", reason="why", original="originals/c.png"))
    told = told_of_metrics(tmp_path, ["a.png", "b.png", "c.png"], ["lpips", "psnr", "ssim"])
    assert told == "restored before with other metrics, without lpips and ssim: 2 (--overwrite does them again)"
