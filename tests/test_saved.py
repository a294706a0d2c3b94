from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from prior_support import sampled, stylegan3
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from states_support import (
    BIGGAN_DEEP_CONFIG,
    biggan_deep_state,
    biggan_state,
    conditional_dcgan_state,
    mlp_state,
    mobilestylegan_state,
    pggan_state,
    stylegan3_settings,
    stylegan3_state,
    vae_state,
)
from style_support import style2_state

from priorsolve.priors import BigGANDeep, CheckpointError, LinearPrior, Prior, load_prior
from priorsolve.priors.checkpoint import FAMILY, SETTINGS, Checkpoint
from priorsolve.priors.load import FORMATS, build
from priorsolve.priors.saved import save_prior
from priorsolve.priors.stylegan2 import StyleGAN2
from priorsolve.priors.stylegan3 import StyleGAN3

CASES = {
    "01_nvidia_sg2ada_cond_32_protocol3/network-snapshot-000123.pkl": "StyleGAN2",
    "02_psp_style_decoder_32/best_model.pt": "StyleGAN2",
    "02_rosinality_training_file_32/100000.pt": "StyleGAN2",
    "03_biggan_brock_64_ch4/G_ema_64.pth": "BigGAN",
    "04_hf_biggan_deep_128layers_ch4": "BigGANDeep",
    "05_pggan_ganseeing_32/model.pth": "PGGAN",
    "05_pggan_genforce_32/model.pth": "PGGAN",
    "05_pggan_mganprior_32/model.pth": "PGGAN",
    "06_nvidia_sg3_R_32/network-snapshot-000123.pkl": "StyleGAN3",
    "07_dcgan_netG_state_dict/netG.pth": "DCGAN",
}


def small() -> Prior:
    """A prior of a family that folds its tensors on loading."""
    rng = torch.Generator().manual_seed(0)
    state = {"main.0.weight": torch.randn(5, 4, 4, 4, generator=rng), "main.3.weight": torch.randn(4, 3, 4, 4, generator=rng)}
    state |= {f"main.1.{name}": torch.rand(4, generator=rng) + 0.5 for name in ("weight", "bias", "running_mean", "running_var")}
    return build(Checkpoint(state))


@pytest.mark.parametrize("case", CASES)
def test_saved_and_loaded_priors_draw_identical_pictures(shared: Path, case: str, tmp_path: Path) -> None:
    prior = load_prior(shared / "reference" / case)
    save_prior(prior, tmp_path / "sub" / "once")
    again = load_prior(tmp_path / "sub" / "once")
    assert type(again) is type(prior)
    assert again.spaces == prior.spaces
    assert torch.equal(again.decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))
    save_prior(again, tmp_path / "twice")
    assert torch.equal(load_prior(tmp_path / "twice").decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))
    with safe_open(tmp_path / "twice", framework="pt") as file:
        metadata = file.metadata()
    assert metadata[FAMILY] == CASES[case] == type(prior).__name__
    assert isinstance(json.loads(metadata[SETTINGS]), dict)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["once", "sub", "twice"]


@pytest.mark.parametrize("state", [conditional_dcgan_state(), mobilestylegan_state(), mlp_state(), vae_state()])
def test_small_priors_of_the_other_families(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "plain")
    prior = load_prior(tmp_path / "plain")
    save_prior(prior, tmp_path / "saved")
    again = load_prior(tmp_path / "saved")
    assert type(again) is type(prior)
    assert torch.equal(again.decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))


def test_a_path_from_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_prior(small(), "~/f")
    assert load_prior("~/f").spaces == load_prior(tmp_path / "f").spaces
    with pytest.raises(ValueError, match="save_prior: path is 3; give the path of a file or folder"):
        save_prior(small(), 3)  # type: ignore[arg-type]


def test_every_family_has_a_name_of_its_own() -> None:
    assert set(CASES.values()) <= {known.family for known in FORMATS}
    assert len({known.family for known in FORMATS}) == len(FORMATS)


def test_tuned_weights_are_saved(tmp_path: Path) -> None:
    prior = small()
    with torch.no_grad():
        next(prior.parameters()).mul_(0.5)
    save_prior(prior, tmp_path / "tuned.safetensors")
    assert torch.equal(load_prior(tmp_path / "tuned.safetensors").decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))


