"""On the CPU a picture of a batch is to the last bit what it is alone, and so is an answer."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import pytest
import torch
from prior_support import made, sampled
from states_support import matrices, mlp_state

from priorsolve.alike import even, even_parts, evened, in_fours, threads_of
from priorsolve.latents import to_sphere
from priorsolve.losses import l1, l2
from priorsolve.onednn import rounds_alike
from priorsolve.operators import JPEG, Downsample, Identity
from priorsolve.penalties import gaussian_penalty, noise_autocorrelation, total_variation
from priorsolve.priors import LinearPrior, base
from priorsolve.priors.base import Noise, Prior, singly
from priorsolve.priors.decoders import Decoder
from priorsolve.run import restoration
from priorsolve.solvers import Langevin, Latent, Layered, Multicode, Staged, Tuned
from priorsolve.solvers.base import Solves
from priorsolve.solvers.curvature import by_row
from priorsolve.solvers.optimisers import LBFGS

STYLED = ["stylegan2-skip", "stylegan3", "mobilestylegan"]
CONVOLVING = ["pggan", "biggan", "biggan-deep"]
"""Chains of convolutions and matrices that torch computes otherwise for several rows."""


@pytest.mark.parametrize("name", [*STYLED, *CONVOLVING])
def test_a_batch_is_its_singles(name: str) -> None:
    prior = made(name)
    for space in prior.spaces:
        if space == "z" and prior.first_space == "z+c":
            continue  # it needs a label
        codes = prior.sample(3, torch.Generator().manual_seed(1), space)
        alone = torch.cat([prior.decode(code[None], space) for code in codes])
        assert torch.equal(prior.decode(codes, space), alone), space


@pytest.mark.parametrize("name", STYLED)
@pytest.mark.parametrize("space", ["z", "w+", "p_n"])
def test_features_go_on_with_their_own_rows_styles(name: str, space: str) -> None:
    prior = made(name)
    codes = prior.sample(3, torch.Generator().manual_seed(1), space)
    features = prior.map(codes, source=space, target="features@2")
    maps: Noise = prior.sample(3, torch.Generator().manual_seed(2), "noise") if prior.noise_size else "const"
    whole = prior.resumed(codes, space).decode(features, "features@2", noise=maps)
    for i in range(3):
        own: Noise = maps[i : i + 1] if isinstance(maps, torch.Tensor) else maps
        assert torch.equal(prior.resumed(codes[i : i + 1], space).decode(features[i : i + 1], "features@2", noise=own)[0], whole[i])


@pytest.mark.parametrize("name", ["mobilestylegan", *CONVOLVING])
def test_a_solver_gives_a_photo_the_same_answer_in_any_batch(name: str) -> None:
    """What a batch rounds otherwise grows along a search: pictures of a PGGAN tuned without momentum were 59 grey levels away."""
    prior = made(name)
    operator = Downsample(2)
    y = operator.A(prior.decode(sampled(prior, 3)))
    last = Latent(prior, space="w+", steps=20) if "w+" in prior.spaces else Tuned(prior, steps=20, weights_lr=1e-3)
    solver = Staged([Latent(prior, steps=20, restarts=2, candidates=4), last])
    together = solver(y, operator).images
    for i in range(3):
        assert torch.equal(solver(y[i : i + 1], operator).images[0], together[i])


FULL: dict[str, Any] = {"optimiser": "lbfgs", "lr": 1.0, "warmup": 0.0, "decay": "none"}


@pytest.mark.parametrize("name", ["pggan", "biggan", "biggan-deep", "stylegan2-resnet"])
@pytest.mark.parametrize("kind", ["codes", "features", "layered", "multicode"])
def test_lbfgs_gives_a_photo_the_same_answer_in_any_batch(name: str, kind: str) -> None:
    """Codes move by full steps from where an earlier stage ended, which must be the same to the last bit too."""
    prior, operator = made(name), Downsample(2)
    features = next(space for space in prior.spaces if space.startswith("features@"))
    last: dict[str, Solves] = {
        "codes": Latent(prior, steps=20, **FULL),
        "features": Latent(prior, space=features, steps=20, **FULL),
        "layered": Layered(prior, block=int(features[9:]), steps=10, **FULL),
        "multicode": Multicode(prior, codes=2, steps=10, **FULL),
    }
    first = Latent(prior, steps=8, restarts=2, candidates=8)
    solver = last[kind] if kind == "multicode" else Staged([first, last[kind]])
    y = operator.A(prior.decode(prior.sample(3, torch.Generator().manual_seed(3))))
    y = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
    together = solver(y, operator).images
    for part in ([2], [0, 1]):
        assert torch.equal(solver(y[part], operator).images, together[part])


@pytest.mark.parametrize("name", ["dcgan", "pggan", "stylegan2-resnet"])
@pytest.mark.parametrize("started", [False, True])
def test_langevin_gives_a_photo_the_same_sample_in_any_batch(name: str, started: bool) -> None:
    """Noise keeps a chain moving: what was rounded otherwise soon is another sample, of a batch of one too."""
    prior, operator = made(name), Downsample(2)
    last = Langevin(prior, noise=0.05, steps=20, candidates=8, directions=8)
    solver = Staged([Latent(prior, steps=8, restarts=2, candidates=8), last]) if started else last
    y = operator.A(prior.decode(prior.sample(3, torch.Generator().manual_seed(3))))
    y = y + 0.05 * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
    together = solver(y, operator, seeds=[1, 2, 3]).images
    for part in ([2], [0, 1]):
        assert torch.equal(solver(y[part], operator, seeds=[1 + i for i in part]).images, together[part])


@pytest.mark.parametrize("name", STYLED)
@pytest.mark.parametrize("kind", ["features", "layered", "multicode"])
def test_behind_codes_in_z_a_photo_has_the_same_answer_in_any_batch(name: str, kind: str) -> None:
    """The mapping network rounds by how many rows there are."""
    prior, operator = made(name), Downsample(2)
    solvers: dict[str, Solves] = {
        "features": Staged([Latent(prior, steps=6, restarts=1, candidates=4), Latent(prior, space="features@2", steps=8)]),
        "layered": Staged([Latent(prior, steps=6, restarts=1, candidates=4), Layered(prior, 2, steps=8)]),
        "multicode": Multicode(prior, codes=3, steps=8, candidates=4),
    }
    solver = solvers[kind]
    y = operator.A(torch.rand(3, *prior.image_shape, generator=torch.Generator().manual_seed(3)))
    together = solver(y, operator).images
    for i in range(3):
        assert torch.equal(solver(y[i : i + 1], operator).images[0], together[i])


def test_of_style_priors_a_photo_has_the_same_answer_through_jpeg_too() -> None:
    """What rounds a mapped code otherwise soon is another picture, since the gradient of JPEG's rounding jumps."""
    prior, operator = made("stylegan2-skip"), JPEG(30) @ Identity()
    solver = Multicode(prior, codes=3, steps=12, candidates=4)
    pictures = prior.decode(prior.sample(3, torch.Generator().manual_seed(1)))
    y = operator.A((0.5 * pictures + 0.5 * torch.rand(pictures.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1))
    together = solver(y, operator, seeds=[3, 4, 5]).images
    for i in range(3):
        assert torch.equal(solver(y[i : i + 1], operator, seeds=[3 + i]).images[0], together[i])


MATRICES: dict[str, Callable[[], Prior]] = {
    "vae": lambda: Decoder.from_state(matrices(("fc3", 20, 100), ("fc4", 100, 196), bias=0.3)),
    "softplus": lambda: Decoder.from_state(mlp_state((20, 100, 50, 196), bias=0.3), hidden="softplus"),
    "linear": lambda: LinearPrior.random(20, (3, 32, 32)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_of_priors_made_of_matrices_a_photo_has_the_same_answer_through_jpeg_too(name: str) -> None:
    prior, operator = MATRICES[name](), JPEG(10)
    form = prior.folded()
    codes = prior.sample(40, torch.Generator().manual_seed(0))
    assert torch.equal(form.decode(codes), torch.cat([form.decode(code[None]) for code in codes]))
    torch.testing.assert_close(form.decode(codes), prior.decode(codes), atol=2e-6, rtol=0)
    y = operator.A(prior.decode(prior.sample(5, torch.Generator().manual_seed(3))))
    y = y + 0.02 * torch.randn(y.shape, generator=torch.Generator().manual_seed(5))
    solver = Latent(prior, steps=60, restarts=1, candidates=8)
    together = solver(y, operator, seeds=range(5)).images
    for i in range(5):
        assert torch.equal(solver(y[i : i + 1], operator, seeds=[i]).images[0], together[i])


@pytest.mark.parametrize("name", ["dcgan", "decoder"])
def test_without_onednn_a_photo_has_the_same_answer_in_any_batch_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As on Macs: pictures of eight photos, each in features of its own, were up to 0.0006 away from those alone."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    prior: Prior = Decoder.from_state(mlp_state()) if name == "decoder" else made(name)
    operator = Downsample(2)
    y = operator.A(torch.rand(5, *prior.image_shape, generator=torch.Generator().manual_seed(3)))
    solver = Staged([Latent(prior, steps=6, restarts=1, candidates=4), Layered(prior, 2, steps=15)])
    together = solver(y, operator).images
    for i in range(5):
        assert torch.equal(solver(y[i : i + 1], operator).images[0], together[i])


@pytest.mark.parametrize(("machine", "on", "alike"), [("x86_64", True, True), ("AMD64", False, False), ("aarch64", True, False)])
def test_rows_are_taken_together_only_where_they_were_found_to_be_rounded_alike(
    monkeypatch: pytest.MonkeyPatch, machine: str, on: bool, alike: bool
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", on)
    assert rounds_alike() == alike
    assert made("dcgan").row_by_row != alike
    assert made("pggan").row_by_row


def test_only_what_leads_to_lbfgs_is_drawn_singly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "rounds_alike", lambda: True)
    prior, seen = made("dcgan"), list[bool]()
    y = prior.decode(prior.sample(2, torch.Generator().manual_seed(3)))
    stages = [Latent(prior, steps=2), Latent(prior, steps=2, **FULL), Latent(prior, steps=2)]
    told = type(prior)._goes_by_row

    def goes_by_row(self: Prior, *given: Any) -> bool:
        seen.append(self.row_by_row)
        return told(self, *given)

    monkeypatch.setattr(type(prior), "_goes_by_row", goes_by_row)
    for solver, expected in ((Staged(stages), {True, False}), (stages[0], {False}), (stages[1], {True})):
        seen.clear()
        solver(y, Identity())
        assert set(seen) == expected
    assert seen
    with singly():
        assert prior.row_by_row
    assert not prior.row_by_row


def test_of_pictures_that_are_drawn_singly_as_many_are_searched_as_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them at once take more memory and no less time."""
    monkeypatch.setattr(base, "rounds_alike", lambda: True)
    prior = made("stylegan2-skip")
    pixels = prior.image_shape[1] * prior.image_shape[2]
    for room, photos in ((5 * pixels, 5), (5 * pixels - 1, 4), (pixels - 1, 1)):
        monkeypatch.setattr(restoration, "DRAWN_AT_ONCE", room)
        assert restoration.at_once(prior) == photos
    assert restoration.at_once(made("dcgan")) > 10_000


@pytest.mark.parametrize("name", ["dcgan", "pggan", "biggan"])
def test_without_styles_a_batch_gives_every_thread_as_many_rows(name: str) -> None:
    """Three rows with two threads are the first three of four, which threads share evenly."""
    threads, prior = torch.get_num_threads(), made(name)
    torch.set_num_threads(2)
    try:
        codes = prior.sample(4, torch.Generator().manual_seed(1))
        features = next(space for space in prior.spaces if space.startswith("features@"))
        assert torch.equal(prior.decode(codes[:3]), prior.decode(codes)[:3])
        three, four = (prior.map(given, source=prior.first_space, target=features) for given in (codes[:3], codes))
        assert torch.equal(three, four[:3])
        assert [len(evened(codes[:n])) for n in range(1, 5)] == [1, 2, 4, 4]
    finally:
        torch.set_num_threads(threads)


def test_numbers_of_rows_that_threads_share_evenly() -> None:
    assert [even(n, 1) for n in (0, 1, 2, 3, 7)] == [0, 1, 2, 3, 7]
    assert [even(n, 2) for n in (0, 1, 2, 3, 4, 5, 17)] == [0, 1, 2, 4, 4, 6, 18]
    assert [even(n, 8) for n in (1, 2, 3, 5, 8, 9, 16, 17)] == [1, 2, 4, 8, 8, 16, 16, 24]
    assert [even(n, 6) for n in (1, 3, 5, 6, 7)] == [1, 4, 6, 6, 12]
    assert [even_parts(n, 2) for n in (0, 1, 2, 3, 7)] == [[], [1], [2], [2, 1], [6, 1]]
    assert [even_parts(n, 4) for n in (3, 4, 7, 9)] == [[2, 1], [4], [4, 2, 1], [8, 1]]
    assert even_parts(5, 1) == [5]
    assert threads_of(torch.zeros(7, device="meta")) == 1


SUMS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "l2": lambda x: l2(x, torch.zeros_like(x), torch.ones_like(x)),
    "l1": lambda x: l1(x, torch.zeros_like(x), torch.ones_like(x)),
    "variation": total_variation,
    "gaussian": gaussian_penalty,
    "sphere": to_sphere,
    "autocorrelation": lambda x: noise_autocorrelation(x.flatten(1), [(224, 224)]),
}


@pytest.mark.parametrize("name", SUMS)
def test_what_adds_up_a_long_row_does_so_alone_as_among_others(name: str) -> None:
    """torch's threads share the sum of a lone one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows = torch.randn(6, 1, 224, 224, generator=torch.Generator().manual_seed(0))
        assert torch.equal(SUMS[name](rows), torch.cat([SUMS[name](row[None]) for row in rows]))
    finally:
        torch.set_num_threads(threads)


def test_products_take_four_rows_at_a_time() -> None:
    """What is left of a batch MKL adds up in another order, on processors without AVX-512."""
    taken: list[int] = []

    def noted(rows: torch.Tensor) -> torch.Tensor:
        taken.append(len(rows))
        return 2 * rows

    for count in (0, 1, 3, 4, 5):
        rows = torch.rand(count, 2, 3)
        assert torch.equal(in_fours(noted, rows), 2 * rows)
    assert in_fours(noted, torch.zeros(3, 2, device="meta")).shape == (3, 2)
    assert taken == [0, 4, 4, 4, 8, 3]


@pytest.mark.parametrize("shape", [(7, 7), (100, 3)])
def test_products_row_by_row_do_not_ask_where_a_row_lies(shape: tuple[int, int]) -> None:
    """MKL asks, on processors without AVX-512."""
    rng = torch.Generator().manual_seed(0)
    matrices, others = torch.randn(9, *shape, generator=rng), torch.randn(9, shape[1], generator=rng)
    alone = [by_row(matrices[i : i + 1].clone(), others[i : i + 1].clone()) for i in range(9)]
    assert torch.equal(by_row(matrices, others), torch.cat(alone))


def test_lbfgs_sums_a_long_row_alone_as_among_others() -> None:
    """A reduction to one number is shared by the threads, and one to several is not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        start, *pulls = torch.randn(5, 2, 100_000, generator=torch.Generator().manual_seed(0))

        def moved(rows: slice) -> torch.Tensor:
            optimiser, x = LBFGS(), torch.Tensor(start[rows])
            for step, pull in enumerate(pulls):
                x = optimiser.move({"z": x}, {"z": pull[rows] + x}, step, 1.0, {"z": torch.ones(())})["z"]
            return x

        assert torch.equal(moved(slice(1)), moved(slice(2))[:1])
    finally:
        torch.set_num_threads(threads)


def test_what_leads_to_lbfgs_is_drawn_singly_in_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the stages before would have for themselves."""
    prior, seen = made("dcgan"), list[bool]()
    y = prior.decode(prior.sample(2, torch.Generator().manual_seed(3)))
    told = type(prior)._goes_by_row

    def goes_by_row(self: Prior, *given: Any) -> bool:
        seen.append(self.row_by_row)
        return told(self, *given)

    monkeypatch.setattr(type(prior), "_goes_by_row", goes_by_row)
    full: dict[str, Any] = {"optimiser": "lbfgs", "lr": 1.0, "warmup": 0.0, "decay": "none"}
    Staged([Latent(prior, steps=2), Latent(prior, steps=2), Latent(prior, steps=2, **full)])(y, Identity())
    assert seen
    assert all(seen)
    with singly(), singly(False):
        assert prior.row_by_row
