"""The contact sheet and the report, from an output folder alone."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from report_support import done, draw, folder

from priorsolve import report
from priorsolve.photos.measurements import write_measurement
from priorsolve.photos.writing import write_image
from priorsolve.report import outdated, pages, write_report
from priorsolve.report.pages import page
from priorsolve.report.pictures import embedded, size_for
from priorsolve.report.words import duration
from priorsolve.run.claims import at_work, claimed
from priorsolve.run.records import Record, write_record
from priorsolve.sheet import BOX, CAPTION, GAP, GUTTER, HEAD, MARGIN, Row, write_sheet


def picture(size: int, seed: int = 0, channels: int = 3) -> torch.Tensor:
    return torch.rand(channels, size, size, generator=torch.Generator().manual_seed(seed))


def test_pictures_stand_where_they_belong(tmp_path: Path) -> None:
    red = Image.new("RGB", (64, 64), "red")
    write_sheet(tmp_path / "s.png", [Row("a.png", {"measurement": torch.zeros(1, 8, 8), "restored": red})])
    sheet = Image.open(tmp_path / "s.png").convert("RGB")
    middle = MARGIN + HEAD + BOX // 2
    assert sheet.getpixel((MARGIN + BOX // 2, middle)) == (0, 0, 0)
    assert sheet.getpixel((MARGIN + BOX + GAP + BOX // 2, middle)) == (255, 0, 0)
    assert sheet.getpixel((3, 3)) == (251, 251, 250)


@pytest.mark.parametrize("size", [8, 96])
def test_small_pictures_are_enlarged_as_squares(tmp_path: Path, size: int) -> None:
    small = picture(size, channels=1).mul(255).round() / 255
    write_sheet(tmp_path / "s.png", [Row("a", {"measurement": small})])
    sheet = Image.open(tmp_path / "s.png").convert("RGB")
    side = BOX // size
    corners = [(MARGIN + side * 3, MARGIN + HEAD + side * 5), (MARGIN + side * 4 - 1, MARGIN + HEAD + side * 6 - 1)]
    assert {sheet.getchannel(0).getpixel(corner) for corner in corners} == {round(small[0, 5, 3].item() * 255)}


def test_numbers_are_rounded_and_a_picture_of_one_long_row_is_a_line(tmp_path: Path) -> None:
    drawn = torch.full((1, 8, 8), 0.999)
    write_sheet(tmp_path / "s.png", [Row("a", {"restored": drawn, "original": Image.new("RGB", (400, 1), "red")})])
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.getpixel((MARGIN + BOX // 2, MARGIN + HEAD + BOX // 2)) == (255, 255, 255)
        line = [sheet.getpixel((MARGIN + BOX + GAP + BOX // 2, MARGIN + HEAD + y)) for y in range(BOX)]
    assert line.count((255, 0, 0)) == 1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Übergröße é ñ.png", "Ubergrosse e n.png"),
        ("a\u0308.png", "a.png"),
        ("Łódź ×2…", "Lodz x2…"),
        ("Ж日.png", "??.png"),
        ("a\u200d😀", "a?"),
    ],
)
def test_names_are_written_in_letters_that_the_font_has(tmp_path: Path, name: str, plain: str) -> None:
    """It draws the same box for all others."""
    for each in (name, plain):
        row = Row(each, {each: picture(16)}, note=each, under={each: each})
        write_sheet(tmp_path / f"{each == plain}.png", [row], remark=each)
    assert (tmp_path / "True.png").read_bytes() == (tmp_path / "False.png").read_bytes()


def test_photos_stand_below_one_another_before_the_next_stack(tmp_path: Path) -> None:
    levels = [40, 80, 120, 160, 200]
    write_sheet(tmp_path / "s.png", [Row("a", {"restored": Image.new("RGB", (8, 8), (level,) * 3)}) for level in levels])
    with Image.open(tmp_path / "s.png") as sheet:
        places = [(left, top) for left in (0, BOX + GUTTER) for top in range(0, 3 * (BOX + CAPTION), BOX + CAPTION)]
        found = [sheet.getpixel((MARGIN + left + BOX // 2, MARGIN + HEAD + top + BOX // 2)) for left, top in places]
    assert found == [*((level,) * 3 for level in levels), (251, 251, 250)]


def test_many_rows_long_names_and_missing_pictures(tmp_path: Path) -> None:
    rows = [Row("a/very/long/path/" * 20 + f"\udcff{i}\n.png", {"restored": picture(16, i)}) for i in range(9)]
    rows.append(Row("odd", {"original": picture(200)}))
    write_sheet(tmp_path / "few.png", rows[:2], more=8)
    write_sheet(tmp_path / "all.png", rows, more=123, remark="2 failed")
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as everything:
        assert few.width < everything.width <= 2100
    with pytest.raises(ValueError, match="at least one picture"):
        write_sheet(tmp_path / "none.png", [Row("a", {})])


def run(out: Path) -> None:
    for number in range(3):
        name = f"sub/{number}.png"
        write_image(out / "images" / name, picture(16, number))
        write_measurement(out / "measurements" / name, picture(4, number, 1))
        places: dict[str, Any] = {"image": f"images/{name}", "measurement": f"measurements/{name}", "original": f"originals/{name}"}
        write_record(out, Record(name, "done", "f", seed=2**64 - 1, metrics={"psnr": 20.0 + number}, **places))
    write_record(out, Record("broken.png", "failed", "f", reason="not an image", metrics={"name": 1.0}))


def test_report_is_rebuilt_from_the_folder_alone(tmp_path: Path) -> None:
    run(tmp_path)
    write_report(tmp_path)
    table = parquet.read_table(tmp_path / "results.parquet").to_pydict()
    assert table["name"] == ["broken.png", "sub/0.png", "sub/1.png", "sub/2.png"]
    assert table["status"] == ["failed", "done", "done", "done"]
    assert table["psnr"] == [None, 20.0, 21.0, 22.0]
    assert table["metric_name"] == [1.0, None, None, None]
    assert table["seed"][1] == str(2**64 - 1)
    before = [(tmp_path / name).read_bytes() for name in ("report.html", "sheet.png", "results.parquet")]
    write_report(tmp_path)
    assert before == [(tmp_path / name).read_bytes() for name in ("report.html", "sheet.png", "results.parquet")]


def test_the_table_tells_what_each_record_says(tmp_path: Path) -> None:
    facts = {"recipe": "beef", "seconds": 1.5, "steps": 77, "residual": 0.25, "misfit": 0.5, "stopped": "no progress for a while"}
    record = done(tmp_path, "a.png", 0, notes=("one", "two"), metrics={"psnr": 20.0}, **facts)
    write_record(tmp_path, record)
    write_report(tmp_path)
    (row,) = parquet.read_table(tmp_path / "results.parquet").to_pylist()
    said = {"notes": "one; two", "name": "a.png", "status": "done", "fingerprint": "f00d", "image": "images/a.png", "seed": "0"}
    assert row == {**facts, **said, "reason": "", "psnr": 20.0}


def test_the_page_tells_of_the_whole_run(tmp_path: Path) -> None:
    for number, seconds in enumerate((100.0, 200.0, 7200.0)):
        write_record(tmp_path, done(tmp_path, f"{number}.png", number, seconds=seconds))
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<dt>solving</dt><dd>2 h 5 min</dd>" in page
    assert "<dd>2 h 5 min for all photos, 200 s for the median one</dd>" in page
    assert "<dt>psnr</dt><dd>median 21.0 dB · lowest 20.0 dB · highest 22.0 dB</dd>" in page


def test_what_failed_takes_no_part_in_the_median_time_and_all_versions_are_told(tmp_path: Path) -> None:
    for number, version in enumerate(("0.1.0", "0.2.0", "0.1.0")):
        record = done(tmp_path, f"{number}.png", number, seconds=100.0 * (number + 1), versions={"priorsolve": version, "torch": "2"})
        write_record(tmp_path, record)
    for name in ("x.png", "y.png", "z.png"):
        write_record(tmp_path, Record(name, "failed", "f", reason="because"))
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<dd>10 min 0 s for all photos, 200 s for the median one</dd>" in page
    assert "<dt>versions</dt><dd>priorsolve 0.1.0 · torch 2; priorsolve 0.2.0 · torch 2</dd>" in page


def test_of_very_many_photos_the_later_ones_are_listed_with_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PICTURED", 1)
    write_report(folder(tmp_path, 2))  # and one that failed, which comes first
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    told = [json.loads(page.split(f'id="photo-{index}">')[1].split("</script>")[0]) for index in range(3)]
    assert [list(each["pictures"]) for each in told] == [[], [], []]
    assert told[1]["files"] == {
        "measurement": "measurements/sub/00.png",
        "restored": "images/sub/00.png",
        "original": "originals/sub/00.png",
    }
    monkeypatch.setattr(pages, "PICTURED", 2)
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    told = [json.loads(page.split(f'id="photo-{index}">')[1].split("</script>")[0]) for index in range(3)]
    assert [list(each["pictures"]) for each in told] == [[], ["measurement", "restored", "original"], []]
    assert told[1]["files"] == {}


def test_a_photo_whose_pictures_are_gone_takes_no_room_on_the_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = []
    monkeypatch.setattr(report, "write_sheet", lambda path, given, **told: rows.extend(given))
    folder(tmp_path, 2)
    for place in ("images", "measurements", "originals"):
        (tmp_path / place / "sub/00.png").unlink()
    write_report(tmp_path)
    assert [row.name for row in rows] == ["sub/01.png"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (18_459, "5 h 7 min")],
)
def test_a_duration_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_page_has_a_photos_map_and_both_of_its_sizes(tmp_path: Path) -> None:
    record = done(tmp_path, "a.png", 0, input_size=(20, 30), output_size=(80, 120), spread="spread/a.png", seed=2**64 - 1)
    draw(tmp_path / "spread/a.png", 5)
    write_record(tmp_path, record)
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    told = json.loads(page.split('id="photo-0">')[1].split("</script>")[0])
    assert (told["facts"]["photo"], told["facts"]["result"]) == ("30×20", "120×80")
    assert told["facts"]["seed"] == str(2**64 - 1)  # a browser's numbers have 53 bits
    assert list(told["pictures"]) == ["measurement", "restored", "original", "spread"]


def test_the_sheet_shows_the_first_photos_and_counts_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(report, "SHOWN", 2)
    monkeypatch.setattr(report, "write_sheet", lambda path, rows, **told: drawn.update(rows=rows, **told))
    write_report(folder(tmp_path, 5))
    assert [row.name for row in drawn["rows"]] == ["sub/00.png", "sub/01.png"]
    assert [row.note for row in drawn["rows"]] == ["20.0 dB · ssim 0.500", "21.0 dB · ssim 0.500"]
    for row in drawn["rows"]:
        assert list(row.pictures) == ["measurement", "restored", "original"]
        for column, place in (("measurement", "measurements"), ("restored", "images"), ("original", "originals")):
            with Image.open(tmp_path / place / row.name) as given:
                assert row.pictures[column].tobytes() == given.convert("RGB").tobytes()
    assert (drawn["more"], drawn["remark"]) == (3, "1 failed")


def test_the_sheet_says_how_near_the_original_a_photo_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several solutions it said `coverage 0.874 · gue…8 dB · spread_to_error 1.060 · ssim 0.723`."""
    rows: list[Row] = []
    monkeypatch.setattr(report, "write_sheet", lambda path, given, **told: rows.extend(given))
    metrics = {"psnr": 19.8, "ssim": 0.723, "coverage": 0.874, "spread_to_error": 1.06, "guessed_error": 0.096}
    write_record(tmp_path, done(tmp_path, "a.png", 0, metrics=metrics))
    write_report(tmp_path)
    assert [row.note for row in rows] == ["19.8 dB · ssim 0.723"]


