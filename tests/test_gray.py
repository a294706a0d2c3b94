"""What gray means: the standards' weights, and errors that show the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from priorsolve.operators.base import LinearOperator
from priorsolve.operators.blur import gaussian_blur
from priorsolve.operators.gray import Gray
from priorsolve.operators.laws import check_laws
from priorsolve.operators.mask import Mask


def test_rec601_is_what_pillow_calls_luminance() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    ours = Gray().A(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
    theirs = torch.from_numpy(np.array(Image.fromarray(photo).convert("L"))) / 255
    assert (ours[0, 0] - theirs).abs().max() < 0.51 / 255


def test_what_the_standards_weigh() -> None:
    pure = torch.eye(3).view(3, 3, 1, 1)
    for gray, weights in ((Gray("rec601"), [0.299, 0.587, 0.114]), (Gray("rec709"), [0.2126, 0.7152, 0.0722])):
        assert gray.A(pure).flatten().tolist() == pytest.approx(weights)


@pytest.mark.parametrize("weights", ["rec601", "rec709", "mean"])
def test_standards_keep_gray_as_it_is(weights: Any) -> None:
    x = torch.linspace(0, 1, 16).view(1, 1, 4, 4)
    torch.testing.assert_close(Gray(weights).A(x.expand(1, 3, 4, 4)), x)
    assert repr(Gray(weights)) == f"Gray(weights={weights})"


def test_own_weights_pick_a_channel() -> None:
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Gray([0, 1, 0]).A(x), x[:, 1:2])


@pytest.mark.parametrize("weights", [[0, 0, 0], [1, 2], [1, 2, float("nan")], []])
def test_useless_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^Gray: weights are three finite numbers"):
        Gray(weights)


def test_unknown_standard_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"^Gray: there are no weights 'rec2020'; choose one of rec601, rec709, mean"):
        Gray("rec2020")  # type: ignore[arg-type]


def test_shapes_are_checked_at_the_door() -> None:
    with pytest.raises(ValueError, match=r"^Gray\(weights=rec601\): expected images of shape \(B, 3, H, W\), got \(B, 1, 4, 4\)$"):
        Gray().A(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"expected measurements of shape \(B, 1, H, W\), got \(B, 3, 4, 4\)"):
        Gray().A_adjoint(torch.zeros(1, 3, 4, 4))


def test_a_pixel_of_which_only_weightless_colours_are_known_is_not_measured() -> None:
    known = torch.ones(3, 4, 4)
    known[2, :, :2] = 0
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    operator = Gray([0, 0, 1]) @ Mask(known)
    assert torch.equal(operator.support(torch.ones_like(x)), known[2:].expand(2, 1, 4, 4))
    assert torch.equal((Gray() @ Mask(known)).support(torch.ones_like(x)), torch.ones(2, 1, 4, 4))
    check_laws(operator, (3, 4, 4))


def test_what_rounding_left_of_a_grey_change_tints_nothing() -> None:
    operator = Gray() @ gaussian_blur(sigma=0.8)  # whose A† would make one level in 255 of it
    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    lifted = operator.lift(operator.A(torch.nn.functional.interpolate(x, size=(48, 48), mode="bicubic")))
    torch.testing.assert_close(lifted, lifted.mean(1, keepdim=True).expand_as(lifted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("operator", [Gray() @ gaussian_blur(1.5), gaussian_blur(1.5, "circular") @ Gray([0.1, -0.3, 0.4])], ids=str)
def test_what_steps_left_of_a_grey_change_tints_nothing(operator: LinearOperator) -> None:
    """Of what a strong blur leaves after all steps A† was added, which drew the colours 0.1 apart."""
    y = operator.A(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    with_gradient = operator.lift(y.clone().requires_grad_())
    assert with_gradient.requires_grad
    lifted = with_gradient.detach()
    torch.testing.assert_close(lifted, lifted.mean(1, keepdim=True).expand_as(lifted), atol=1e-5, rtol=0)
    assert float((operator.A(lifted) - y).norm() / y.norm()) < 1e-3


def test_what_no_grey_change_explains_is_explained_by_another() -> None:
    known = torch.ones(3, 4, 4)
    known[0, :, :2] = 0  # there the weights that are left cancel out
    operator = Gray([1, 1, -1]) @ Mask(known)
    y = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(operator.A(operator.lift(y)), y)


def test_what_no_grey_change_explains_of_one_picture_is_explained_beside_any_other() -> None:
    known, x = torch.ones(3, 8, 8), torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    known[0, :, :4] = 0  # there the weights that are left cancel out
    x[0, :, :, 4:], x[1, :, :, :4] = 0, 0
    operator = gaussian_blur(1.0) @ (Gray([1, 1, -1]) @ Mask(known))
    y = operator.A(x)
    torch.testing.assert_close(operator.lift(y), torch.cat([operator.lift(y[:1]), operator.lift(y[1:])]), atol=1e-4, rtol=1e-4)


def test_weights_below_0_see_a_change_that_is_grey_too() -> None:
    gray, y = Gray([-0.3, -0.6, -0.1]), torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gray.lift(y), -y.expand(-1, 3, -1, -1))
    assert gray.grey


@pytest.mark.parametrize("weights", ["rec601", [0.5, 0.1, 0.2]])
def test_what_leaves_the_range_moves_towards_its_grey_just_so_far_that_it_does_not(weights: Any) -> None:
    gray = Gray(weights)
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.4 - 0.2
    grey = gray.A(x) / gray.A(torch.ones(1, 3, 1, 1, dtype=x.dtype))
    inside, can = ((x >= 0) & (x <= 1)).all(1, keepdim=True), (grey > 0) & (grey < 1)
    made = gray.within(x)
    assert (can & ~inside).sum() > 20
    assert torch.equal(made[inside.expand_as(x)], x[inside.expand_as(x)])
    torch.testing.assert_close(gray.A(made)[can], gray.A(x)[can])
    edge = torch.minimum(made, 1 - made).amin(1, keepdim=True)[can & ~inside]
    torch.testing.assert_close(edge, torch.zeros_like(edge), atol=1e-12, rtol=0)
    turned = torch.linalg.cross(made - grey, x - grey, dim=1).abs().amax(1, keepdim=True)[can]
    torch.testing.assert_close(turned, torch.zeros_like(turned), atol=1e-12, rtol=0)


def test_what_is_no_grey_of_the_range_becomes_black_or_white() -> None:
    x = torch.tensor([[0.1, -0.2, -0.1], [1.2, 1.0, 0.9]]).view(2, 3, 1, 1)
    torch.testing.assert_close(Gray().within(x), torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand_as(x))
    assert torch.equal(Gray([1, -1, 0]).within(x), x)
