"""The published loops, re-stated plainly to be measured against; nothing of priorsolve uses them.

Each function is one paper's program as far as its loop goes: the batch as published, eager, float32, torch's own optimisers, the prior as
it is loaded (normalisations not folded), the loss read to the host at every step because the programs print it, and the last iterate as
the answer. What differs: pictures are in [0, 1], where squares have a quarter of their size on [−1, 1], and features of networks that
do not fit our priors are left out. mGANprior, ILO and robust restoration are written from their description alone.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from priorsolve.priors import Prior
from priorsolve.solvers.proxy import Proxy

Operator = Callable[[Tensor], Tensor]
Compare = Callable[[Tensor, Tensor], Tensor]
"""What compares A(x) with y: one number."""


class Restored(NamedTuple):
    """The pictures (B, C, H, W), the codes behind them, and the loss of every step."""

    images: Tensor
    codes: Tensor
    printed: list[float]


def one_by_one(
    loop: Callable[..., Restored], prior: Prior, A: Operator, y: Tensor, *, seeds: Sequence[int] | None = None, **settings: object
) -> Restored:
    """A loop for one photo at a time, over all of them, each from a seed of its own, its number where none are given."""
    found = [loop(prior, A, y[i : i + 1], seed=i if seeds is None else seeds[i], **settings) for i in range(len(y))]
    images, codes, printed = zip(*found, strict=True)
    return Restored(torch.cat(images), torch.cat(codes), [loss for losses in printed for loss in losses])


def csgm(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    steps: int = 500,
    restarts: int = 10,
    optimiser: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    lr: float = 0.1,
    weight: float = 2.5e-7,
    seed: int = 0,
) -> Restored:
    """CSGM (Bora et al. 2017): all photos in one batch, restarts one after another, of which each photo keeps the best last iterate."""

    def losses(z: Tensor) -> Tensor:
        return (A(prior.decode(z)) - y).square().flatten(1).mean(1) + weight * z.square().sum(1)

    rng, printed = torch.Generator().manual_seed(seed), []
    best, lowest = prior.centre("z").repeat(len(y), 1), y.new_full((len(y),), torch.inf)
    for _ in range(restarts):
        z = prior.sample(len(y), rng).requires_grad_()
        mover = optimiser([z], lr=lr)
        for _ in range(steps):
            mover.zero_grad()
            loss = losses(z).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            mover.step()
            printed.append(loss.item())
        with torch.no_grad():
            reached = losses(z)
            best = torch.where((reached < lowest)[:, None], z, best)
            lowest = torch.minimum(reached, lowest)
    with torch.no_grad():
        return Restored(prior.decode(best), best, printed)


def mganprior(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    codes: int = 20,
    block: int = 2,
    steps: int = 1500,
    lr: float = 1.0,
    mix_lr: float = 1.0,
    features: Compare | None = None,
    seed: int = 0,
) -> Restored:
    """mGANprior (Gu, Shen & Zhou 2020), one photo: N codes mixed before `block`, plain gradient descent of codes and weights.

    Theirs divides the sum by N once more, which only a generator that normalises behind it puts up with.
    """
    rng, deep, printed = torch.Generator().manual_seed(seed), f"features@{block}", []
    z = prior.sample(codes, rng).requires_grad_()
    alpha = torch.full((codes, prior.spaces[deep][0], 1, 1), 1 / codes, dtype=z.dtype, requires_grad=True)
    descent = torch.optim.SGD([{"params": [z], "lr": lr}, {"params": [alpha], "lr": mix_lr}])

    def drawn() -> Tensor:
        return prior.decode((alpha * prior.map(z, source="z", target=deep)).sum(0, keepdim=True), deep)

    for _ in range(steps):
        estimate = A(drawn())
        loss = 4 * F.mse_loss(estimate, y)
        if features is not None:
            loss = loss + 0.001 * features(estimate, y)
        descent.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        descent.step()
        printed.append(loss.item())
    with torch.no_grad():
        return Restored(drawn(), z.detach()[None], printed)


class Stage(NamedTuple):
    """One of DGP's stages: how many leading blocks move, and the rates of weights and code."""

    blocks: int
    weights_lr: float
    lr: float


STAGES = (Stage(1, 2e-4, 1e-3), Stage(2, 2e-4, 1e-3), Stage(3, 1e-4, 1e-4), Stage(4, 1e-4, 1e-4), Stage(5, 1e-5, 1e-5))
"""The rates of DGP's reconstruction, for a generator of five blocks."""