def test_large_pictures_are_made_small_and_small_ones_keep_their_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", picture(900)[:, :600])
    write_image(tmp_path / "small.png", picture(16))
    large, small = (embedded(tmp_path, name, size_for(5000)) for name in ("large.png", "small.png"))
    assert large is not None
    assert small is not None
    assert (large["width"], large["height"]) == (128, 85)
    with Image.open(io.BytesIO(base64.b64decode(str(small["src"]).partition(",")[2]))) as kept, Image.open(tmp_path / "small.png") as given:
        assert kept.convert("RGB").tobytes() == given.convert("RGB").tobytes()
    write_image(tmp_path / "tiny.png", picture(2))
    tiny = embedded(tmp_path, "tiny.png", size_for(1))
    assert tiny is not None
    assert (tiny["width"], tiny["height"]) == (2, 2)
    assert [size_for(count).side for count in (60, 61, 501, 2001)] == [768, 256, 192, 128]


def test_a_report_is_outdated_by_a_record_that_it_does_not_know(tmp_path: Path) -> None:
    assert not outdated(tmp_path)
    run(tmp_path)
    assert outdated(tmp_path)
    write_report(tmp_path)
    assert not outdated(tmp_path)
    os.utime(tmp_path / "report.html", (1, 1))
    assert outdated(tmp_path)


