"""The BigGAN-deep generator (Brock et al. 2019, appendix B) from Hugging Face's files, `config.json` and `pytorch_model.bin`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from priorsolve.apart import apart
from priorsolve.priors.biggan_deep_plan import Plan, plan_of
from priorsolve.priors.biggan_layers import Attention, ConditionalNorm, Conditioned, modulated, torch_convolution, torch_norm
from priorsolve.priors.errors import CheckpointError, first_names
from priorsolve.priors.layers import Growing, grown
from priorsolve.priors.spectral import SpectralLinear, SpectralNorm
from priorsolve.priors.tensors import Tensors
from priorsolve.types import Images, Shape


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors' names are those of Hugging Face's generator."""
    return {"embeddings.weight", "generator.gen_z.weight_orig"} <= state.keys()


@final
class BigGANDeep(Conditioned):
    """z and class (a column of the embedding, or any vector like it), both told to every block → picture.

    z is a normal truncated at ±2, times the truncation; a code holds it with the truncation in it, as the network takes it. The
    statistics that normalise depend on the truncation too: a prior has one, 1 by default, and `with_truncation` gives another.
    Weights are divided by their spectral norm while they draw, so tuning moves them as they were trained; folded, they are divided
    once. `blocks`: the matrix, every layer of the configuration with the attention as one of its own, the layer that draws the picture.
    """

    def __init__(
        self, blocks: list[nn.Module], spaces: Mapping[str, Shape], image_shape: Shape, embedding: Tensor, widths: list[int]
    ) -> None:
        super().__init__(blocks, spaces, image_shape, embedding.shape[1], widths)
        self._embedding = nn.Parameter(embedding, requires_grad=False)
        self._truncation = 1.0

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], config: Mapping[str, Any] | None = None, *, truncation: float = 1.0) -> BigGANDeep:
        """The generator of a Hugging Face state dict, any size.

        Args:
            config: the content of config.json. Left out, sizes come from the tensors, every second block grows, and ε is 1e-4, as in
                all published models.
            truncation: from 0 (the mean picture of a class) to 1.

        Raises:
            CheckpointError: a tensor is missing, unknown, of the wrong shape, not finite, or a negative variance, or the
                configuration says otherwise than the tensors; the line names it.
            ValueError: a truncation outside [0, 1].
        """
        if not recognises(state):
            raise CheckpointError(
                f"not a BigGAN-deep generator: no generator.gen_z.weight_orig; the first tensors are {first_names(state)}"
            )
        plan = plan_of(state, config)
        tensors = Tensors(state, f"BigGAN-deep generator of {len(plan.layers)} layers")
        size, classes = tensors.shape("embeddings.weight", 2)
        embedding = tensors.take("embeddings.weight", (size, classes))
        start = _Start(tensors, plan)
        conditions, channels, side = start.linear.in_features, plan.channels, 4
        if conditions <= size:
            raise CheckpointError(f"generator.gen_z.weight_orig takes {conditions} numbers, expected more than the {size} of the class")
        blocks: list[nn.Module] = [start]
        widths = [0]
        spaces: dict[str, Shape] = {"z+c": (conditions,), "z": (conditions - size,)}
        for i, layer in enumerate(plan.layers):
            spaces[f"features@{i + 1}"] = (channels + conditions, side, side)
            widths.append(channels)
            name = f"generator.layers.{i}"
            if layer.attention:
                blocks.append(_attention(tensors, name, channels))
            else:
                block = _Block(tensors, name, channels, conditions, plan, grows=layer.grows)
                blocks.append(block)
                channels, side = block.outputs, side * (2 if layer.grows else 1)
        spaces[f"features@{len(plan.layers) + 1}"] = (channels, side, side)
        blocks.append(_Picture(tensors, channels, plan))
        tensors.finish()
        prior = cls(blocks, spaces, (3, side, side), embedding, [*widths, channels])
        prior._truncate(truncation)
        return prior

    @property
    def truncation(self) -> float:
        """How far z is drawn in towards 0, and which statistics normalise."""
        return self._truncation

    @apart()
    def with_truncation(self, truncation: float) -> BigGANDeep:
        """A copy with another truncation. Raises ValueError outside [0, 1]."""
        other = copy.deepcopy(self)
        other._truncate(truncation)
        return other

    def _truncate(self, truncation: float) -> None:
        if not 0 <= truncation <= 1:
            raise ValueError(f"{self}: a truncation of {truncation}; choose one from 0 to 1")
        self._truncation = truncation
        for module in self.modules():
            if isinstance(module, _Statistics):
                module.choose(truncation)

    def _embed(self, weights: Tensor) -> Tensor:
        return weights @ self._embedding.T

    def _draw(self, n: int, rng: torch.Generator) -> Tensor:
        # by the inverse of the distribution function, so that no draw is rejected and a seed gives the same everywhere
        edge = math.erf(2 / math.sqrt(2))
        uniform = torch.rand(n, *self._spaces["z"], generator=rng, device="cpu", dtype=torch.float64)
        return (self._truncation * math.sqrt(2) * torch.erfinv(edge * (2 * uniform - 1))).float()


@final
class _Start(nn.Module):
    """All conditions, through a matrix, are the first features."""

    def __init__(self, tensors: Tensors, plan: Plan) -> None:
        super().__init__()
        rows = 16 * plan.channels
        weight = tensors.take("generator.gen_z.weight_orig", (rows, None))
        norm = torch_norm(tensors, "generator.gen_z", weight)
        bias = tensors.take("generator.gen_z.bias", (rows,))
        # the rows are stored pixel by pixel; here channel by channel
        order = torch.arange(rows).view(16, -1).T.flatten()
        self.linear = SpectralLinear(weight[order], bias[order], SpectralNorm(norm.u[order], norm.v))

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        features: Tensor = self.linear(conditions)
        return features.reshape(len(features), -1, 4, 4), conditions


