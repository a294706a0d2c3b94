"""Hyper-parameters and arguments that make no sense, told in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set, Sized
from dataclasses import replace
from operator import index
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from priorsolve.losses.base import Loss, must_compare
from priorsolve.priors.base import Prior
from priorsolve.priors.layers import mixes, must_be_differentiable
from priorsolve.priors.spaces import features_of
from priorsolve.showing import annotated, is_whole, made_float, must_be_of, shown
from priorsolve.solvers.solution import Solution
from priorsolve.types import AnyOperator, HasA

Block: TypeAlias = int | Mapping[str, int]
"""Which block features enter: its number, or `{side: 16}`, the last one that features of 16 × 16 enter, whatever its number."""
MOST = 10_000_000
"""Steps of a search, or codes that it begins with."""
_OPERATOR = "expected an operator with a method A, or a function of images"


def must_be_settings(solver: Any) -> None:
    """Raises ValueError where a field of a solver is not what its annotation says: a prior, a loss, a number, a switch or a choice."""
    for name, value, kinds in annotated(solver):
        if Prior in kinds:
            must_be_prior(value, name)
            must_be_searchable(value)
        if Loss in kinds:
            must_compare(value, name)
        must_be_of(kinds, value, name)
        if name == "seed":
            checked_seeds([value], 1)


def must_be_prior(value: Any, name: str) -> None:
    """Raises ValueError unless it is a prior, and not one's name."""
    if not isinstance(value, Prior):
        how = f"; load it first: load_prior({value!r})" if isinstance(value, str) else ", such as load_prior gives"
        raise ValueError(f"{name} is {shown(value)}; it must be a Prior{how}")


def must_be_solution(value: Any, who: str) -> None:
    """Raises ValueError unless it is a solution."""
    if not isinstance(value, Solution):
        raise ValueError(f"{who}: expected a Solution, got {shown(value)}; give what a solver returned")


def must_be_searchable(prior: Prior) -> None:
    """Raises ValueError for a prior that cannot be searched: a picture must be its code's alone, and small steps must be told apart."""
    must_be_differentiable(prior)
    dtype = next(prior.parameters()).dtype
    if dtype in (torch.float16, torch.bfloat16):
        kind = str(dtype).removeprefix("torch.")
        raise ValueError(f"{prior}: is {kind}, too coarse to search in; keep its weights in float32, and let prior.computing(...) be quick")


def must_be_measurements(y: Any) -> None:
    """Raises ValueError unless `y` is a float tensor (B, ...)."""
    if not isinstance(y, Tensor):
        ways = {"ndarray": "; give torch.from_numpy(y)", "TensorList": "; a stack of physics works through as_reconstructor"}
        way = ways.get(type(y).__name__, "")
        raise ValueError(f"expected measurements as a float tensor of shape (B, ...), got {shown(y)}{way}")
    if y.layout != torch.strided:
        raise ValueError(f"expected measurements as a dense tensor, got a {str(y.layout).removeprefix('torch.')} one; give y.to_dense()")
    if y.is_meta and type(y) is Tensor:  # a kind of its own may hold some
        raise ValueError("expected measurements with values, got a tensor on the device meta, which holds none")
    if y.ndim < 2 or y.is_complex():
        one = "; for one number per image give y[:, None]" if y.ndim == 1 else ""
        one = "; give torch.view_as_real(y), and let the operator make the same" if y.is_complex() else one
        raise ValueError(f"expected real measurements of shape (B, ...), got {y.dtype} of shape {tuple(y.shape)}{one}")
    if not y.is_floating_point():
        raise ValueError(f"expected float measurements, got {y.dtype}; {made_float(y.dtype)}")


def must_be_operator(operator: Any) -> None:
    """Raises ValueError unless it measures: an object with `A`, or a function of images."""
    if isinstance(operator, type):
        raise ValueError(f"{_OPERATOR}, got {shown(operator)}; make one of it")
    if isinstance(operator, Prior):
        raise ValueError(f"{_OPERATOR}, got the prior {operator}; that goes into the solver, and what was measured of its pictures here")
    if isinstance(operator, HasA) and not callable(operator.A):
        raise ValueError(f"{_OPERATOR}, got one whose A is {shown(operator.A)}; give a function, such as lambda x: x * mask")
    if not (isinstance(operator, HasA) or callable(operator)):
        raise ValueError(f"{_OPERATOR}, got {shown(operator)}")
    measures = operator.A if isinstance(operator, HasA) else operator
    for part in (operator, measures, getattr(measures, "__self__", None)):  # a bound method's owner may be a network
        if isinstance(part, nn.Module) and mixes(part):
            raise ValueError(
                f"the operator, {shown(part)}, is in training mode, where a measurement depends on its neighbours or on chance; "
                "call its eval()"
            )


def unwrapped(operator: AnyOperator) -> AnyOperator:
    """One of priorsolve's operators that comes as another library's, such as a physics of `to_physics`, as itself; others as they are."""
    own: AnyOperator = getattr(operator, "priorsolve_operator", operator)
    return own


def must_be_callback(on_step: Any) -> None:
    """Raises ValueError unless `on_step` is a function, or None."""
    if on_step is not None and not callable(on_step):
        raise ValueError(f"on_step is {shown(on_step)}; give a function of a Step, or None")