def dgp(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    stages: Sequence[Stage] = STAGES,
    steps: int = 200,
    select: int = 500,
    sample_std: float = 0.3,
    nll: float = 0.02,
    seed: int = 0,
) -> Restored:
    """DGP (Pan et al. 2020), one photo: the best of samples drawn one by one, then weights and code through the stages.

    Blocks that are not tuned yet are in the optimiser with a rate of 0, as theirs are. The data term is their 10 · MSE on [−1, 1], without
    the features of BigGAN's discriminator.
    """
    rng, printed, tuned = torch.Generator().manual_seed(seed), [], copy.deepcopy(prior).requires_grad_()

    def misfit(z: Tensor) -> Tensor:
        return 40 * F.mse_loss(A(tuned.decode(z)), y)

    z, lowest = prior.centre("z"), math.inf
    with torch.no_grad():
        for _ in range(select):
            drawn = sample_std * prior.sample(1, rng)
            value = misfit(drawn).item()
            if value < lowest:
                z, lowest = drawn, value
    z = z.clone().requires_grad_()
    weights = torch.optim.Adam([{"params": [*block.parameters()]} for block in tuned.blocks], lr=0.0, betas=(0.0, 0.999))
    code = torch.optim.Adam([z], betas=(0.0, 0.999))
    for stage in stages:
        for i, group in enumerate(weights.param_groups):
            group["lr"] = stage.weights_lr if i < stage.blocks else 0.0
        code.param_groups[0]["lr"] = stage.lr
        for _ in range(steps):
            weights.zero_grad()
            code.zero_grad()
            loss = misfit(z) + nll * z.square().mean() / 2
            loss.backward()  # type: ignore[no-untyped-call]
            weights.step()
            code.step()
            printed.append(loss.item())
    with torch.no_grad():
        return Restored(tuned.decode(z), z.detach(), printed)


def pulse(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    steps: int = 100,
    lr: float = 0.4,
    cross: float = 0.05,
    eps: float = 2e-3,
    moving_maps: int = 5,
    seed: int = 0,
) -> Restored:
    """PULSE (Menon et al. 2020), one photo: 100·L2 + 0.05·GEOCROSS, Adam on the sphere, "linear1cycledrop".

    A prior without styles has one code, z, and no angles.
    """
    printed, style = [], _styles(prior)
    z, maps = _normal(prior, seed)
    moving = [part.requires_grad_() for part in [z, *maps[:moving_maps]]]
    lengths = [part.detach().norm(dim=-1, keepdim=True) for part in moving]
    adam = torch.optim.Adam(moving, lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _one_cycle_drop(step / steps))
    for _ in range(steps):
        adam.zero_grad()
        loss = 100 * F.mse_loss(A(_picture(prior, style(z), maps)), y).clamp_min(eps)
        if z.ndim == 3:
            loss = loss + cross * _geocross(style(z))
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        _back_to(moving, lengths)
        schedule.step()
        printed.append(loss.item())
    with torch.no_grad():
        return Restored(_picture(prior, style(z), maps), z.detach(), printed)


def ilo(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    rounds: Sequence[tuple[int, int]] = ((0, 50), (1, 50), (2, 25), (3, 25)),
    lr: float = 0.1,
    cross: float = 0.01,
    features: Compare | None = None,
    seed: int = 0,
) -> Restored:
    """ILO (Daras et al. 2021), one photo: rounds of (block, steps); the first moves code and maps, the others what enters their block too.

    Codes and maps stay at the length they began with. The ℓ1 balls are off, as in the published settings. What enters a block is made with
    the checkpoint's own maps, theirs with those that moved.
    """
    printed, style = [], _styles(prior)
    z, maps = _normal(prior, seed)
    inside: Tensor | None = None
    space = ""
    for i, (block, steps) in enumerate(rounds):
        if block:
            with torch.no_grad():
                inside, space = _deeper(prior, style(z), inside, space, f"features@{block}"), f"features@{block}"
        z, maps = z.detach(), [part.detach() for part in maps]
        sphere = [part.requires_grad_() for part in [z, *maps[: 5 + 2 * i]]]
        lengths = [part.detach().norm(dim=-1, keepdim=True) for part in sphere]
        adam = torch.optim.Adam(sphere if inside is None else [*sphere, inside.requires_grad_()], lr=lr)
        for step in range(steps):
            adam.param_groups[0]["lr"] = lr * _ramps(step / steps)
            estimate = A(_picture(prior, style(z), maps, inside, space))
            loss = 4 * F.mse_loss(estimate, y)
            if features is not None:
                loss = loss + features(estimate, y)
            if z.ndim == 3:
                loss = loss + cross * _geocross(z)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            _back_to(sphere, lengths)
            printed.append(loss.item())
    with torch.no_grad():
        return Restored(_picture(prior, style(z), maps, inside, space), z.detach(), printed)