def long_ago(out: Path) -> None:
    """Make the records old: a disk's clock may not tell what follows at once from what was before."""
    for path in (out / "records", *(out / "records").rglob("*")):
        os.utime(path, (1, 1))


def names(out: Path) -> list[str]:
    return [str(name) for name in parquet.read_table(out / "results.parquet")["name"].to_pylist()]


def test_what_comes_while_a_report_is_made_is_in_it_or_makes_it_outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    long_ago(tmp_path)
    coming = ["late.png"]

    def slow(out: Path, records: list[Record]) -> bytes:
        made = page(out, records)
        if coming:
            write_record(out, Record(coming.pop(), "failed", "f", reason="because"))
            if not at_work(out):  # its run ended with this, and made a whole report
                write_report(out)
        return made

    monkeypatch.setattr(report, "page", slow)
    with claimed(tmp_path, None):
        write_report(tmp_path)
    assert "late.png" not in names(tmp_path)
    assert outdated(tmp_path)
    long_ago(tmp_path)
    coming.append("last.png")
    write_report(tmp_path)
    assert {"late.png", "last.png"} < {*names(tmp_path)}
    assert b'"last.png"' in (tmp_path / "report.html").read_bytes()
    assert not outdated(tmp_path)


def test_a_record_of_a_time_to_come_hides_none_that_comes_after_it(tmp_path: Path) -> None:
    run(tmp_path)
    os.utime(tmp_path / "records" / "broken.png.json", (2**32, 2**32))
    write_report(tmp_path)
    write_record(tmp_path, Record("late.png", "failed", "f", reason="because"))
    assert outdated(tmp_path)