def checked_seeds(seeds: Sequence[int], count: int) -> list[int]:
    """The seeds as plain numbers. Raises ValueError unless there is a whole one for each of `count` measurements."""
    if not isinstance(seeds, Sized) or isinstance(seeds, str | bytes | Set | Mapping):  # a set has no order
        raise ValueError(f"seeds is {shown(seeds)}; give a list of whole numbers, one for each of {count} measurements, or none")
    if len(seeds) != count:
        raise ValueError(f"got {len(seeds)} seeds for {count} measurements; give one each, or none")
    for seed in seeds:
        try:
            number = index(seed)
        except TypeError:
            raise ValueError(f"a seed is {shown(seed)}; it must be a whole number") from None
        if not 0 <= number < 2**64:
            raise ValueError(f"a seed is {number}; it must be at least 0 and below 2^64")
    return [index(seed) for seed in seeds]


def checked_start(start: Any, count: int, like: Tensor) -> Solution:
    """The solution to begin at, its codes on the device and of the type of `like`. Raises ValueError unless it is one of `count` images."""
    if not isinstance(start, Solution):
        raise ValueError(f"start is {shown(start)}; give a solver's solution, or codes as start_at(prior, codes, space)")
    if len(start.images) != count:
        raise ValueError(f"the start holds {len(start.images)} images, got {count} measurements")
    for name, code in start.codes.items():
        if tuple(code.shape[:1]) != (count,):
            raise ValueError(f"the start's codes {name!r} are of shape {tuple(code.shape)}, got {count} measurements; give a code for each")
    return replace(start, codes={name: code.to(like) for name, code in start.codes.items()})


def must_be_at_least(solver: object, **least: float) -> None:
    """Raises ValueError where an attribute is below its least value, or not a number."""
    for name, low in least.items():
        if not getattr(solver, name) >= low:
            raise ValueError(f"{name} is {getattr(solver, name)}; it must be at least {low:g}")


def must_have_an_end(solver: object) -> None:
    """Raises ValueError where a number of steps, or of pictures to begin with, is one that no machine gets through."""
    for name in ("steps", "restarts", "candidates", "bank"):
        if getattr(solver, name, 0) > MOST:
            raise ValueError(f"{name} is {getattr(solver, name)}; it must be at most {MOST}, which would take days")


def must_be_positive(solver: object, *names: str) -> None:
    """Raises ValueError where an attribute that is given is not above 0."""
    for name in names:
        if getattr(solver, name) is not None and not getattr(solver, name) > 0:
            raise ValueError(f"{name} is {getattr(solver, name)}; it must be above 0")


def must_be_shares(solver: object, *names: str) -> None:
    """Raises ValueError where an attribute is not within 0 to 1."""
    for name in names:
        if not 0 <= getattr(solver, name) <= 1:
            raise ValueError(f"{name} is {getattr(solver, name)}; it is a share, from 0 to 1")


def must_be_decay_rate(solver: object, name: str) -> None:
    """Raises ValueError where an attribute is not at least 0 and below 1."""
    if not 0 <= getattr(solver, name) < 1:
        raise ValueError(f"{name} is {getattr(solver, name)}; it must be at least 0 and below 1")


def must_be_space(prior: Any, space: str) -> None:
    """Raises ValueError for a space that the prior does not have, or whose codes alone it cannot draw."""
    if not isinstance(space, str) or space not in prior.spaces:
        raise ValueError(
            f"space {shown(space)} is not one of the prior's: {', '.join(prior.spaces)}; `solver: latent` by itself suits every prior"
        )
    if space == "z" and "z+c" in prior.spaces:
        raise ValueError(f"space 'z' leaves the class open, which {prior} must be told to draw; use 'z+c', where it is part of the code")


def must_be_class(prior: Prior, space: str, label: int | None) -> None:
    """Raises ValueError for a label that codes of the space cannot have."""
    if label is None:
        return
    if not prior.n_classes:
        raise ValueError(f"label is {label}: {prior} has no classes; leave it out")
    if space != "z+c":
        raise ValueError(f"label is {label}: it goes into codes of 'z+c', not of {space!r}; leave it out, or use the space 'z+c'")
    if not 0 <= label < prior.n_classes:
        raise ValueError(f"label is {label}; classes of {prior} are 0 … {prior.n_classes - 1}")


def features_at(prior: Prior, block: Block) -> str:
    """The space of what enters the block, `features@k`. Raises ValueError for features that the prior does not have."""
    if is_whole(block):
        entered = [name.partition("@")[2] for name in features_of(prior.spaces)]
        if str(block) not in entered:
            have = f"enter its blocks {', '.join(entered)}" if entered else "are none"
            raise ValueError(f"block is {block}, and the features inside {prior} {have}")
        return f"features@{block}"
    if not isinstance(block, Mapping) or set(block) != {"side"} or not is_whole(block["side"]):
        given = repr(dict(block)) if isinstance(block, Mapping) else shown(block)
        raise ValueError(f"block is {given}; give its number, or the side of the features that enter it, as {{side: 16}}")
    sides = {min(prior.spaces[name][1:]): name for name in features_of(prior.spaces) if len(prior.spaces[name]) == 3}
    if block["side"] not in sides:
        have = f"of sides {', '.join(map(str, sides))}" if sides else "none"
        raise ValueError(f"block is at side {block['side']}, and the features inside {prior} are {have}")
    return sides[block["side"]]
