"""Weights that move: every row of a batch draws with its own copy of some of the generator's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from priorsolve.alike import even_parts, threads_of
from priorsolve.priors.base import Prior
from priorsolve.solvers.drawing import carried, picture
from priorsolve.solvers.instance_norm import NAME, Beginning, instance_normed
from priorsolve.solvers.products import Products
from priorsolve.solvers.variables import WEIGHTS, Variables, is_weight
from priorsolve.types import Images

Make: TypeAlias = Callable[[Prior, Variables], Variables]
"""What is made with a prior of codes by space (rows, ...): tensors of so many rows, by name."""


def tunable(prior: Prior, codes: Mapping[str, Tensor], blocks: int | None = None, ratio: float = 1.0) -> dict[str, float]:
    """The parameters of the leading `blocks` that pictures of `codes` depend on, each with its share of the learning rate.

    A parameter of block i has the share `ratio`ⁱ. With None for `blocks`, every parameter of the prior: those too that are in no
    block, such as styles' affine maps; their share is 1.

    Args:
        codes: by space; the first row is looked at, or zeros where there is none.

    Raises:
        ValueError: the pictures depend on none of them, or one is TorchScript's.
    """
    place = {id(parameter): i for i, block in reversed([*enumerate(prior.blocks)]) for parameter in block.parameters()}
    last = max(len(prior.blocks), 1) if blocks is None else blocks
    depths = {name: place.get(id(parameter), 0 if blocks is None else last) for name, parameter in prior.named_parameters()}
    own = {name: _movable(prior, name).detach().requires_grad_() for name, depth in depths.items() if depth < last}
    with torch.enable_grad():
        drawn = _WithWeights(prior).made({name: _rowed(code)[:1].detach() for name, code in codes.items()}, own)[_IMAGES]
        gradients = torch.autograd.grad(drawn.sum(), [*own.values()], allow_unused=True) if drawn.requires_grad else [None] * len(own)
    shares = {name: ratio ** depths[name] for name, gradient in zip(own, gradients, strict=True) if gradient is not None}
    if not shares:
        raise ValueError(
            f"{prior}: a picture of codes in {' and '.join(codes)} depends on no weight of the first {last} blocks; "
            "unfreeze more blocks, or use a space before them"
        )
    return shares


def _movable(prior: Prior, name: str) -> nn.Parameter:
    if isinstance(prior.get_submodule(name.rpartition(".")[0]), torch.jit.ScriptModule):
        raise ValueError(
            f"{prior}: {name} is in a TorchScript module, whose weights cannot be moved; make that of its Python class, "
            "or use a solver of codes, such as latent"
        )
    return prior.get_parameter(name)


def _rowed(value: Tensor) -> Tensor:
    """The rows, or one of zeros where there are none, so that a network can be asked."""
    return value if len(value) else value.new_zeros(1, *value.shape[1:])


def copies(prior: Prior, names: Iterable[str], rows: int) -> Variables:
    """The parameters as the prior has them, once for every row: (rows, *shape)."""
    parameters = {name: prior.get_parameter(name).detach() for name in names}
    return {WEIGHTS + name: parameter.expand(rows, *parameter.shape).clone() for name, parameter in parameters.items()}


def carried_weights(prior: Prior, variables: Mapping[str, Tensor]) -> Variables:
    """The weights that an earlier solver tuned, copied.

    Raises:
        ValueError: the prior has no such parameter, or one of another shape.
    """
    weights = parted(variables)[1]
    known = named(instance_normed(prior, weights))
    for name, value in weights.items():
        own = tuple(known[name].shape) if name in known else "none"
        if own != tuple(value.shape[1:]):
            raise ValueError(
                f"{prior}: was given tuned weights {name} of shape {tuple(value.shape[1:])} and has {own}; use the prior they were tuned of"
            )
    return {WEIGHTS + name: value.to(known[name], copy=True) for name, value in weights.items()}


def beginning_norms(prior: Prior, variables: Mapping[str, Tensor], unsigned: bool = False) -> Variables:
    """For every BatchNorm that is drawn through, what makes instance normalisation begin where it is: scale and shift, (rows, 2, C).

    Args:
        variables: the codes that are drawn, and weights, (rows, ...).
        unsigned: as in `Beginning`.
    """
    codes, weights = parted(variables)
    beginning = Beginning(instance_normed(prior.computing(None), weights), unsigned)
    drawing = _WithWeights(beginning.prior)

    def row(codes: Variables, weights: Variables) -> Variables:
        drawing.made({name: code[None] for name, code in codes.items()}, weights)
        return dict(beginning.noted)

    with torch.no_grad():
        noted: Variables = vmap(row)(*({name: _rowed(value) for name, value in group.items()} for group in (codes, weights)))
    rows = len(next(iter(codes.values())))
    return {WEIGHTS + name: value[:rows] for name, value in noted.items()}


def named(prior: Prior) -> dict[str, Tensor]:
    """What of the prior may be a row's own, by name: parameters, and where there is instance normalisation its scale and shift."""
    return dict(prior.named_parameters()) | {name: buffer for name, buffer in prior.named_buffers() if name.endswith(f".{NAME}")}