def robust(
    prior: Prior,
    A: Operator,
    y: Tensor,
    *,
    steps: int = 150,
    rates: Sequence[float] = (0.08, 0.02, 0.005),
    compare: Compare = F.mse_loss,
    seed: int = 0,
) -> Restored:
    """Robust unsupervised restoration (Poirier-Ginter & Lalonde 2023), one photo: w, then w+, then w++, by normalised descent.

    Every vector moves by the rate, however long its gradient. Nothing is drawn, so the seed changes nothing.
    """
    printed, code, space = [], prior.centre("w"), "w"
    for phase, rate in zip(("w", "w+", "w++"), rates, strict=True):
        code = prior.map(code, source=space, target=phase).detach().clone().requires_grad_()
        space = phase
        for _ in range(steps):
            loss = compare(A(prior.decode(code, space)), y)
            (gradient,) = torch.autograd.grad(loss, code)
            with torch.no_grad():
                code -= rate * torch.nan_to_num(gradient / gradient.norm(dim=-1, keepdim=True))
            printed.append(loss.item())
    with torch.no_grad():
        return Restored(prior.decode(code, space), code.detach(), printed)


def _normal(prior: Prior, seed: int) -> tuple[Tensor, list[Tensor]]:
    """A standard normal code for each layer, or the one of a prior without styles, and the noise maps; one row."""
    rng = torch.Generator().manual_seed(seed)
    shape = prior.spaces["w+"] if "w+" in prior.spaces else prior.spaces["z"]
    like = next(prior.parameters())
    maps = [torch.randn(1, height * width, generator=rng).to(like) for height, width in prior.noise_shapes]
    return torch.randn(1, *shape, generator=rng).to(like), maps


def _styles(prior: Prior) -> Callable[[Tensor], Tensor]:
    """Their stand-in for the mapping network; z itself where there is none."""
    return _proxy(prior).coloured if "w+" in prior.spaces else lambda z: z


_proxy = functools.cache(Proxy.of)
"""Measured once for each prior: theirs comes in a file."""


def _picture(prior: Prior, code: Tensor, maps: Sequence[Tensor], inside: Tensor | None = None, space: str = "") -> Tensor:
    own = "w+" if "w+" in prior.spaces else "z"
    noise = {"noise": torch.cat([*maps], 1)} if maps else {}
    if inside is None:
        return prior.decode(code, own, **noise)
    return prior.resumed(code, own).decode(inside, space, **noise)


def _deeper(prior: Prior, code: Tensor, inside: Tensor | None, before: str, space: str) -> Tensor:
    """What enters the block of `space`, made of the code or of what entered an earlier block."""
    own = "w+" if "w+" in prior.spaces else "z"
    if inside is None:
        return prior.map(code, source=own, target=space)
    return prior.resumed(code, own).map(inside, source=before, target=space)


def _geocross(vectors: Tensor) -> Tensor:
    """The mean over all pairs of layers of n·θ²/8."""
    one, other = vectors[:, :, None], vectors[:, None]
    apart, together = ((one + sign * other).square().sum(-1).add(1e-9).sqrt() for sign in (-1, 1))
    return (vectors.shape[-1] * (2 * torch.atan2(apart, together)).square()).mean() / 8


def _back_to(parts: Sequence[Tensor], lengths: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for part, length in zip(parts, lengths, strict=True):
            part.mul_(length / part.square().sum(-1, keepdim=True).add(1e-9).sqrt())


def _one_cycle_drop(t: float) -> float:
    """From 0.1 up to 1 and back within 90 % of the steps, then down to 0.001."""
    return (9 * (1 - 2 * abs(t / 0.9 - 0.5)) + 1) / 10 if t < 0.9 else 0.1 + (t - 0.9) / 0.1 * (0.001 - 0.1)


def _ramps(t: float) -> float:
    """Up over the first 5 %, down along a cosine over the last 75 %."""
    return (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / 0.75))) * min(1.0, t / 0.05)
