"""Instance normalisation in the place of BatchNorm, and the class that moves with the weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from prior_support import made
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from solvers_support import difference, measured, random_mask

from priorsolve.operators.base import Identity
from priorsolve.priors.errors import CheckpointError
from priorsolve.solvers import Staged, picture
from priorsolve.solvers.delta import load_delta, save_delta
from priorsolve.solvers.instance_norm import batch_norms
from priorsolve.solvers.pivotal import Pivotal
from priorsolve.solvers.stored import load_solution, save_solution
from priorsolve.solvers.tuned import Tuned
from priorsolve.solvers.weights import tuned_picture

NORMED = ["dcgan", "conditional-dcgan", "biggan", "biggan-deep"]


@pytest.mark.parametrize("name", NORMED)
def test_it_begins_where_batch_norm_is(name: str) -> None:
    prior = made(name)
    y = measured(prior, 3)
    plain = Tuned(prior, steps=0, candidates=3)(y, Identity())
    begun = Tuned(prior, steps=0, candidates=3, instance_norm=True, blocks=2)(y, Identity())
    torch.testing.assert_close(begun.images, plain.images, atol=1e-5, rtol=0)
    found = {key for key in begun.codes if key.endswith(".instance")}
    assert found == {f"weights:{module}.instance" for module in batch_norms(prior)}
    assert all(begun.codes[key].shape[:2] == (3, 2) for key in found)


@pytest.mark.parametrize("name", ["dcgan", "biggan"])
def test_batches_equal_singles_through_stages(name: str) -> None:
    prior = made(name)
    before = {key: value.clone() for key, value in prior.state_dict().items()}
    operator = random_mask(3, 1, *prior.image_shape[1:])
    y, seeds = operator.A(measured(prior, 3)), [7, 8, 9]
    stages = [Tuned(prior, steps=4, candidates=3, blocks=k, weights_lr=1e-4, instance_norm=True) for k in (1, 2)]
    whole, first = Staged(stages)(y, operator, seeds=seeds), stages[0](y, operator, seeds=seeds)
    assert bool((whole.misfit < first.misfit).all())
    torch.testing.assert_close(whole.history[2], first.misfit, rtol=1e-4, atol=0)  # the second stage begins where the first one ended
    for key in (key for key in first.codes if key.endswith(".instance")):
        assert torch.equal(whole.codes[key], first.codes[key]), "scale and shift are set once"
    for part in ([2, 0], [1]):
        single = Staged(stages)(y[part], operator.select(torch.tensor(part)), seeds=[seeds[i] for i in part])
        assert difference(single, whole[part]) < 1e-4
    assert all(torch.equal(before[key], value) for key, value in prior.state_dict().items())
    assert before.keys() == prior.state_dict().keys()


@pytest.mark.parametrize("name", ["dcgan", "biggan"])
def test_a_file_draws_the_identical_picture(name: str, tmp_path: Path) -> None:
    prior = made(name)
    stages = [Tuned(prior, steps=3, blocks=k, candidates=2, weights_lr=1e-3, instance_norm=k > 1) for k in (2, 3)]
    solution = Staged(stages)(measured(prior, 2), Identity())
    save_solution(solution, tmp_path / "all.safetensors")
    with torch.no_grad():
        again = picture(prior, load_solution(tmp_path / "all.safetensors").codes)
    assert torch.equal(again, solution.images)
    alone = Staged(stages)(measured(prior, 2)[:1], Identity())
    save_delta(prior, alone, 0, tmp_path / "one.safetensors")
    tuned, codes = load_delta(made(name), tmp_path / "one.safetensors")
    with torch.no_grad():
        assert torch.equal(picture(tuned, codes), alone.images)
        torch.testing.assert_close(picture(tuned.folded(), codes), alone.images, atol=1e-5, rtol=0)
    assert [key for key, _ in tuned.named_parameters()] == [key for key, _ in prior.named_parameters()]


def test_the_strength_of_what_enters_a_norm_makes_no_difference() -> None:
    """(s·x − mean) / √(s²·variance + ε) depends on s > 0 by ε alone, where BatchNorm passes s on."""
    prior = made("dcgan")
    begun = Tuned(prior, steps=0, candidates=2, instance_norm=True)(measured(prior, 2), Identity())
    louder = {key: value * 3 if key == "weights:_blocks.0.1.weight" else value for key, value in begun.codes.items()}
    plain = {key: value for key, value in louder.items() if not key.endswith(".instance")}
    with torch.no_grad():
        assert float((tuned_picture(prior, louder) - begun.images).abs().max()) < 1e-3
        assert float((tuned_picture(prior, plain) - begun.images).abs().max()) > 0.05


def test_mean_and_deviation_stay_while_the_weights_move() -> None:
    """After the first norm each channel has the mean and deviation of the start, whatever the weights before it are."""
    prior = made("dcgan")
    solution = Tuned(prior, steps=8, candidates=2, weights_lr=0.01, instance_norm=True)(measured(prior, 1), Identity())
    weight = solution.codes["weights:_blocks.0.1.weight"][0]
    begin = Tuned(prior, steps=0, candidates=2, instance_norm=True)(measured(prior, 1), Identity())
    scale, shift = solution.codes["weights:_blocks.0.2.instance"][0]
    x = torch.nn.functional.conv_transpose2d(begin.codes["z"][:, :, None, None], begin.codes["weights:_blocks.0.1.weight"][0])
    with torch.no_grad():
        normed = dict(prior.named_modules())["_blocks.0.2"](x)
    torch.testing.assert_close(normed.mean((0, 2, 3)), shift, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(normed.std((0, 2, 3), correction=0), scale.abs(), atol=1e-4, rtol=1e-4)
    assert float((weight - begin.codes["weights:_blocks.0.1.weight"][0]).abs().max()) > 0.01


def test_what_tells_batch_norm_its_gain_is_not_tuned() -> None:
    prior = made("biggan")
    solution = Tuned(prior, steps=1, candidates=1, instance_norm=True)(measured(prior, 1), Identity())
    assert not any(".norm" in key and not key.endswith(".instance") for key in solution.codes)
    plain = Tuned(prior, steps=1, candidates=1)(measured(prior, 1), Identity())
    assert any(".norm1.gain" in key for key in plain.codes)


def test_later_stages_and_pivotal_go_on_with_it() -> None:
    prior = made("biggan")
    y = measured(prior, 2)
    found = Tuned(prior, steps=3, candidates=2, instance_norm=True)(y, Identity())
    for later in (Tuned(prior, steps=0), Pivotal(prior, steps=0), Pivotal(prior, steps=2, locality=0.5, distance=1.0)):
        solution = later(y, Identity(), start=found)
        if later.steps == 0:
            torch.testing.assert_close(solution.images, found.images, atol=1e-6, rtol=0)
        assert torch.equal(solution.codes["weights:_blocks.1.norm1.instance"], found.codes["weights:_blocks.1.norm1.instance"])


def test_the_class_moves_at_the_rate_of_the_weights() -> None:
    """Adam's first step is the rate itself, as of the first block's weights."""
    prior = made("biggan")
    y, size = measured(prior, 2), prior.spaces["z"][0]
    begin = Tuned(prior, steps=0, candidates=3)(y, Identity()).codes["z+c"]
    for lr in (0.0, 1e-3):
        moved = Tuned(prior, steps=1, candidates=3, lr=lr, weights_lr=1e-5, block_ratio=0.5, tune_embedding=True)(y, Identity())
        change = (moved.codes["z+c"] - begin).abs()
        torch.testing.assert_close(change[:, size:].amax(1), torch.full((2,), 1e-5), rtol=0.02, atol=1e-7)
        torch.testing.assert_close(change[:, :size].amax(1), torch.full((2,), lr), rtol=0.02, atol=1e-7)


def test_what_makes_no_sense_is_refused_in_a_line() -> None:
    for name in ("pggan", "linear", "stylegan2-skip"):
        with pytest.raises(ValueError, match=r"instance_norm: .* has no BatchNorm over pixels that it could replace; leave it out"):
            Tuned(made(name), instance_norm=True)
    for settings, words in [
        ({"tune_class": True, "tune_embedding": True}, "both move the class"),
        ({"tune_embedding": True, "weights_lr": 0}, "tune_embedding moves the class at weights_lr, which is 0"),
        ({"tune_embedding": True, "space": "features@1"}, "tune_embedding: codes of 'features@1' have no class"),
    ]:
        with pytest.raises(ValueError, match=words):
            Tuned(made("biggan"), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3, 4), (2,), (2, 4, 1)])
def test_a_scale_and_shift_of_no_such_shape_are_refused_in_a_line(tmp_path: Path, shape: tuple[int, ...]) -> None:
    prior = made("dcgan")
    solution = Tuned(prior, steps=0, candidates=1, instance_norm=True)(measured(prior, 1), Identity())
    save_delta(prior, solution, 0, tmp_path / "one")
    name = next(name for name in solution.codes if name.endswith(".instance"))
    with safe_open(tmp_path / "one", "pt") as file:
        metadata = file.metadata()
    save_file({**load_file(tmp_path / "one"), name: torch.ones(shape)}, tmp_path / "two", metadata)
    told = re.escape(f"two: {name.removeprefix('weights:')} has shape {shape}, expected (2, channels); save the tuned weights again")
    with pytest.raises(CheckpointError, match=rf"{told}$"):
        load_delta(prior, tmp_path / "two")
