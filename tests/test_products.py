"""Transposed convolutions as products: the numbers and gradients of torch's own, for rows with weights of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from priorsolve.onednn import product
from priorsolve.solvers import products
from priorsolve.solvers.products import Products, transposed_convolution

ROWS = 3
LAYERS = {
    "one pixel": (nn.ConvTranspose2d(5, 4, 4, 1, 0), 1),
    "one pixel, cropped": (nn.ConvTranspose2d(5, 4, 4, 2, 1), 1),
    "twice the side": (nn.ConvTranspose2d(5, 4, 4, 2, 1, bias=False), 4),
    "not square steps": (nn.ConvTranspose2d(5, 4, (3, 2), (2, 1), (1, 0)), 3),
    "large map": (nn.ConvTranspose2d(5, 4, 4, 2, 1), 8),
    "large map to a picture": (nn.ConvTranspose2d(5, 3, 4, 2, 1), 8),
    "groups": (nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2), 4),
    "wider": (nn.ConvTranspose2d(5, 4, 3, 2, 1, output_padding=1), 4),
    "dilated": (nn.ConvTranspose2d(5, 4, 3, dilation=2), 4),
}
PRODUCTS = ["one pixel", "one pixel, cropped", "twice the side", "not square steps", "large map to a picture"]


@pytest.mark.parametrize("name", LAYERS)
def test_rows_and_gradients_are_torch_s(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, side = LAYERS[name]
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, layer.in_channels, side, side, generator=rng).requires_grad_()
    own = {key: torch.randn(ROWS, *value.shape, generator=rng).requires_grad_() for key, value in layer.named_parameters()}
    asked: list[str] = []

    def noted(*args: Any) -> Tensor:
        asked.append(name)
        return transposed_convolution(*args)

    monkeypatch.setattr(products, "transposed_convolution", noted)

    def row(x: Tensor, own: dict[str, Tensor]) -> Tensor:
        with Products(own.values()):
            drawn: Tensor = functional_call(layer, own, (x[None],))[0]
        return drawn

    drawn = vmap(row)(x, own)
    expected = torch.stack([functional_call(layer, {key: value[i] for key, value in own.items()}, (x[[i]],))[0] for i in range(ROWS)])
    torch.testing.assert_close(drawn, expected, atol=2e-5, rtol=1e-5)
    weights = torch.randn(drawn.shape, generator=rng)
    leaves = [x, *own.values()]
    for found, known in zip(*(torch.autograd.grad(y, leaves, weights) for y in (drawn, expected)), strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=1e-5)
    assert bool(asked) == (name in PRODUCTS)


@pytest.mark.parametrize(("outputs", "side"), [(16, 1), (16, 4), (3, 32)])
def test_a_row_is_what_it_is_alone(outputs: int, side: int) -> None:
    """And its gradients: an optimiser makes much of what is rounded otherwise."""
    layer = nn.ConvTranspose2d(32, outputs, 4, 2 if side > 1 else 1, 1 if side > 1 else 0, bias=False)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, 32, side, side, generator=rng)
    weight = torch.randn(ROWS, *layer.weight.shape, generator=rng)

    def row(x: Tensor, weight: Tensor) -> Tensor:
        with Products([weight]):
            drawn: Tensor = functional_call(layer, {"weight": weight}, (x[None],))[0]
        return drawn

    def found(rows: slice) -> tuple[Tensor, ...]:
        leaves = x[rows].clone().requires_grad_(), weight[rows].clone().requires_grad_()
        drawn = vmap(row)(*leaves)
        return drawn, *torch.autograd.grad(drawn.square().sum(), leaves)

    together = found(slice(None))
    for i in range(ROWS):
        for alone, whole in zip(found(slice(i, i + 1)), together, strict=True):
            assert torch.equal(alone[0], whole[i])


def test_shared_weights_and_batches_are_left_to_torch() -> None:
    layer = nn.ConvTranspose2d(5, 4, 4, 2, 1)
    x = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    for own in ([], [layer.weight]):
        with torch.no_grad(), Products(own):
            drawn = layer(x)
        assert torch.equal(drawn, layer(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_product_is_torchs_in_every_type(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    rows, matrix, bias = (torch.randn(*shape, generator=rng).to(dtype) for shape in ((3, 4), (5, 4), (5,)))
    expected = rows.double() @ matrix.double().T + bias.double()
    made = product(rows, matrix, bias)
    assert made.dtype == dtype
    torch.testing.assert_close(made.double(), expected, atol=4 * torch.finfo(dtype).eps, rtol=4 * torch.finfo(dtype).eps)