@pytest.mark.parametrize("config", [{}, BIGGAN_DEEP_CONFIG])
def test_the_truncation_is_saved(config: dict[str, object], tmp_path: Path) -> None:
    loaded = build(Checkpoint(biggan_deep_state(), config))
    assert isinstance(loaded, BigGANDeep)
    for truncation in (0.5, 0.0, 1.0):
        prior = loaded.with_truncation(truncation)
        save_prior(prior, tmp_path / "f")
        again = load_prior(tmp_path / "f")
        assert isinstance(again, BigGANDeep)
        assert again.truncation == truncation
        assert torch.equal(sampled(again, 1), sampled(prior, 1))
        assert torch.equal(again.decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))
        assert torch.equal(again.with_truncation(0.3).decode(sampled(prior, 1)), prior.with_truncation(0.3).decode(sampled(prior, 1)))
    with safe_open(tmp_path / "f", framework="pt") as file:
        metadata = file.metadata()
    for wrong in (2, "much", None, True):
        settings = {**json.loads(metadata[SETTINGS]), "truncation": wrong}
        save_file(load_file(tmp_path / "f"), tmp_path / "g", {**metadata, SETTINGS: json.dumps(settings)})
        if wrong is None:
            load_prior(tmp_path / "g")
            continue
        with pytest.raises(CheckpointError, match=f"truncation = {wrong!r}, expected a number from 0 to 1"):
            load_prior(tmp_path / "g")


def test_priors_without_an_origin_are_refused(tmp_path: Path) -> None:
    folds = [build(Checkpoint(state)).folded() for state in (pggan_state(), biggan_state(), biggan_deep_state())]
    for prior in (LinearPrior.random(3, (1, 4, 4)), small().folded(), *folds):
        with pytest.raises(ValueError, match="is not as load_prior gives it"):
            save_prior(prior, tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_plain_safetensors_of_nvidia_names_are_read(tmp_path: Path) -> None:
    save_file(style2_state("resnet"), tmp_path / "f")
    prior = load_prior(tmp_path / "f")
    assert prior.image_shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[1]", "no JSON object"),
        ("{", "damaged safetensors"),
        ('{"built_from": 3}', "in no known form"),
        ('{"built_from": {"a": ["os", [1], 1]}}', "in no known form"),
        ('{"built_from": {"a": ["float32", [1000000, 1000000], 1]}}', "was built from 1000000000000 numbers"),
        ('{"built_from": {"a": ["quint8", [1], 1]}}', "in no known form"),
        ('{"built_from": {"a": ["float32", [0, 1e30], 1]}}', "in no known form"),
        ('{"built_from": {"a": ["float32", [0, 1000000000000000000000], 1]}}', "in no known form"),
        ('{"built_from": {"a": ["float32", [Infinity], 1]}}', "in no known form"),
        ('{"built_from": {"a": ["int64", [1], NaN]}}', "in no known form"),
        ('{"built_from": {"a": ["uint8", [1], 1e300]}}', "(in no known form|with numbers that its types do not hold|no 4-D tensor)"),
        ("{}", "main"),
    ],
)
def test_settings_that_make_no_sense(settings: str, words: str, tmp_path: Path) -> None:
    save_prior(small(), tmp_path / "f")
    save_file(load_file(tmp_path / "f"), tmp_path / "f", {FAMILY: "DCGAN", SETTINGS: settings})
    with pytest.raises(CheckpointError, match=words):
        load_prior(tmp_path / "f")


def test_a_stylegan3_without_its_rates_is_refused(tmp_path: Path) -> None:
    save_prior(stylegan3(), tmp_path / "f")
    with safe_open(tmp_path / "f", framework="pt") as file:
        metadata = file.metadata()
    settings = json.loads(metadata[SETTINGS])
    layers = settings["layers"]
    changes: list[dict[str, object]] = [{"input": None}, {"layers": [{**layers[0], "in_size": math.inf}, *layers[1:]]}]
    changes += [{"layers": [{**layers[0], "in_size": math.nan}, *layers[1:]]}, {"layers": [{**layers[0], "name": [1]}, *layers[1:]]}]
    for change in changes:
        changed = {key: value for key, value in {**settings, **change}.items() if value is not None}
        save_file(load_file(tmp_path / "f"), tmp_path / "g", {**metadata, SETTINGS: json.dumps(changed)})
        with pytest.raises(CheckpointError, match=r"in no known form|expected a whole number from 1 to|that are not its tensors'"):
            load_prior(tmp_path / "g")


