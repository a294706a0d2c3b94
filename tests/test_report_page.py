"""The report in a real browser: what people see, do and hear, and that nothing leaves the file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from report_support import HOSTILE, browsing, done, folder, opened

from priorsolve.report import write_report
from priorsolve.run.records import Record, record_path, write_record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def names(page: Page) -> list[str]:
    return page.locator(".tile .label").all_inner_texts()


def division(page: Page) -> float:
    """Where the slider stands, in percent, as the picture on top is cut."""
    return float(page.evaluate("getComputedStyle(document.getElementById('before')).clipPath.match(/calc\\(([\\d.]+)%/)?.[1] ?? NaN"))


def shown(page: Page) -> tuple[float, float, float]:
    """The colour in the middle of the slider's left, middle and right parts, as it is drawn: the mean of red."""
    drawn = Image.open(io.BytesIO(page.locator("#slider").screenshot())).convert("RGB")
    values = np.asarray(drawn)[:, :, 0].astype(float)
    third = values.shape[1] // 3
    left, middle, right = (float(values[:, part * third : (part + 1) * third].mean()) for part in range(3))
    return left, middle, right


def test_the_slider_moves_by_mouse_and_by_key(browser: Browser, tmp_path: Path) -> None:
    write_report(folder(tmp_path))
    with opened(browser, tmp_path / "report.html", viewport={"width": 1300, "height": 900}) as page:
        slider, frame = page.get_by_role("slider", name="Where before ends"), page.locator("#slider").bounding_box()
        assert frame is not None
        assert slider.input_value() == "50"
        half = shown(page)
        page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + 40)
        page.mouse.down()
        page.mouse.move(frame["x"] + frame["width"] * 0.9, frame["y"] + 60)
        page.mouse.up()
        assert slider.input_value() == "90"
        moved = shown(page)
        assert abs(moved[2] - half[2]) > 3  # the right part shows the measurement now, the left one still does
        assert moved[0] == pytest.approx(half[0], abs=1)
        page.mouse.move(frame["x"], frame["y"])  # let go
        assert slider.input_value() == "90"
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        assert slider.input_value() == "85"
        assert "85 percent" in (slider.get_attribute("aria-valuetext") or "")
        page.keyboard.press("Home")
        assert slider.input_value() == "0"
        assert page.evaluate("getComputedStyle(document.getElementById('slider')).outlineStyle") == "solid"  # the focus is seen
        page.get_by_text("original", exact=True).first.click()
        assert page.get_by_role("img", name="sub/00.png, original").count() == 1


def test_names_of_facts_keep_clear_of_their_values(browser: Browser, tmp_path: Path) -> None:
    metrics = {"spread_to_error": 0.8, "a_metric_of_somebodys_own_with_a_name_that_never_ends": 1.0}
    write_record(tmp_path, done(tmp_path, "00.png", 0, metrics=metrics))
    (tmp_path / "recipe.yaml").write_text("task: fill <holes>\nprior: digiface64\n", encoding="utf-8")
    write_report(tmp_path)
    clear = """() => [...document.querySelectorAll('footer .facts dt')].map(name => {
        const range = document.createRange(); range.selectNodeContents(name);
        const left = name.nextElementSibling.getBoundingClientRect().left;
        const box = range.getBoundingClientRect();
        const seen = document.elementFromPoint(box.left + 2, box.top + box.height / 2);  // what sticks while it is scrolled is not over it
        return [name.textContent, box.right < left && seen === name];
    })"""
    for width in (1300, 360):
        with opened(browser, tmp_path / "report.html", viewport={"width": width, "height": 900}) as page:
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
            page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            told = dict(page.evaluate(clear))
            assert metrics.keys() <= told.keys()
            assert page.locator("#count").inner_text() == "1 photo"
            assert all(told.values()), told