@final
class _Statistics(nn.Module):
    """Mean and variance (C,) for one truncation, out of a table with a row for each of evenly spaced ones from 0 to 1."""

    mean: Tensor
    variance: Tensor
    means: Tensor
    variances: Tensor

    def __init__(self, tensors: Tensors, name: str, channels: int, plan: Plan) -> None:
        super().__init__()
        self.eps = plan.eps
        self.register_buffer("means", tensors.take(f"{name}.running_means", (plan.rows, channels)))
        self.register_buffer("variances", tensors.take_variance(f"{name}.running_vars", (plan.rows, channels)))
        self.register_buffer("mean", self.means[-1].clone())
        self.register_buffer("variance", self.variances[-1].clone())

    def choose(self, truncation: float) -> None:
        """Take the rows for `truncation` as the original does.

        Between two rows it swaps the weights of the neighbours, and rounding makes it miss some rows: with 51 of them 0.58 takes row
        28, where 29 is meant. The usual 0.1, 0.2, … 1 are met exactly. Kept, for it is what the published pictures show.
        """
        part, row = math.modf(truncation / (1 / (len(self.means) - 1)))
        first = min(int(row), len(self.means) - 1)
        second = min(first + 1, len(self.means) - 1)
        for table, chosen in ((self.means, self.mean), (self.variances, self.variance)):
            chosen.copy_(table[first] * part + table[second] * (1 - part) if part else table[first])


def _linear(tensors: Tensors, name: str, outputs: int, inputs: int) -> SpectralLinear:
    weight = tensors.take(f"{name}.weight_orig", (outputs, inputs))
    return SpectralLinear(weight, None, torch_norm(tensors, name, weight))


@final
class _Norm(ConditionalNorm):
    """Statistics, then a gain around 1 and a bias that are linear in the conditions."""

    def __init__(self, tensors: Tensors, name: str, channels: int, conditions: int, plan: Plan) -> None:
        super().__init__()
        self.statistics = _Statistics(tensors, name, channels, plan)
        self.gain = _linear(tensors, f"{name}.scale", channels, conditions)
        self.bias = _linear(tensors, f"{name}.offset", channels, conditions)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        known = self.statistics
        return modulated(x, known.mean, known.variance, known.eps, 1 + self.gain(conditions), self.bias(conditions))


@final
class _Block(nn.Module):
    """Four times norm, ReLU, convolution (1×1, 3×3, 3×3, 1×1), twice the side after the second ReLU where it grows.

    Beside it x itself, without its last channels where fewer leave than enter.
    """

    def __init__(self, tensors: Tensors, name: str, channels: int, conditions: int, plan: Plan, *, grows: bool) -> None:
        super().__init__()
        self._grows = grows
        self.norms = nn.ModuleList()
        self.convolutions = nn.ModuleList()
        width = channels
        for k, kernel in enumerate((1, 3, 3, 1)):
            layer = torch_convolution(tensors, f"{name}.conv_{k}", (None, width, kernel, kernel))
            self.norms.append(_Norm(tensors, f"{name}.bn_{k}", width, conditions, plan))
            self.convolutions.append(Growing(layer) if grows and k == 1 else layer)
            width = layer.out_channels
        self.outputs = width
        if self.outputs > channels:
            raise CheckpointError(
                f"{name}.conv_3.weight_orig makes {self.outputs} channels of {channels}; no more leave a block than enter"
            )

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        h = x
        for norm, layer in zip(self.norms, self.convolutions, strict=True):
            h = layer(norm(h, conditions).relu())
        x = x[:, : self.outputs]
        return h + (grown(x) if self._grows else x), conditions


@final
class _Told(nn.Module):
    """Attention in a chain that carries conditions."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(x), conditions


def _attention(tensors: Tensors, name: str, channels: int) -> nn.Module:
    theta = torch_convolution(tensors, f"{name}.snconv1x1_theta", (None, channels, 1, 1), bias=False)
    phi = torch_convolution(tensors, f"{name}.snconv1x1_phi", (theta.out_channels, channels, 1, 1), bias=False)
    g = torch_convolution(tensors, f"{name}.snconv1x1_g", (None, channels, 1, 1), bias=False)
    o = torch_convolution(tensors, f"{name}.snconv1x1_o_conv", (channels, g.out_channels, 1, 1), bias=False)
    return _Told(Attention(theta, phi, g, o, tensors.take(f"{name}.gamma", (1,))))


@final
class _Picture(nn.Module):
    """Norm, ReLU, convolution, tanh. Nothing here knows the class; of the stored output channels three are the picture."""

    def __init__(self, tensors: Tensors, channels: int, plan: Plan) -> None:
        super().__init__()
        self.statistics = _Statistics(tensors, "generator.bn", channels, plan)
        self.gain = nn.Parameter(tensors.take("generator.bn.weight", (channels,)))
        self.bias = nn.Parameter(tensors.take("generator.bn.bias", (channels,)))
        drawn = tensors.shape("generator.conv_to_rgb.weight_orig", 4)[0]
        if drawn < 3:
            raise CheckpointError(f"generator.conv_to_rgb.weight_orig draws {drawn} channels; a picture has 3")
        self.convolution = torch_convolution(tensors, "generator.conv_to_rgb", (None, channels, 3, 3), outputs=3)

    def forward(self, x: Tensor, conditions: Tensor) -> tuple[Images, Tensor]:
        known = self.statistics
        h = modulated(x, known.mean, known.variance, known.eps, self.gain, self.bias).relu()
        return self.convolution(h).tanh(), conditions
