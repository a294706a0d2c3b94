"""What `output.codes` keeps of each photo: a solution to go on from in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import run_support as run
import torch
from PIL import Image

import priorsolve as ps
from priorsolve.cli import main
from priorsolve.run.records import Record
from priorsolve.run.restoration import Options, restore
from priorsolve.solvers import Solution, load_delta, load_solution, picture, save_delta

pytestmark = pytest.mark.usefixtures("digiface64")

CODES = {"codes": True}


def kept(out: Path, record: Record) -> Solution:
    """The record's solution."""
    assert record.status == "done", record.reason
    assert record.codes is not None
    return load_solution(out / record.codes)


def test_codes_draw_the_picture_again_as_it_was_before_what_was_measured_was_put_back(tmp_path: Path) -> None:
    prior, photos = ps.load_prior("digiface64"), run.photos(tmp_path / "in", 3)
    plain = list(restore(run.quick(output=CODES), photos, tmp_path / "plain"))
    put = list(restore(run.quick(output={**CODES, "consistency": True}), photos, tmp_path / "put", Options(batch_size=1)))
    assert [record.codes for record in plain] == [f"codes/0{index}.png.safetensors" for index in range(3)]
    for drawn, laid in zip(plain, put, strict=True):
        solution = kept(tmp_path / "plain", drawn)
        again = picture(prior, solution.codes)
        torch.testing.assert_close(again, solution.images, atol=2e-6, rtol=0)  # which were drawn three at a time
        assert again.shape == (1, 3, 64, 64)
        assert solution.stopped[0].value == drawn.stopped
        assert float(solution.residual) == pytest.approx(drawn.residual, rel=1e-3)
        assert drawn.image is not None
        made = (again[0].detach().clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(int)
        assert np.abs(made - run.pixels(tmp_path / "plain" / drawn.image)).max() == 0
        torch.testing.assert_close(kept(tmp_path / "put", laid).images, solution.images, atol=1e-5, rtol=0)


def test_tuned_weights_are_kept_and_nothing_of_what_adam_remembers(tmp_path: Path) -> None:
    prior, photos = ps.load_prior("digiface64"), run.photos(tmp_path / "in", 2)
    tuned = {"tuned": {"blocks": 1, "steps": 2, "weights_lr": 1e-3, "carry_moments": True, "candidates": 2}}
    records = list(restore(run.quick(solver=tuned, output=CODES), photos, tmp_path / "out"))
    for record in records:
        solution = kept(tmp_path / "out", record)
        assert {name.partition(":")[0] for name in solution.codes} == {"z", "weights"}
        torch.testing.assert_close(picture(prior, solution.codes), solution.images, atol=2e-6, rtol=0)
        assert float((prior.decode(solution.codes["z"]) - solution.images).abs().max()) > 1e-4
        save_delta(prior, solution, 0, tmp_path / "delta.safetensors")
        torch.testing.assert_close(picture(*load_delta(prior, tmp_path / "delta.safetensors")), solution.images, atol=2e-6, rtol=0)
        numbers = sum(code.numel() for code in solution.codes.values()) + solution.images.numel()
        size = (tmp_path / "out" / str(record.codes)).stat().st_size
        assert 4 * numbers < size < 4 * numbers + 2000


def test_of_several_frames_all_are_kept_in_their_order_whatever_the_batch(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    run.picture(0, 64, 128).save(tmp_path / "in/a.png")
    recipe = run.quick(operator="identity", frame={"tiles": {"overlap": 0.0}}, output=CODES)
    found = []
    for batch in (1, 2):
        (record,) = restore(recipe, tmp_path / "in", tmp_path / str(batch), Options(batch_size=batch))
        found.append(kept(tmp_path / str(batch), record))
        assert len(found[-1]) == 2
        assert record.misfit == pytest.approx(float(found[-1].misfit.max()), rel=1e-3)
        assert record.notes[-2:] == tuple(f"tile {i + 1} of 2: misfit {float(found[-1].misfit[i]):.4g}" for i in (0, 1))
    torch.testing.assert_close(found[0].images, found[1].images, atol=1e-5, rtol=0)


def test_where_no_frame_is_left_to_do_there_are_no_codes(tmp_path: Path) -> None:
    run.photos(tmp_path / "in", 1)
    mask = {"mask": {"file": str(tmp_path / "mask.png")}}
    Image.new("L", (64, 64), 0).save(tmp_path / "mask.png")
    recipe = run.quick(operator=mask, frame={"tiles": {"overlap": 0.0}}, output={**CODES, "consistency": True})
    (record,) = restore(recipe, tmp_path / "in", tmp_path / "out")
    assert (record.status, record.codes) == ("done", None)
    assert list(restore(recipe, tmp_path / "in", tmp_path / "out")) == []


def test_of_a_mean_the_pictures_are_kept_with_the_first_search_s_codes(tmp_path: Path) -> None:
    prior, photos = ps.load_prior("digiface64"), run.photos(tmp_path / "in", 1)
    (alone,) = restore(run.quick(output=CODES), photos, tmp_path / "alone")
    for name, changes in (("mirror", {}), ("samples", {"samples": 2})):
        (mean,) = restore(run.quick(output={**CODES, "mean": name}, **changes), photos, tmp_path / name)
        first, both = kept(tmp_path / "alone", alone), kept(tmp_path / name, mean)
        torch.testing.assert_close(both.codes["z"], first.codes["z"])
        torch.testing.assert_close(picture(prior, both.codes), first.images)
        assert float((both.images - first.images).abs().max()) > 1e-3


def test_photos_without_their_codes_are_done_again_and_codes_that_nobody_wants_go(tmp_path: Path) -> None:
    photos, out = run.photos(tmp_path / "in", 3), tmp_path / "out"
    assert [record.codes for record in restore(run.quick(), photos, out)] == [None] * 3
    assert not (out / "codes").exists()
    assert len(list(restore(run.quick(output={**CODES, "consistency": True}), photos, out, Options(shard=(0, 2))))) == 2
    assert len(list(restore(run.quick(output={**CODES, "consistency": True}), photos, out, Options(shard=(1, 2))))) == 1
    (out / "codes/01.png.safetensors").unlink()
    (out / "codes/.0123456789abcdef.tmp").write_bytes(b"half of a killed run's")
    assert [record.name for record in restore(run.quick(output={**CODES, "consistency": True}), photos, out)] == ["01.png"]
    assert {path.name for path in (out / "codes").iterdir()} == {f"0{index}.png.safetensors" for index in range(3)}
    assert len(list(restore(run.quick(), photos, out))) == 3
    assert list((out / "codes").iterdir()) == []


def test_the_command_keeps_codes_and_the_report_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = run.photos(tmp_path / "in", 1), tmp_path / "out"
    recipe = run.recipe_file(tmp_path)
    assert main(["restore", recipe, str(photos), "--out", str(out), "--set", "output.codes=true", "--quiet"]) == 0
    (record,) = run.records(out).values()
    assert record["codes"] == "codes/00.png.safetensors"
    assert load_solution(out / record["codes"]).codes["z"].shape == (1, 100)
    assert b"codes/00.png.safetensors" in (out / "report.html").read_bytes()
    assert capsys.readouterr().err == ""