def test_saved_weights_keep_their_type(tmp_path: Path) -> None:
    save_prior(small(), tmp_path / "f")
    with safe_open(tmp_path / "f", framework="pt") as file:
        metadata = file.metadata()
    save_file({key: value.to(torch.int32) for key, value in load_file(tmp_path / "f").items()}, tmp_path / "g", metadata)
    with pytest.raises(CheckpointError, match=r"holds torch\.int32, expected torch\.float32; save the prior again"):
        load_prior(tmp_path / "g")


def test_tensors_that_are_not_those_of_the_settings(tmp_path: Path) -> None:
    save_prior(small(), tmp_path / "f")
    with safe_open(tmp_path / "f", framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "f")
    name = next(iter(sorted(tensors)))
    for changed in ({**tensors, name: torch.zeros(2)}, {key: value for key, value in tensors.items() if key != name}):
        save_file(changed, tmp_path / "g", metadata)
        with pytest.raises(CheckpointError, match=rf"{name} has shape (\[2\]|none), expected"):
            load_prior(tmp_path / "g")
    save_file(tensors, tmp_path / "g", {**metadata, FAMILY: "Unheard"})
    with pytest.raises(CheckpointError, match="no known generator layout"):
        load_prior(tmp_path / "g")


def test_damaged_weights_are_refused_unless_asked_for(tmp_path: Path) -> None:
    state = style2_state()
    state["synthesis.b8.conv0.bias"][0] = torch.nan
    save_file(state, tmp_path / "f")
    with pytest.raises(CheckpointError, match=r"NaN or infinite values in synthesis\.b8\.conv0\.bias"):
        load_prior(tmp_path / "f")
    prior = load_prior(tmp_path / "f", nonfinite="zero")
    assert bool(torch.isfinite(prior.decode(sampled(prior, 1))).all())


def test_numbers_beyond_float32_are_damage_in_a_file_of_ours_too(tmp_path: Path) -> None:
    save_prior(small(), tmp_path / "f")
    with safe_open(tmp_path / "f", framework="pt") as file:
        metadata = file.metadata()
    tensors = {key: value.double() if value.is_floating_point() else value for key, value in load_file(tmp_path / "f").items()}
    name = next(key for key, value in tensors.items() if value.ndim == 4)
    tensors[name][0] = 1e300
    save_file(tensors, tmp_path / "g", metadata)
    with pytest.raises(CheckpointError, match=f"NaN or infinite values in {name}"):
        load_prior(tmp_path / "g")
    assert float(load_prior(tmp_path / "g", nonfinite="zero").state_dict()[name][0].abs().max()) == 0


def test_negative_variances_are_damage_in_a_file_of_ours_too(tmp_path: Path) -> None:
    for state in (None, biggan_state(), biggan_deep_state()):
        save_prior(small() if state is None else build(Checkpoint(state)), tmp_path / "f")
        with safe_open(tmp_path / "f", framework="pt") as file:
            metadata = file.metadata()
        tensors = load_file(tmp_path / "f")
        name = next(key for key in tensors if "var" in key)
        tensors[name].view(-1)[-1] = -1
        save_file(tensors, tmp_path / "g", metadata)
        with pytest.raises(CheckpointError, match=f"negative variances in {name}; the file is damaged"):
            load_prior(tmp_path / "g")


@pytest.mark.parametrize("settings", [{"lr_multiplier": 1.0}, {"conv_clamp": 0.1}])
def test_settings_of_stylegan2_that_are_not_the_usual_are_saved(settings: dict[str, float], tmp_path: Path) -> None:
    prior = StyleGAN2.from_state(style2_state(), settings)
    save_prior(prior, tmp_path / "f")
    assert torch.equal(load_prior(tmp_path / "f").decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))


@pytest.mark.parametrize("settings", [{"lr_multiplier": 1.0}, {"output_scale": 0.5}])
def test_settings_of_stylegan3_that_are_not_the_usual_are_saved(settings: dict[str, float], tmp_path: Path) -> None:
    prior = StyleGAN3.from_state(stylegan3_state(), {**stylegan3_settings(), **settings})
    save_prior(prior, tmp_path / "f")
    assert torch.equal(load_prior(tmp_path / "f").decode(sampled(prior, 1)), prior.decode(sampled(prior, 1)))
