"""What becomes of a solver's pictures before they are kept: what was measured is put back in the recipe's way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import run_support as run
import torch
from torch import Tensor

from priorsolve.consistency import put_back, put_back_within
from priorsolve.operators.downsample import Downsample
from priorsolve.run.answers import solve_jobs
from priorsolve.run.jobs import Job
from priorsolve.run.restoration import Options, equip

pytestmark = pytest.mark.usefixtures("digiface64")

NOISE = {"gaussian": {"sigma": 0.02}}


def unchanged(drawn: Tensor, y: Tensor, operator: Downsample) -> Tensor:
    return drawn


@pytest.mark.parametrize(
    ("output", "noise", "expected"),
    [
        ({"consistency": True}, [], put_back_within),
        ({"consistency": True}, NOISE, put_back),  # y may be of no picture in [0, 1]
        ({"consistency": True, "damping": 0.05}, [], partial(put_back, damping=0.05)),
        ({"consistency": True, "damping": 0.05}, NOISE, partial(put_back, damping=0.05)),
        ({"damping": 0.05}, [], unchanged),
    ],
)
def test_what_was_measured_is_put_back_as_the_recipe_says(
    tmp_path: Path, output: Any, noise: Any, expected: Callable[[Tensor, Tensor, Downsample], Tensor]
) -> None:
    tools = equip(run.quick(operator={"downsample": {"factor": 4}}, output=output, noise=noise), tmp_path, Options()).tools
    y = 0.1 * torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))  # dark, so that much of what is put back is below 0
    parts = tools.operators.of("a", 0)
    ((answer,), _) = solve_jobs(tools, [Job(0, y, parts, parts, None)], None, batch=1)
    made = {each: each(answer.drawn[None], y[None], Downsample(4))[0] for each in (put_back_within, put_back, expected)}
    assert (made[put_back_within] - made[put_back]).abs().max() > 0.01
    torch.testing.assert_close(answer.image, made[expected])


@pytest.mark.parametrize(("frame", "level"), [("center", 0.1), ("aligned", 0.02), ("faces", 0.02), ("tiles", 0.1)])
def test_noise_is_measured_where_frames_are_resized(tmp_path: Path, frame: str, level: float) -> None:
    """Of a photo's own noise they keep a part, which is told; in tiles, and in a photo that was made smaller before, it is the recipe's."""
    recipe = run.quick(operator="identity", noise={"gaussian": {"sigma": 0.1}}, frame=frame, output={})
    tools = equip(recipe, tmp_path, Options(degrade=True)).tools
    rng, parts = torch.Generator().manual_seed(0), tools.operators.of("a", 0)
    clean = 0.3 + 0.4 * torch.rand(3, 64, 64, generator=rng)
    y = clean + 0.02 * torch.randn(clean.shape, generator=rng)
    ((answer,), _) = solve_jobs(tools, [Job(0, y, parts, parts, clean)], None, batch=1)
    times = float(answer.diagnosis[0].split(", ")[1].split(" times")[0])
    assert answer.residual / times == pytest.approx(level, rel=0.1), answer.diagnosis[0]


@pytest.mark.parametrize(
    ("operator", "clean", "known"), [("identity", True, True), ("identity", False, False), ({"photons": {"peak": 50}}, True, False)]
)
def test_a_clean_photo_has_no_noise_but_what_the_operator_draws(tmp_path: Path, operator: Any, clean: bool, known: bool) -> None:
    tools = equip(run.quick(operator=operator, output={}), tmp_path, Options(degrade=clean)).tools
    parts, y = tools.operators.of("a", 0), torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    ((answer,), _) = solve_jobs(tools, [Job(0, y, parts, parts, y if clean else None)], None, batch=1)
    assert ("no noise level is known" not in answer.diagnosis[0]) == known


def test_a_stand_in_is_compared_with_the_operator_where_that_measures(tmp_path: Path) -> None:
    recipe = run.quick(operator={"mask": {"boxes": [[0, 0, 64, 32]]}}, surrogate="identity", output={})
    tools = equip(recipe, tmp_path, Options()).tools
    y = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    job = Job(0, y, tools.operators.of("a", 0), tools.solving.of("a", 0), None)
    ((answer,), _) = solve_jobs(tools, [job], None, batch=1)
    assert answer.note.startswith("the surrogate is off by 0 ")


def test_what_is_hidden_is_no_number_that_the_noise_scatters_in(tmp_path: Path) -> None:
    """Of the few that are left a residual may be a fifth above the noise by chance."""
    y, told = 0.3 + 0.4 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), []
    sigma = 1.0
    for _ in range(2):
        recipe = run.quick(operator={"mask": {"boxes": [[4, 0, 64, 64], [0, 4, 4, 64]]}}, noise={"gaussian": {"sigma": sigma}}, output={})
        tools = equip(recipe, tmp_path, Options()).tools
        parts = tools.operators.of("a", 0)
        ((answer,), _) = solve_jobs(tools, [Job(0, y, parts, parts, None)], None, batch=1)
        told.append(answer.diagnosis[0])
        sigma = answer.residual / 1.15
    assert told[1].startswith("fits to the noise"), told