def test_the_gallery_filters_sorts_and_says_why_a_photo_failed(browser: Browser, tmp_path: Path) -> None:
    write_report(folder(tmp_path))
    with opened(browser, tmp_path / "report.html") as page:
        assert names(page) == ["broken.png", *(f"{number:02}.png" for number in range(6))]
        assert page.locator("#name").inner_text() == "sub/00.png"
        page.get_by_label("Sort by").select_option(label="psnr, high to low")
        assert names(page) == [*(f"{number:02}.png" for number in reversed(range(6))), "broken.png"]
        page.get_by_label("Sort by").select_option(label="residual, high to low")
        assert names(page)[:2] == ["02.png", "05.png"]
        assert page.locator("#metrics dt").all_inner_texts() == ["psnr", "ssim", "misfit", "residual"]
        page.get_by_label("Sort by").select_option(label="misfit, high to low")
        assert names(page)[:2] == ["00.png", "01.png"]
        page.get_by_label("Search ended because").select_option(label="no progress for a while (3)")
        assert names(page) == ["00.png", "02.png", "04.png"]
        page.get_by_label("Search ended because").select_option(label="any reason")
        page.get_by_label("Name contains").fill("B/05")
        assert names(page) == ["05.png"]
        assert page.locator("#name").inner_text() == "sub/05.png"
        page.get_by_label("Name contains").fill("nothing is called so")
        assert page.get_by_text("No photo fits these filters.").is_visible()
        page.get_by_label("Name contains").fill("")
        page.locator("#show-failed").click()
        assert page.get_by_label("Show").input_value() == "failed"
        assert names(page) == ["broken.png"]
        assert "an empty file (0 bytes)" in page.locator("#failure").inner_text()
        assert page.locator("#slider").is_hidden()


def test_a_photo_is_chosen_by_mouse_and_by_key_and_tells_all_of_itself(browser: Browser, tmp_path: Path) -> None:
    write_report(folder(tmp_path))
    with opened(browser, tmp_path / "report.html") as page:
        page.get_by_role("option", name="sub/02.png").click()
        assert page.locator("#place").inner_text() == "4 of 7"
        page.get_by_role("button", name="Next photo").click()
        page.locator("#tiles").get_by_role("option", selected=True).focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#name").inner_text() == "sub/04.png"
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "sub/04.png, psnr 24.0 dB"
        told = page.locator("main").inner_text()
        for words in ("24.0 dB", "median 22.5 dB", "0.167", "fits to the noise", "resized from 64×64", "no progress for a while"):
            assert words.lower() in told.lower()
        assert page.get_by_role("img", name="misfit 1 at the start, 0.25 at the end").is_visible()
        page.get_by_text("Record", exact=True).click()
        assert "f00d" in page.locator("#facts").inner_text()
        page.get_by_text("About this run").click()
        about = page.locator("#about").inner_text()
        assert "digiface64, licence: MIT" in about
        assert "task: fill <holes>" in about
        broken = page.evaluate("[...document.images].filter((image) => image.src && (!image.complete || !image.naturalWidth)).length")
        assert broken == 0


def test_every_control_has_a_name_and_every_picture_a_text(browser: Browser, tmp_path: Path) -> None:
    write_report(folder(tmp_path))
    with opened(browser, tmp_path / "report.html") as page:
        tree = page.locator("body").aria_snapshot()
        for role in ("banner", "main", "navigation", "contentinfo", "search"):
            assert f"- {role}" in tree
        nameless = """[...document.querySelectorAll('input, select, button')].filter((each) =>
            !each.labels?.length && !each.ariaLabel && !each.innerText.trim()).map((each) => each.outerHTML)"""
        assert page.evaluate(nameless) == []
        assert page.evaluate("[...document.images].filter((image) => !image.hasAttribute('alt')).length") == 0