def tuned_picture(prior: Prior, variables: Mapping[str, Tensor]) -> Images:
    """The pictures of codes by space (rows, ...), each row drawn with its own `weights:…` (rows, *shape); the others are shared.

    One pass for all rows: a convolution with weights of their own runs as one convolution in groups, or on small maps as products,
    and layers whose weights are shared see all rows as a batch. Priors that draw `row_by_row` do so here, too.
    """
    codes, weights = parted(variables)
    count = len(next(iter(weights.values()), ()))
    if not count:
        return picture(prior, codes)
    prior, by_row = instance_normed(prior, weights), prior.row_by_row
    # under vmap torch's autocast casts what enters a convolution, and its weights not: so there all is in the parameters' type
    exchanging = _WithWeights(prior if by_row else prior.computing(None))

    def alone(codes: Variables, weights: Variables) -> Images:
        return exchanging.made(codes, {name: value[0] for name, value in weights.items()})[_IMAGES]

    def row(codes: Variables, weights: Variables) -> Images:
        return exchanging.made({name: code[None] for name, code in codes.items()}, weights)[_IMAGES][0]

    # what a prior measures once of codes that it draws is the same for all rows
    drawn: Callable[..., Images] = alone if by_row else vmap(row, randomness="same")
    like = next(iter(weights.values()))
    sizes = [1] * count if by_row else even_parts(count, threads_of(like))  # with zeros there would be more rows of weights
    if len(sizes) == 1:
        return drawn(codes, weights)
    return torch.cat([drawn(*part) for part in zip(_split(codes, sizes), _split(weights, sizes), strict=True)])


def answered_picture(prior: Prior, variables: Mapping[str, Tensor]) -> Images:
    """As `tuned_picture`, each row to the last bit as a prior that has its weights for good, such as `load_delta` gives, draws it alone."""
    return _row_by_row(prior, variables, _drawn)[_IMAGES]


def tuned_carried(prior: Prior, variables: Mapping[str, Tensor], space: str, who: str) -> Variables:
    """As `carried`, for codes (rows, ...) beside `weights:…`: each row's are mapped with its own, so that its picture stays what it was.

    What is no code of the prior's is left out.
    """
    own = {name: value for name, value in variables.items() if name in prior.spaces or is_weight(name)}
    return _row_by_row(prior, own, lambda prior, codes: carried(prior, codes, space, who))


def _row_by_row(prior: Prior, variables: Mapping[str, Tensor], make: Make) -> Variables:
    """What `make` makes of the codes, (rows, ...), of each row as of the only one, with its own weights."""
    codes, weights = parted(variables)
    count = len(next(iter(weights.values()), ()))
    if not count:
        return make(prior, codes)
    exchanging, rows = _WithWeights(instance_normed(prior.computing(None), weights), make), [1] * count
    each = [exchanging.kept(*row) for row in zip(_split(codes, rows), _split(weights, rows), strict=True)]
    return {name: torch.cat([one[name] for one in each]) for name in each[0]}


def _split(variables: Variables, sizes: list[int]) -> list[Variables]:
    """So many rows of each. Taken apart at once: the gradient of one part at a time would be as large as all, for each."""
    taken = {name: torch.split(value, sizes) for name, value in variables.items()}
    return [{name: parts[i] for name, parts in taken.items()} for i in range(len(sizes))]


def parted(variables: Mapping[str, Tensor]) -> tuple[Variables, Variables]:
    """The codes by space, and the weights by their names in the network."""
    codes = {name: value for name, value in variables.items() if not is_weight(name)}
    weights = {name.removeprefix(WEIGHTS): value for name, value in variables.items() if is_weight(name)}
    return codes, weights


_IMAGES = "images"


def _drawn(prior: Prior, codes: Variables) -> Variables:
    return {_IMAGES: picture(prior, codes)}


class _WithWeights(nn.Module):
    """What is made with a prior, such as pictures, as a module, so that torch can exchange its parameters for the time of one call."""

    def __init__(self, prior: Prior, make: Make = _drawn) -> None:
        super().__init__()
        self.prior, self.make = prior, make

    def made(self, codes: Variables, weights: Mapping[str, Tensor]) -> Variables:
        """What is made of these codes with these weights."""
        with Products(weights.values()):
            return self._made(codes, weights)

    def kept(self, codes: Variables, weights: Mapping[str, Tensor]) -> Variables:
        """What is made of one row's codes with its weights, (1, *shape), lying where they would in a network of its own."""
        return self._made(codes, {name: weight[0].clone(memory_format=torch.contiguous_format) for name, weight in weights.items()})

    def _made(self, codes: Variables, weights: Mapping[str, Tensor]) -> Variables:
        made: Variables = functional_call(self, self._placed(weights), (codes,), tie_weights=False)
        return made

    def _placed(self, weights: Mapping[str, Tensor]) -> Variables:
        """The weights by all places where they lie, each once: what torch's own tying reaches by two names it does not put back.

        A module may have two names, and a tensor may lie in two modules.
        """
        kinds = (self.prior.named_parameters, self.prior.named_buffers)
        known = {name: tensor for kind in kinds for name, tensor in kind(remove_duplicate=False)}
        own = {id(known[name]): weight for name, weight in weights.items() if name in known}
        placed = {f"prior.{name}": weight for name, weight in weights.items() if name not in known}
        for path, module in self.named_modules():
            for kind in (module.named_parameters, module.named_buffers):
                for name, tensor in kind(path, recurse=False, remove_duplicate=False):
                    if id(tensor) in own:
                        placed[name] = own[id(tensor)]
        return placed

    def forward(self, codes: Variables) -> Variables:
        return self.make(self.prior, codes)
