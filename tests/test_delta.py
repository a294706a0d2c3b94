"""One photo's tuned weights as a file, and pivotal tuning, after which one wants to keep them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from prior_support import made
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from solvers_support import difference, measured, random_mask

from priorsolve.counter_rng import uniform_hash
from priorsolve.losses import Mixture, l1, l2
from priorsolve.operators.base import Identity
from priorsolve.priors import Prior
from priorsolve.priors.errors import CheckpointError
from priorsolve.solvers import Latent, Solution, Staged, picture, start_at
from priorsolve.solvers.delta import load_delta, save_delta
from priorsolve.solvers.pivotal import Nearby, Pivotal
from priorsolve.solvers.stopping import Stop
from priorsolve.solvers.target import Measured
from priorsolve.solvers.task import At
from priorsolve.solvers.tuned import Tuned
from priorsolve.solvers.weights import tuned_picture


def pivot(name: str = "stylegan2-skip", space: str | None = "w", count: int = 2) -> Solution:
    prior = made(name)
    return Latent(prior, space=space, steps=3, restarts=1, candidates=4)(measured(prior, count), Identity())


# -- files -----------------------------------------------------------------------------------------------------------------------------


TUNED = [("dcgan", "z"), ("biggan", "z+c"), ("biggan-deep", "z+c"), ("pggan", "z"), ("mobilestylegan", "w+"), ("stylegan2-resnet", "w")]


@pytest.mark.parametrize(("name", "space"), TUNED)
def test_a_file_gives_the_photos_picture_again_to_the_last_bit(name: str, space: str, tmp_path: Path) -> None:
    prior = made(name)
    stages = [Tuned(prior, space=space, steps=3, blocks=k, candidates=2, weights_lr=1e-3) for k in (2, 3)]
    solution = Staged(stages)(measured(prior, 2), Identity())
    for index in (0, 1):
        save_delta(prior, solution, index, tmp_path / "one.safetensors")
        tuned, codes = load_delta(made(name), tmp_path / "one.safetensors")
        for key, value in codes.items():
            assert torch.equal(value[0], solution.codes[key][index])
        with torch.no_grad():
            assert torch.equal(picture(tuned, codes)[0], solution.images[index])
            assert float((picture(prior, codes)[0] - solution.images[index]).abs().max()) > 1e-4, "nothing was tuned"
        alone = {key: value[[index]] for key, value in solution.codes.items()}
        assert torch.equal(picture(prior, alone)[0], solution.images[index])
        for key, parameter in tuned.named_parameters():
            tuned_to = solution.codes.get(f"weights:{key}")
            assert torch.equal(parameter, prior.get_parameter(key) if tuned_to is None else tuned_to[index])


def test_a_prior_read_in_inference_mode_is_searched_as_any(tmp_path: Path) -> None:
    prior = made("dcgan")
    y = measured(prior, 1)
    save_delta(prior, Tuned(prior, steps=1, candidates=2)(y, Identity()), 0, tmp_path / "one.safetensors")
    with torch.inference_mode():
        tuned, codes = load_delta(prior, tmp_path / "one.safetensors")
    start = start_at(tuned, codes["z"])
    plain, _ = load_delta(prior, tmp_path / "one.safetensors")
    found, expected = (Latent(each, steps=2)(y, Identity(), start=start) for each in (tuned, plain))
    assert torch.equal(found.images, expected.images)


def test_only_what_was_tuned_is_in_the_file(tmp_path: Path) -> None:
    prior = made("dcgan")
    solution = Tuned(prior, steps=1, blocks=1, candidates=1)(measured(prior, 1), Identity())
    save_delta(prior, solution, 0, tmp_path / "one.safetensors")
    numbers = sum(parameter.numel() for parameter in prior.blocks[0].parameters()) + 7
    assert 4 * numbers < (tmp_path / "one.safetensors").stat().st_size < 4 * numbers + 1500
    carried = Tuned(prior, steps=1, candidates=1, carry_moments=True)(measured(prior, 1), Identity())
    assert any(name.startswith("adam:") for name in carried.codes)
    save_delta(prior, carried, 0, tmp_path / "one.safetensors")
    assert load_file(tmp_path / "one.safetensors").keys() == {"z", *(f"weights:{name}" for name, _ in prior.named_parameters())}


def saved(path: Path) -> tuple[Prior, dict[str, torch.Tensor], dict[str, str]]:
    """A prior, and the tensors and metadata of a file of weights that were tuned of it."""
    prior = made("dcgan")
    save_delta(prior, Tuned(prior, steps=1, candidates=1)(measured(prior, 1), Identity()), 0, path)
    with safe_open(path, "pt") as file:
        return prior, load_file(path), file.metadata()


def test_a_file_with_other_tensors_is_refused_in_a_line(tmp_path: Path) -> None:
    prior, tensors, metadata = saved(tmp_path / "one.safetensors")
    name = next(name for name, value in tensors.items() if name.startswith("weights:") and value.ndim == 4)
    cases: list[tuple[dict[str, torch.Tensor], str]] = [
        ({"weights:unheard": torch.zeros(3)}, r"unheard has shape \(3,\), expected none"),
        ({name: torch.zeros(7)}, r"has shape \(7,\), expected \("),
        ({name: torch.zeros(1)}, r"has shape \(1,\), expected \("),
        ({name: torch.full_like(tensors[name], torch.nan)}, "NaN or infinite values in weights:"),
        ({name: tensors[name].long()}, r"holds torch\.int64, expected floating point"),
        ({"z": torch.zeros(3)}, r"the code in z has shape \(3,\), expected \(7,\)"),
        ({"z": torch.full((7,), torch.inf)}, "NaN or infinite values in z"),
    ]
    for change, words in cases:
        save_file({**tensors, **change}, tmp_path / "two", metadata)
        with pytest.raises(CheckpointError, match=rf"two: .*{words}"):
            load_delta(prior, tmp_path / "two")


def test_a_file_that_lacks_a_tensor_is_refused_and_an_older_one_read(tmp_path: Path) -> None:
    prior, tensors, metadata = saved(tmp_path / "one.safetensors")
    changed = {name: value + 1e-3 if name == "z" else value for name, value in tensors.items()}
    for damaged in (*({key: tensors[key] for key in tensors if key != name} for name in tensors), changed):
        save_file(damaged, tmp_path / "two", metadata)
        with pytest.raises(CheckpointError, match=r"two: is damaged: it holds other tensors than were saved; save the tuned weights again"):
            load_delta(prior, tmp_path / "two")
    renamed = (tmp_path / "one.safetensors").read_bytes().replace(b"weights:", b"weifhts:", 1)
    (tmp_path / "two").write_bytes(renamed)
    with pytest.raises(CheckpointError, match="two: is damaged"):
        load_delta(prior, tmp_path / "two")
    save_file(tensors, tmp_path / "old", {key: value for key, value in metadata.items() if key != "priorsolve.delta.digest"})
    assert load_delta(prior, tmp_path / "old")[1].keys() == {"z"}


def test_a_file_of_another_prior_is_refused_in_a_line(tmp_path: Path) -> None:
    prior, path = made("dcgan"), tmp_path / "one.safetensors"
    solution = Tuned(prior, steps=1, candidates=1)(measured(prior, 1), Identity())
    save_delta(prior, solution, 0, path)
    other = made("dcgan")
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(CheckpointError, match=r"one.safetensors: was tuned of another prior, a DCGAN.*load that prior first"):
        load_delta(other, path)
    save_file({"z": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds no tuned weights of save_delta"):
        load_delta(prior, path)
    path.write_text("nonsense")
    with pytest.raises(CheckpointError, match="cannot be read as tuned weights"):
        load_delta(prior, path)
    for index in (1, -1):
        with pytest.raises(ValueError, match=f"there is no image {index} in a solution of 1"):
            save_delta(prior, solution, index, path)
    plain = Latent(prior, steps=0)(measured(prior, 1), Identity())
    with pytest.raises(ValueError, match="no tuned weights"):
        save_delta(prior, plain, 0, path)


def test_wrong_arguments_are_refused_in_a_line(tmp_path: Path) -> None:
    prior, path = made("dcgan"), tmp_path / "one.safetensors"
    solution = Tuned(prior, steps=1, candidates=1)(measured(prior, 1), Identity())
    save_delta(prior, solution, 0, path)
    calls: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
        (save_delta, (prior, solution, 0, None), r"save_delta: path is None; give the path of a file or folder"),
        (save_delta, (prior, solution.codes, 0, path), r"save_delta: expected a Solution, got a dict; give what a solver returned"),
        (
            save_delta,
            ("dcgan", solution, 0, path),
            r"save_delta: prior is 'dcgan'; it must be .*: load_prior\('dcgan'\)",
        ),
        (load_delta, (prior, None), "load_delta: path is None"),
        (load_delta, (path, prior), "load_delta: prior is a .*Path; it must be a Prior, such as load_prior gives"),
        (start_at, ("dcgan", solution.codes["z"]), "start_at: prior is 'dcgan'"),
        (picture, (None, solution.codes), "picture: prior is None"),
    ]
    for call, arguments, words in calls:
        with pytest.raises(ValueError, match=words):
            call(*arguments)


def test_the_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    prior = made("dcgan")
    save_delta(prior, Tuned(prior, steps=0, candidates=1)(measured(prior, 1), Identity()), 0, "~/kept/one.safetensors")
    assert (tmp_path / "kept" / "one.safetensors").is_file()
    assert set(load_delta(prior, "~/kept/one.safetensors")[1]) == {"z"}


# -- pivotal tuning --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locality", [0.0, 0.5])
@pytest.mark.parametrize(("name", "space"), [("stylegan2-skip", "w"), ("mobilestylegan", "w+"), ("dcgan", "z")])
def test_the_code_stays_and_batches_equal_singles(name: str, space: str, locality: float) -> None:
    prior = made(name)
    operator = random_mask(2, 1, *prior.image_shape[1:])
    y, found = operator.A(measured(prior, 2)), pivot(name, space)
    solver = Pivotal(prior, steps=5, locality=locality, distance=1.0)
    whole = solver(y, operator, start=found, seeds=[3, 4])
    assert torch.equal(whole.codes[space], found.codes[space])
    assert bool((whole.misfit < Pivotal(prior, steps=0)(y, operator, start=found).misfit).all())
    for i in (0, 1):
        single = solver(y[[i]], operator.select(torch.tensor([i])), start=found[i], seeds=[3 + i])
        assert difference(single, whole[i]) < 1e-4


@pytest.mark.parametrize("name", ["dcgan", "biggan", "pggan", "linear"])
def test_weights_that_have_not_moved_differ_by_nothing_so_that_the_first_step_is_that_without_locality(name: str) -> None:
    prior, found = made(name), pivot(name, None)
    y = measured(prior, 2)
    with_it, without = (Pivotal(prior, steps=1, locality=locality, keep="last")(y, Identity(), start=found) for locality in (0.1, 0.0))
    for key, value in without.codes.items():
        assert torch.equal(with_it.codes[key], value), key


def test_locality_keeps_other_pictures_as_they_were() -> None:
    prior = made("stylegan2-skip")
    y, found = measured(prior, 1), pivot(count=1)
    codes = prior.sample(8, torch.Generator().manual_seed(9), "w")
    maps = torch.zeros(8, prior.noise_size)  # without noise, as it is held
    changes = []
    for locality in (0.0, 1.0):
        distance = 2 * prior.spaces["w+"][0] ** 0.5  # a w moves by 2
        solution = Pivotal(prior, steps=60, lr=1e-3, locality=locality, distance=distance)(y, Identity(), start=found)
        own = {name: value.repeat(8, *[1] * (value.ndim - 1)) for name, value in solution.codes.items() if name.startswith("weights:")}
        with torch.no_grad():
            tuned = tuned_picture(prior, {"w": codes, "noise": maps, **own})
            changes.append(float((tuned - prior.decode(codes, "w", noise="none")).square().mean()))
    assert changes[1] < 0.7 * changes[0]


@pytest.mark.parametrize(("name", "space"), [("stylegan2-skip", "w"), ("stylegan2-skip", "w+"), ("mobilestylegan", "w+")])
def test_nearby_codes_are_at_the_distance_over_all_layers_and_drawn_without_noise(name: str, space: str) -> None:
    prior, found, seeds = made(name), pivot(name, space), torch.tensor([3, 4])
    shown: list[torch.Tensor] = []

    def looked(after: torch.Tensor, before: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        shown.extend([after, before])
        return (where * (after - before)).square().flatten(1).mean(1)

    sampled = prior.sample(5, torch.Generator().manual_seed(1), space)
    solver = Pivotal(prior, locality=1.0, distance=7.0, locality_loss=looked)
    assert Nearby(solver, prior, space, sampled).cost(dict(found.codes), At(2, 9, seeds)).tolist() == [0, 0]
    layers = [prior.map(codes, source=space, target="w+") for codes in (sampled, found.codes[space])]
    place = (uniform_hash(seeds, 2, 1)[:, 0] * 5).long()
    away = layers[0][place] - layers[1]
    there = layers[1] + 7 * away / away.square().sum((1, 2), keepdim=True).sqrt()
    for drawn in shown:
        torch.testing.assert_close(drawn, prior.decode(there, "w+", noise="none"), atol=1e-5, rtol=1e-5)
    assert float((prior.decode(there, "w+") - shown[0]).abs().max()) > 1e-3


def test_nearby_codes_lie_towards_sampled_ones_half_way_to_the_middle() -> None:
    prior, found = made("stylegan2-skip"), pivot(count=1)
    y = measured(prior, 1)
    task: Any = Pivotal(prior, locality=1.0).begin(prior, Measured(y, Identity(), tuple(prior.image_shape), like=y), [0], found)
    sampled = prior.sample(256, torch.Generator().manual_seed(0), "w")
    torch.testing.assert_close(task.nearby.sampled, (sampled + prior.centre("w")) / 2)


def test_it_stops_at_the_quality_asked_for() -> None:
    prior = made("stylegan2-skip")
    y, found = measured(prior, 2), pivot()
    free = Pivotal(prior, steps=30)(y, Identity(), start=found)
    level = 1.001 * float(free.history[2].max())
    solution = Pivotal(prior, steps=30, stop_at=level)(y, Identity(), start=found)
    assert solution.stopped == (Stop.quality,) * 2
    assert float(solution.misfit.max()) <= level
    assert int(solution.steps.max()) <= 20


def test_a_loss_of_its_own_may_say_when_it_stops() -> None:
    """PTI's program stops by LPIPS alone, and goes by LPIPS and squares."""
    prior = made("stylegan2-skip")
    y, found = measured(prior, 2), pivot()
    loss = Mixture([(l1, 1.0), (l2, 4.0)])
    free = Pivotal(prior, steps=10, loss=loss, keep="last")(y, Identity(), start=found)
    level = 1.001 * float(l1(free.images, y, torch.ones_like(y)).max())
    solution = Pivotal(prior, steps=30, loss=loss, stop_at=level, stop_loss=l1)(y, Identity(), start=found)
    assert solution.stopped == (Stop.quality,) * 2
    assert float(l1(solution.images, y, torch.ones_like(y)).max()) <= level
    assert float(solution.misfit.min()) > level  # the whole loss is not there yet


def test_an_image_that_leaves_takes_its_own_quality_along() -> None:
    """The other's is never better, and so never taken again."""
    prior = made("dcgan")
    codes = prior.sample(2, torch.Generator().manual_seed(3))
    y = prior.decode(codes)
    y[1] = 1 - y[1]
    solution = Pivotal(prior, steps=3, lr=1e-12, stop_at=1e-4, stop_loss=l1)(y, Identity(), start=start_at(prior, codes))
    assert solution.stopped == (Stop.quality, Stop.budget)


def test_pivotal_needs_a_pivot() -> None:
    prior = made("dcgan")
    with pytest.raises(ValueError, match="needs a code to stay at; make it a later stage, after latent, or pass start"):
        Pivotal(prior)(measured(prior, 1), Identity())
    inside = Latent(prior, space="features@1", steps=0)(measured(prior, 1), Identity())
    with pytest.raises(ValueError, match="the start has features@1, and no code to stay at"):
        Pivotal(prior)(measured(prior, 1), Identity(), start=inside)
    with pytest.raises(ValueError, match="distance is 0; it must be above 0"):
        Pivotal(prior, distance=0)
