"""Instance normalisation in the place of BatchNorm: what is normalised follows each row's own picture, and begins where BatchNorm is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn

from priorsolve.priors.base import FOUND, MADE, Prior
from priorsolve.priors.biggan_layers import ConditionalNorm

NAME = "instance"
"""What the scale and the shift are called in the module that has them."""

_EPS = 1e-5
P = TypeVar("P", bound=Prior)


@final
class InstanceNorm(nn.Module):
    """(x − mean) / √(variance + 1e-5) · scale + shift, with the mean and variance of each channel of each picture.

    The weights of what it replaces stay in it unused, so that every parameter keeps its name.

    Args:
        norm: what it replaces.
        instance: (2, C) scale and shift.
    """

    instance: Tensor

    def __init__(self, norm: nn.Module, instance: Tensor) -> None:
        super().__init__()
        for name, child in norm.named_children():
            self.add_module(name, child)
        for name, parameter in norm.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        self.register_buffer(NAME, instance)

    def forward(self, x: Tensor, *conditions: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        scale, shift = self.instance[:, :, None, None]
        return torch.addcmul(shift, (x - mean) * torch.rsqrt(variance + _EPS), scale)


def batch_norms(prior: Prior) -> dict[str, nn.Module]:
    """The prior's modules that instance normalisation can replace, by name: not BigGAN's last, which knows no class."""
    return {name: module for name, module in prior.named_modules() if isinstance(module, nn.BatchNorm2d | ConditionalNorm)}


def instance_normed(prior: P, tensors: Mapping[str, Tensor]) -> P:
    """The same prior, tensors shared, with instance normalisation where `tensors`, (rows, *shape), have `<module>.instance`.

    Where there is none of these, it is the prior itself.
    """
    norms = batch_norms(prior)
    found = {name: tensors[f"{name}.{NAME}"] for name in norms if f"{name}.{NAME}" in tensors}
    if not found:
        return prior
    return twin(prior, {name: InstanceNorm(norms[name], value.new_zeros(value.shape[1:])) for name, value in found.items()})


def twin(prior: P, replaced: Mapping[str, nn.Module]) -> P:
    """A copy of the prior that shares its tensors, with other modules by these names.

    Raises ValueError where an own prior holds what cannot be copied.
    """
    kept: dict[int, Any] = {id(tensor): tensor for tensor in (*prior.parameters(), *prior.buffers())}
    try:
        return copy.deepcopy(prior, kept | {id(prior.get_submodule(name)): module for name, module in replaced.items()})
    except (TypeError, RuntimeError) as error:
        if not _says_uncopied(error):
            raise
        raise ValueError(
            f"{prior}: {_uncopied(prior, kept)} cannot be copied, and weights move in a copy; hold it outside the prior, "
            "or if it is of tensors detach() them"
        ) from error


def _says_uncopied(error: Exception) -> bool:
    """Whether it is Python's of a lock or a file, or torch's of a tensor with a graph."""
    return "pickle" in str(error) or "deepcopy" in str(error)


def _uncopied(prior: Prior, kept: Mapping[int, Any]) -> str:
    """Which attribute, in words."""
    for path, module in prior.named_modules():
        for name, value in vars(module).items():
            if name not in ("_modules", MADE, FOUND):
                try:
                    copy.deepcopy(value, dict(kept))
                except (TypeError, RuntimeError):
                    return f"its {'.'.join(filter(None, (path, name)))}, a {type(value).__name__},"
    return "something in it"


class Beginning:
    """Notes, while a row is drawn, the scale and shift (2, C) with which instance normalisation makes what BatchNorm makes.

    BatchNorm with stored statistics is a·x + b in each channel. With the mean m and variance v of this picture that is the scale
    a·√(v + ε) and the shift a·m + b. DGP's own takes the deviation of a·x + b for the scale, by n − 1 pixels of n, which loses the sign
    of a: so where it is asked to be `unsigned`, and then pictures begin elsewhere where an a is negative.
    """

    def __init__(self, prior: Prior, unsigned: bool = False) -> None:
        self.unsigned = unsigned
        self.prior = twin(prior, {})
        self.noted: dict[str, Tensor] = {}
        for name, module in batch_norms(self.prior).items():
            module.register_forward_hook(self._hook(f"{name}.{NAME}"))

    def _hook(self, name: str) -> Any:
        def note(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            x, *conditions = args
            b = module.forward(x.new_zeros(1, x.shape[1], 1, 1), *conditions)[0, :, 0, 0]
            a = module.forward(x.new_ones(1, x.shape[1], 1, 1), *conditions)[0, :, 0, 0] - b
            variance, mean = torch.var_mean(x[0], (1, 2), correction=0)
            scale = output[0].std((1, 2)) if self.unsigned else a * (variance + _EPS).sqrt()
            self.noted[name] = torch.stack([scale, a * mean + b])

        return note
