"""`priorsolve check` on what is no recipe: checkpoint files and folders, and the zoo's names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from priorsolve.cli import main
from priorsolve.command import checks
from priorsolve.command.checks import check_prior, is_checkpoint
from priorsolve.priors import DCGAN, ZOO, LinearPrior, load_prior, save_prior

CASES = {
    "01_nvidia_sg2ada_cond_32_protocol3": ("network-snapshot-000123.pkl", "StyleGAN2", "StyleGAN2", "32×32, RGB", "10"),
    "02_rosinality_converted_32": ("model-converted.pt", "StyleGAN2", "StyleGAN2 (rosinality)", "32×32, RGB", None),
    "03_biggan_brock_64_ch4": ("G_ema_64.pth", "BigGAN", "BigGAN", "64×64, RGB", "20"),
    "07_dcgan_plain": ("netG.pth", "DCGAN", "DCGAN", "64×64, RGB", None),
    "07_dcgan_netG_state_dict": ("netG.pth", "DCGAN", "DCGAN", "64×64, grey", None),
}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRIORSOLVE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def check(target: object, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["check", str(target), "--json"]) == 0
    facts: dict[str, Any] = json.loads(capfd.readouterr().out)
    return facts


@pytest.mark.parametrize("case", CASES)
def test_a_file_says_what_it_is(shared: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    name, family, layout, resolution, classes = CASES[case]
    path = shared / "reference" / case / name
    facts = check(path, capfd)
    assert (facts["family"], facts["format"], facts["resolution"], facts.get("classes")) == (family, layout, resolution, classes)
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    prior = load_prior(path)
    assert facts["parameters"] == f"{sum(parameter.numel() for parameter in prior.parameters()):,}"
    assert all(f"{space} {tuple(shape)}" in facts["spaces"] for space, shape in prior.spaces.items())
    assert facts["draws"] == "finite pictures"


def test_a_folder_says_what_each_file_is(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = shared / "reference" / "04_hf_biggan_deep_128layers_ch4"
    facts = check(folder, capfd)
    assert (facts["family"], facts["classes"]) == ("BigGANDeep", "15")
    for name in ("config.json", "pytorch_model.bin"):
        assert facts[f"sha256 of {name}"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_a_converted_file_keeps_its_layout(shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_prior(load_prior(shared / "reference" / "07_dcgan_plain" / "netG.pth"), tmp_path / "own.safetensors")
    assert check(tmp_path / "own.safetensors", capfd)["format"] == "DCGAN"


@pytest.mark.usefixtures("digiface64")
def test_a_name_says_origin_and_licence(capfd: pytest.CaptureFixture[str]) -> None:
    facts, entry = check("digiface64", capfd), ZOO["digiface64"]
    assert (facts["origin"], facts["licence"], facts["package"]) == (entry.provenance, "MIT", "gan-face-generate==1.1.1")
    assert (facts["family"], facts["resolution"], facts["draws"]) == ("DCGAN", "64×64, RGB", "finite pictures")
    assert facts[f"sha256 of {entry.inner}"] == entry.sha256


@pytest.mark.usefixtures("ffhq128")
def test_a_name_of_several_files(capfd: pytest.CaptureFixture[str]) -> None:
    facts = check("ffhq128", capfd)
    assert (facts["family"], facts["format"], facts["licence"]) == ("MobileStyleGAN", "OpenVINO graph", "non-commercial")
    assert {key for key in facts if key.startswith("sha256")} == {f"sha256 of {file.path}" for file in ZOO["ffhq128"].files}


@pytest.mark.parametrize("name", ["digiface64", "ffhq128"])
def test_nothing_is_downloaded(empty_cache: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    facts = check(name, capfd)
    assert facts["draws"] == f"not checked before the weights are here: priorsolve fetch {name}"
    assert facts["licence"] == ZOO[name].licence
    assert "family" not in facts
    assert not (empty_cache / "cache").exists()


def test_names_recipes_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inpaint").mkdir()
    assert is_checkpoint(Path("digiface64"))
    assert not is_checkpoint(Path("inpaint"))
    assert not is_checkpoint(Path("digifce64"))
    assert not is_checkpoint(Path("mine.yaml"))
    assert is_checkpoint(Path("missing.pth"))
    (tmp_path / "digiface64").write_text("<html>")
    with pytest.raises(ValueError, match=r"digiface64: is an HTML page"):
        check_prior(Path("digiface64"))


@pytest.mark.parametrize(("error", "said"), [(RuntimeError("no room\nat a.cpp:1"), "no room"), (MemoryError(), "MemoryError")])
def test_a_prior_that_cannot_draw_says_why(
    error: Exception, said: str, shared: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(DCGAN, "_decode", failing)
    assert main(["check", str(shared / "reference" / "07_dcgan_plain" / "netG.pth")]) == 1
    assert f"\ndraws: nothing ({said})\n" in capfd.readouterr().out


def test_errors_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("[]")
    for target in (tmp_path, tmp_path / "missing.pth", "digifce64"):
        assert main(["check", str(target)]) == 2
        said = capfd.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_prior_of_wide_pictures_says_height_by_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pth").write_bytes(b"weights")
    monkeypatch.setattr(checks, "load_file", lambda path: (LinearPrior.random(4, (3, 8, 16)), "a layout"))
    assert check_prior(tmp_path / "a.pth")[0]["resolution"] == "8×16, RGB"
