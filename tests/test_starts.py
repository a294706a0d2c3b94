"""Where a search begins: apart from the pictures that people draw to test it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from prior_support import made
from solvers_support import linear
from torch import Tensor

from priorsolve.latents import sized
from priorsolve.operators import Identity
from priorsolve.priors import Prior
from priorsolve.solvers import Langevin, Latent, Layered, Multicode, Projector, Pulse, Solution, Solver, Solves, Staged, Tuned, start_at
from priorsolve.solvers.proxy import Proxy

SOLVERS: dict[str, Callable[[Prior], Solves]] = {
    "latent": lambda prior: Latent(prior, steps=0),
    "every start kept": lambda prior: Latent(prior, steps=0, restarts=16, candidates=16),
    "tuned": lambda prior: Tuned(prior, steps=0),
    "langevin": lambda prior: Langevin(prior, noise=0.01, steps=1, lr=1e-9),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("count", [1, 2, 16, 64])
def test_a_picture_drawn_to_test_a_solver_is_not_among_its_starts(solver: str, count: int) -> None:
    """Its code was the best of the candidates, and exact: PSNR of 80 after three steps."""
    prior = linear()
    y = prior.decode(prior.sample(count, torch.Generator().manual_seed(0)))
    assert float(SOLVERS[solver](prior)(y, Identity()).residual.min()) > 1e-5


@pytest.mark.parametrize("candidates", [1, 3, 4, 5, 20])
def test_passes_are_of_what_is_drawn(candidates: int) -> None:
    dcgan, seen, started = made("dcgan"), [0], Latent(made("dcgan"), steps=1)

    def counting(x: Tensor) -> Tensor:
        seen[0] += len(x)
        return x

    def passed(solver: Solver, rows: int = 1, curvature: int = 0, start: Solution | None = None) -> int:
        """But for the looks at the last step's pictures and at the answer, and at the picture whose curvature is asked."""
        seen[0] = 0
        solver(dcgan.decode(dcgan.sample(1, torch.Generator().manual_seed(1))) if solver.prior is dcgan else again, counting, start=start)
        return seen[0] - rows - 1 - curvature

    styled = made("stylegan2-skip")
    again = styled.decode(styled.sample(1, torch.Generator().manual_seed(1)))
    begun = started(dcgan.decode(dcgan.sample(1, torch.Generator().manual_seed(2))), Identity())
    latent = Latent(dcgan, steps=3, candidates=candidates, restarts=4, halving=False)
    assert latent.passes(3) == passed(latent, rows=4)
    tuned = Tuned(dcgan, steps=2, candidates=candidates, restarts=2)
    assert tuned.passes(2) == passed(tuned, rows=2)
    multicode = Multicode(dcgan, steps=3, candidates=candidates, codes=4)
    assert multicode.passes(3) == passed(multicode)
    assert multicode.passes(3, started=True) == passed(multicode, start=begun)
    langevin = Langevin(dcgan, noise=0.1, steps=3, candidates=candidates, directions=2)
    assert langevin.passes(3) == passed(langevin, curvature=1)
    for solver in (latent, tuned, langevin):
        assert solver.passes(3, started=True) == 3
    for other in (Pulse(styled, steps=3), Layered(dcgan, 1, steps=3)):
        assert other.passes(3) == passed(other) == 3