def test_a_report_is_outdated_by_a_record_that_is_gone(tmp_path: Path) -> None:
    run(tmp_path)
    long_ago(tmp_path)
    write_report(tmp_path)
    for place in ("records/sub/1.png.json", "images/sub/1.png"):
        (tmp_path / place).unlink()
    assert outdated(tmp_path)
    write_report(tmp_path)
    assert names(tmp_path) == ["broken.png", "sub/0.png", "sub/2.png"]
    assert not outdated(tmp_path)
    for path in (tmp_path / "records").rglob("*.json"):
        path.unlink()
    assert not outdated(tmp_path)  # of no records none can be made


def test_a_report_is_outdated_by_an_album_that_was_finished_since(tmp_path: Path) -> None:
    run(tmp_path)
    write_report(tmp_path)
    (tmp_path / "album.json").write_text("{}")
    os.utime(tmp_path / "album.json", (1, 1))
    assert not outdated(tmp_path)
    os.utime(tmp_path / "album.json")
    assert outdated(tmp_path)


def test_a_report_of_nothing_says_so_and_one_of_failures_has_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records in"):
        write_report(tmp_path)
    write_record(tmp_path / "blur", Record("a.png", "failed", "f", reason="because"))
    with pytest.raises(ValueError, match=r"nothing was restored yet; give a run in it, such as .*blur$"):  # a benchmark's folder
        write_report(tmp_path)
    write_record(tmp_path, done(tmp_path, "a.png", 0))
    write_report(tmp_path)
    assert (tmp_path / "sheet.png").exists()
    write_record(tmp_path, Record("a.png", "failed", "f", reason="because"))
    write_report(tmp_path)
    assert not (tmp_path / "sheet.png").exists()
    assert parquet.read_table(tmp_path / "results.parquet").num_rows == 1


def test_a_prior_s_name_is_only_a_name(tmp_path: Path) -> None:
    write_record(tmp_path, done(tmp_path, "a.png", 0))
    (tmp_path / "recipe.yaml").write_text("prior: <b>mine</b>.pth\n", encoding="utf-8")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "prior &lt;b&gt;mine&lt;/b&gt;.pth, a prior of your own" in page
    assert "<b>mine" not in page


def test_a_link_leads_to_a_photo_whatever_it_is_called(tmp_path: Path) -> None:
    write_image(tmp_path / "sub" / "50% #1?.png", torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)))
    picture = embedded(tmp_path, "sub/50% #1?.png", size_for(1))
    assert picture is not None
    assert picture["file"] == "sub/50%25%20%231%3F.png"


def test_a_wide_picture_stands_in_the_middle_and_what_is_beyond_white_is_white(tmp_path: Path) -> None:
    write_sheet(tmp_path / "s.png", [Row("a", {"restored": torch.full((3, 8, 32), 1.2)})])
    with Image.open(tmp_path / "s.png") as sheet:
        column = np.asarray(sheet)[MARGIN + HEAD : MARGIN + HEAD + BOX, MARGIN + BOX // 2, 0]
    assert (column[72:120] == 255).all()  # 192×48 in 192×192
    assert (column[:72] == 251).all()
    assert (column[120:] == 251).all()