def test_dark_mode_and_a_phone(browser: Browser, tmp_path: Path) -> None:
    write_report(folder(tmp_path))
    ink = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    colours: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        with opened(browser, tmp_path / "report.html", color_scheme=scheme) as page:
            colours[scheme] = page.evaluate(ink)
    assert colours == {"light": ["rgb(251, 251, 250)", "rgb(31, 31, 29)"], "dark": ["rgb(21, 21, 20)", "rgb(236, 235, 231)"]}
    with opened(browser, tmp_path / "report.html", viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        frame = page.locator("#slider").bounding_box()
        assert frame is not None
        assert frame["width"] == 360
        page.touchscreen.tap(frame["x"] + 90, frame["y"] + 90)
        assert page.get_by_role("slider").input_value() == "25"


def test_a_tall_photo_fits_the_window_and_keeps_its_shape(browser: Browser, tmp_path: Path) -> None:
    write_record(tmp_path, done(tmp_path, "tall.png", 0))
    for place in ("images", "measurements", "originals"):
        with Image.open(tmp_path / place / "tall.png") as square:
            square.resize((100, 250)).save(tmp_path / place / "tall.png")
    write_report(tmp_path)
    with opened(browser, tmp_path / "report.html", viewport={"width": 1400, "height": 800}) as page:
        frame = page.locator("#slider").bounding_box()
        assert frame is not None
        assert frame["height"] / frame["width"] == pytest.approx(2.5, rel=0.01)
        assert frame["y"] + frame["height"] < 800


def test_hostile_names_are_only_names(browser: Browser, tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE):
        hurt = {"stopped": name, "notes": (name,), "diagnosis": (name,), "versions": {name: name}, "metrics": {name: 1.0}}
        write_record(tmp_path, done(tmp_path, name, number, **hurt))
    write_record(tmp_path, Record("failed.png", "failed", "<b>", reason="</script><script>alert(2)</script>"))
    (tmp_path / "recipe.yaml").write_text(f"task: '</title>{HOSTILE[0]}'\nprior: <b>\n", encoding="utf-8")
    write_report(tmp_path)
    with opened(browser, tmp_path / "report.html") as page:
        assert page.evaluate("document.scripts.length") == 2 + len(HOSTILE) + 1
        for name in HOSTILE:
            page.get_by_label("Name contains").fill(name.split("/")[-1].replace("\udcff", "\\udcff"))
            assert page.locator("#name").inner_text().replace("\\udcff", "\udcff") == name
            assert page.locator("#after").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 32


def test_old_records_odd_numbers_and_missing_pictures_are_shown(browser: Browser, tmp_path: Path) -> None:
    write_record(tmp_path, done(tmp_path, "old.png", 0, history=()))
    path = record_path(tmp_path, "old.png")
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "history"}))
    write_record(tmp_path, done(tmp_path, "same.png", 1, metrics={"psnr": float("inf")}, measurement="measurements/same.npy"))
    write_record(tmp_path, done(tmp_path, "none.png", 2, metrics={"psnr": float("nan")}, history=(0.0, 0.0), seed=None))
    (tmp_path / "images" / "none.png").unlink()
    write_report(tmp_path)
    with opened(browser, tmp_path / "report.html") as page:
        page.get_by_role("option", name="old.png").click()
        assert page.locator("#curve").is_hidden()
        page.get_by_role("option", name="same.png, psnr ∞").click()
        assert page.get_by_text("measurements/same.npy").is_visible()
        assert page.get_by_role("img", name="same.png, original").count() == 1
        page.get_by_role("option", name="none.png").click()
        assert page.locator("#slider").is_hidden()
        assert page.get_by_text("not a number").is_visible()


def test_a_large_report_pages_and_opens_soon(browser: Browser, tmp_path: Path) -> None:
    """At first it reads and draws one page of photos, however many there are."""
    first, at_first = done(tmp_path, "first.png", 0), []
    places: dict[str, Any] = {"image": first.image, "measurement": first.measurement, "original": None}
    for total in (61, 400):
        for number in range(total):
            write_record(tmp_path, Record(f"{number:03}.png", "done", "f", misfit=1.0, metrics={"psnr": float(number)}, **places))
        write_report(tmp_path)
        with opened(browser, tmp_path / "report.html") as page:
            made = "[opened.size, document.images.length, document.querySelectorAll(':not(script)').length]"  # details read, what is drawn
            at_first.append(page.evaluate(made))
            assert page.locator(".tile").count() == 60
            page.get_by_role("button", name="Later").click()
            assert names(page)[0] == "060.png"
            page.get_by_role("option", name="060.png").click()
            page.locator("#tiles").get_by_role("option", selected=True).focus()
            page.keyboard.press("ArrowLeft")
            assert names(page)[0] == "000.png"
            page.keyboard.press("End")
            assert page.locator("#place").inner_text() == f"{total} of {total}"
    assert at_first[0] == at_first[1]
    assert at_first[0][0] == 60


def test_a_name_that_looks_like_the_template_s_own_marks_is_only_a_name(tmp_path: Path) -> None:
    write_record(tmp_path, Record("{{details}} {{style}}.png", "failed", "f", reason="{{details}}"))
    (tmp_path / "recipe.yaml").write_text("task: what {{details}} and {{photos}} mean\n")
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<h1>what {{details}} and {{photos}} mean</h1>" in page
    assert page.count('id="photo-0"') == 1
    assert page.rstrip().endswith("</html>")