@pytest.mark.parametrize(("count", "most"), [(1, 16), (3, 12), (8, 16), (20, 20)])
def test_no_more_pictures_are_compared_at_once_for_many_images_than_for_one(count: int, most: int) -> None:
    prior, seen = linear(), list[int]()

    class Seen(Identity):
        def _A(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super()._A(x)

    y = prior.decode(prior.sample(count, torch.Generator().manual_seed(0)))
    solver = Latent(prior, steps=0, restarts=1, candidates=30)
    whole = solver(y, Seen(), seeds=range(count))
    assert max(seen) == most
    for i in range(count):
        torch.testing.assert_close(solver(y[i : i + 1], Identity(), seeds=[i]).codes["z"][0], whole.codes["z"][i], rtol=0, atol=0)


def test_one_code_for_all_layers_begins_at_the_mean_of_the_starts_or_the_first_that_is_drawn() -> None:
    prior = made("stylegan2-skip")
    styles = prior.sample(prior.spaces["w+"][0], torch.Generator().manual_seed(1), "w")[None]  # another one for each layer
    begun = Pulse(prior, steps=0, same_code=True)(prior.decode(styles, "w+"), Identity(), start=start_at(prior, styles, "w+"))
    proxy = Proxy.of(prior)
    torch.testing.assert_close(begun.codes["w+"][:, 0], proxy.coloured(sized(proxy.whitened(styles).mean(1))))
    drawn, apart = (Pulse(prior, steps=0, same_code=same)(prior.decode(styles, "w+"), Identity()).codes["w+"] for same in (True, False))
    torch.testing.assert_close(drawn[:, 0], apart[:, 0])


ALONE: dict[str, Callable[[Prior], Solver]] = {
    "projector": lambda prior: Projector(prior, space="w+", steps=1),
    "pulse": lambda prior: Pulse(prior, steps=1),
    "langevin": lambda prior: Langevin(prior, noise=0.1, steps=1),
}


@pytest.mark.parametrize("name", ALONE)
def test_features_that_would_be_forgotten_are_refused(name: str) -> None:
    prior = made("stylegan2-skip")
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(1)))
    found = Layered(prior, 2, steps=1)(y, Identity())
    with pytest.raises(
        ValueError, match=rf"^{name}: the start has features@2, and .* begin without them; put {name} before what found them"
    ):
        ALONE[name](prior)(y, Identity(), start=found)
    assert set(Projector(prior, space="w+", steps=0)(y, Identity(), start=start_at(prior, found.codes["w+"], "w+")).codes) == {
        "w+",
        "noise",
    }


BACK: dict[str, tuple[Callable[[Prior], list[Solver]], str]] = {
    "code": (
        lambda prior: [Latent(prior, space="z", steps=0), Latent(prior, space="w", steps=0)],
        "latent: cannot go on in 'z' from .* 'w'",
    ),
    "features": (lambda prior: [Latent(prior, space="w", steps=0), Layered(prior, 2, steps=0)], "latent: the start has features@2"),
    "deeper": (lambda prior: [Layered(prior, 2, steps=0), Layered(prior, 3, steps=0)], "layered: the start has features@3"),
}


@pytest.mark.parametrize("name", BACK)
def test_a_list_that_starts_at_its_own_solution_names_who_cannot_and_what_can(name: str) -> None:
    prior = made("stylegan2-skip")
    stages, words = BACK[name]
    chain, y = Staged(stages(prior)), prior.decode(prior.sample(1, torch.Generator().manual_seed(1)))
    found = chain(y, Identity())
    with pytest.raises(ValueError, match=f"^{words}"):
        chain(y, Identity(), start=found)
    torch.testing.assert_close(chain.stages[-1](y, Identity(), start=found).images, found.images)


@pytest.mark.parametrize("space", ["w++", "s"])
@pytest.mark.parametrize("name", ["layered", "pulse"])
def test_a_style_behind_those_that_move_is_refused_with_a_way_out(name: str, space: str) -> None:
    prior = made("stylegan2-skip")
    y = prior.decode(prior.sample(1, torch.Generator().manual_seed(1)))
    first, second = Latent(prior, space=space, steps=0), Layered(prior, 2, steps=1) if name == "layered" else Pulse(prior, steps=1)
    words = rf"^{name}: the start has a code of '{re.escape(space)}', from which no map leads .*; put {name} after a solver in w or w\+$"
    with pytest.raises(ValueError, match=words):
        Staged([first, second])(y, Identity())
