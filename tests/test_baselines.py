"""The baselines: what each does is what its library does, known pixels stay, and each says truly which operators it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_support import picture
from scipy.fft import dctn, idctn
from skimage import restoration
from sklearn.linear_model import Lasso
from torch import Tensor

from priorsolve.baselines import BASELINES, Problem
from priorsolve.baselines.lasso import COSINES, haar, lasso
from priorsolve.data import samples
from priorsolve.operators import (
    JPEG,
    Blur,
    Clip,
    Downsample,
    FastSensing,
    FixedPhotons,
    GaussianSensing,
    Gray,
    Holes,
    Identity,
    Mask,
    Operator,
    PillowJPEG,
    PillowResize,
    Quantize,
    compose,
    gaussian_blur,
    motion_blur,
)
from priorsolve.operators.base import LinearOperator
from priorsolve.operators.blur import Padding
from priorsolve.operators.transforms import Transform
from priorsolve.photos.images import read_image
from priorsolve.types import Shape

PADDINGS: list[Padding] = ["reflect", "replicate", "circular"]
SKIMAGE: Any = restoration
"""scikit-image, whose functions have no types."""


def photo(size: int = 32, seed: int = 0) -> Tensor:
    """A smooth picture with some grain, (3, size, size)."""
    smooth = torch.from_numpy(np.asarray(picture(seed, size, size)).copy()).permute(2, 0, 1).contiguous() / 255
    return (smooth + 0.02 * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


def posed(operator: Operator, x: Tensor, noise: float = 0.0) -> Problem:
    y = operator.A(x[None])[0]
    return Problem(y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)), operator, tuple(x.shape), noise)


def restored(name: str, problem: Problem) -> Tensor:
    made = BASELINES[name].restore(problem)
    assert tuple(made.shape) == problem.image_shape
    return made


HOLE = Holes(boxes=[[0.25, 0.25, 0.6, 0.5]])
SENSING = FastSensing(ratio=0.2, shape=[3, 32, 32])
APPLIES: list[tuple[Operator, set[str]]] = [
    (Identity(), {"copy", "pinv"}),
    (Gray(), {"copy", "pinv"}),
    (HOLE, {"copy", "biharmonic", "tv", "pinv"}),
    (compose([HOLE, Clip(), Quantize(8)]), {"copy", "biharmonic", "tv"}),
    (compose([Gray(), HOLE]), {"copy", "biharmonic", "tv", "pinv"}),
    (Downsample(4), {"copy", "bicubic", "lanczos", "pinv"}),
    (gaussian_blur(1.0), {"copy", "wiener", "richardson_lucy", "pinv"}),
    (JPEG(30), {"copy"}),
    (compose([PillowJPEG(30), FixedPhotons(24)]), {"copy"}),
    (PillowResize(4), {"copy", "bicubic", "lanczos"}),
    (SENSING, {"lasso_dct", "lasso_wavelet", "pinv"}),
    (compose([HOLE, SENSING]), {"lasso_dct", "lasso_wavelet", "pinv"}),
    (compose([SENSING, Quantize(8)]), set()),
    (compose([Gray(), Downsample(2), Holes(pixels=0.2)]), {"copy", "classical", "pinv"}),
    (compose([gaussian_blur(1.0), Downsample(2)]), {"copy", "classical", "pinv"}),
]


@pytest.mark.parametrize(("operator", "names"), APPLIES, ids=lambda value: repr(value)[:60] if isinstance(value, Operator) else "")
def test_each_says_what_it_is_for_and_does_it(operator: Operator, names: set[str]) -> None:
    assert {name for name, baseline in BASELINES.items() if baseline.applies(operator)} == names
    problem = posed(operator, photo())
    for name in names:
        assert restored(name, problem).isfinite().all(), name


def test_copy_shows_what_is_there() -> None:
    x = photo()
    shown = restored("copy", posed(compose([Gray(), Downsample(4, "area"), Holes(half="left")]), x))
    small = Downsample(4, "area").A(Gray().A(x[None]))[0]
    assert (shown[:, :, :16] == 0.5).all()
    assert torch.equal(shown[0], shown[2])
    torch.testing.assert_close(shown[:, 5, 22], small[:, 1, 5].expand(3))


@pytest.mark.parametrize("name", ["biharmonic", "tv", "copy"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_known_pixels_are_kept_and_holes_are_filled(name: str, per_channel: bool) -> None:
    known = torch.rand(3 if per_channel else 1, 32, 32, generator=torch.Generator().manual_seed(2)) > 0.3
    x = photo()
    made = restored(name, posed(Mask(known), x))
    kept = known.expand_as(x)
    assert torch.equal(made[kept], x[kept])
    assert (made[~kept] != 0).all()
    if name != "copy":
        shown = restored("copy", posed(Mask(known), x))
        assert (made - x).square().mean() < (shown - x).square().mean() / 4


def test_biharmonic_is_scikit_images() -> None:
    x = photo()
    problem = posed(HOLE, x)
    hole = HOLE.A(torch.ones(1, 1, 32, 32))[0, 0].numpy() == 0
    theirs = SKIMAGE.inpaint_biharmonic(problem.y.permute(1, 2, 0).double().numpy(), hole, channel_axis=-1)
    torch.testing.assert_close(restored("biharmonic", problem).double(), torch.from_numpy(theirs).permute(2, 0, 1), rtol=0, atol=1e-5)


def test_biharmonic_needs_something_to_go_on() -> None:
    known = torch.ones(3, 32, 32)
    known[1] = 0
    with pytest.raises(ValueError, match="no pixel is known"):
        restored("biharmonic", posed(Mask(known), photo()))


def test_a_soft_edge_is_undone_where_the_picture_shines_through() -> None:
    x, known = photo(), torch.linspace(0.2, 1, 32).expand(1, 32, 32).clone()
    known[:, 10:14, 10:14] = 0
    made = restored("biharmonic", posed(Mask(known), x))
    torch.testing.assert_close(made[:, :10], x[:, :10], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "how"), [("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)])
def test_enlarging_is_pillows(name: str, how: Image.Resampling) -> None:
    small = photo(8).mul(255).round() / 255
    made = restored(name, Problem(small, Downsample(4), (3, 32, 32)))
    eight_bits = Image.fromarray((small * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    theirs = torch.from_numpy(np.asarray(eight_bits.resize((32, 32), how)).copy()).permute(2, 0, 1) / 255
    assert (made.clamp(0, 1) - theirs).abs().max() <= 1.5 / 255  # Pillow rounds to 8 bits between rows and columns


@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_a_flat_picture_stays_flat_up_to_its_border(name: str) -> None:
    flat = torch.tensor([0.2, 0.4, 0.7]).view(3, 1, 1).expand(3, 32, 32)
    for smaller in (Downsample(2, "nearest"), Downsample(4), PillowResize(4)):
        torch.testing.assert_close(restored(name, posed(smaller, flat)), flat, rtol=0, atol=1e-2)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", ["bicubic", "lanczos"])
def test_pixels_that_were_kept_come_back_in_their_places(name: str, factor: int) -> None:
    """Of an even number "nearest" keeps the one after the middle: taken for the middle, it was half a pixel off, at 2× 3 dB worse."""
    x, middle = photo(24), factor // 2
    made = restored(name, posed(Downsample(factor, "nearest"), x))
    torch.testing.assert_close(made[:, middle::factor, middle::factor], x[:, middle::factor, middle::factor], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("blur", "continued"),
    [
        *((gaussian_blur(1.2, padding), mode) for padding, mode in zip(PADDINGS, ["reflect", "edge", "wrap"], strict=True)),
        (Blur(torch.tensor([[1.0, 2, 4]])), "edge"),
        (Blur(torch.tensor([[1.0], [2], [4]])), "edge"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_wiener_and_richardson_lucy_are_scikit_images(blur: Blur, continued: Any) -> None:
    """Of the picture as it goes on past its border: a kernel that is lopsided along one axis does not explain a mirrored one."""
    problem = posed(blur, 0.2 * photo(48), noise=0.05)
    assert (problem.y < 0).any(), "noise makes some of it negative"
    kernel = blur.kernel.numpy()
    pad = [min(2 * side, 47) for side in kernel.shape]
    channel = np.pad(problem.y[1].double().numpy(), [(pad[0], pad[0]), (pad[1], pad[1])], mode=continued)
    inner = (slice(pad[0], -pad[0]), slice(pad[1], -pad[1]))
    wiener = SKIMAGE.wiener(channel, kernel, (0.05 / 0.115) ** 2, clip=False)[inner]
    lucy = SKIMAGE.richardson_lucy(channel.clip(0), kernel, 30, clip=False, filter_epsilon=1e-12)[inner]
    np.testing.assert_allclose(restored("wiener", problem)[1].numpy(), wiener, atol=1e-5)
    np.testing.assert_allclose(restored("richardson_lucy", problem)[1].numpy(), lucy, atol=1e-5)


LOPSIDED = Blur(torch.tensor([[1.0, 2, 3, 4, 5], [0, 0, 0, 0, 9]]))


@pytest.mark.parametrize(
    "blur", [gaussian_blur(1.5), motion_blur(6, 30), Blur(torch.ones(4, 2)), LOPSIDED], ids=["gaussian", "motion", "even", "lopsided"]
)
@pytest.mark.parametrize("name", ["wiener", "richardson_lucy"])
def test_deconvolution_sharpens_in_place(blur: Blur, name: str) -> None:
    x = photo(48, seed=3)
    x[:, 12:36, 20:30] = 0.9 - x[:, 12:36, 20:30] / 2  # an edge to sharpen, which a shift by one pixel would spoil
    problem = posed(blur, x)
    made, before = restored(name, problem), (problem.y - x).square().mean()
    assert (made - x).square().mean() < 0.7 * before


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("name", "share"), [("wiener", 0.75), ("richardson_lucy", 0.5)])
def test_a_lopsided_blur_is_undone_up_to_the_border(name: str, share: float, padding: Padding) -> None:
    """With the picture mirrored past its border, Wiener's was 2.4 dB worse than the blurred one, and 3.5 dB for circular edges."""
    x, blur = read_image(samples()[0], size=(64, 64)), motion_blur(9, 30, padding)
    problem = posed(blur, x)
    error, before = ((made.clamp(0, 1) - x).square().mean() for made in (restored(name, problem), problem.y))
    assert error < share * before


@pytest.mark.parametrize("name", ["wiener", "richardson_lucy"])
def test_a_kernel_may_be_larger_than_the_picture(name: str) -> None:
    """An edge that is off by a pixel would show in the mirrored picture's result."""
    blur, x = gaussian_blur(8, "replicate"), photo()[:, :, :20].contiguous()
    made, mirrored = (restored(name, posed(blur, each)) for each in (x, x.flip(1, 2)))
    torch.testing.assert_close(mirrored.flip(1, 2), made, rtol=0, atol=1e-5)
    if name == "wiener":
        flat = torch.tensor([0.2, 0.4, 0.7]).view(3, 1, 1).expand(3, 32, 20)
        torch.testing.assert_close(restored(name, posed(blur, flat)), flat, rtol=0, atol=1e-5)


def test_noise_of_no_strength_is_not_amplified() -> None:
    blur = gaussian_blur(1.5)
    problem = posed(blur, photo(48), noise=0.05)
    told, untold = (BASELINES["wiener"].restore(Problem(problem.y, blur, problem.image_shape, noise)) for noise in (0.05, None))
    assert torch.equal(told, untold)
    assert (told - problem.y).abs().mean() < 0.1


@pytest.mark.parametrize("operator", [Gray(), Downsample(2), Holes(pixels=0.3), SENSING, compose([Gray(), Downsample(2)])])
def test_pinv_explains_the_measurement(operator: LinearOperator) -> None:
    problem = posed(operator, photo())
    made = restored("pinv", problem)
    torch.testing.assert_close(operator.A(made[None])[0], problem.y, rtol=0, atol=1e-4)
    torch.testing.assert_close(made, operator.A_dagger(problem.y[None])[0])


def test_pinv_and_lasso_are_for_linear_operators() -> None:
    problem = posed(JPEG(30), photo())
    for name in ("pinv", "lasso_dct"):
        with pytest.raises(ValueError, match="is not linear"):
            BASELINES[name].restore(problem)


def test_classical_undoes_the_last_damage_first() -> None:
    known = Holes(pixels=0.3, seed=4)
    x = photo(64)
    problem = posed(compose([Downsample(2), known]), x)
    filled = restored("biharmonic", Problem(problem.y, known, (3, 32, 32)))
    torch.testing.assert_close(restored("classical", problem), restored("bicubic", Problem(filled, Downsample(2), (3, 64, 64))))


def test_classical_sharpens_as_much_as_the_noise_allows() -> None:
    blur = gaussian_blur(1.5)
    problem = posed(compose([Gray(), blur, Downsample(2)]), photo(64), noise=0.1)
    enlarged = restored("bicubic", Problem(problem.y, Downsample(2), (1, 64, 64)))
    sharp = restored("wiener", Problem(enlarged, blur, (1, 64, 64), 0.1))
    torch.testing.assert_close(restored("classical", problem), sharp.expand(3, 64, 64))


@pytest.mark.parametrize("name", ["lasso_dct", "lasso_wavelet"])
def test_lasso_is_scikit_learns(name: str) -> None:
    """On a matrix small enough to be written out, the same problem has the same solution."""
    shape, alpha = (1, 12, 12), 0.02
    operator = GaussianSensing(m=90, shape=list(shape))
    problem = posed(operator, photo(12)[:1])
    basis = haar(shape)
    rows = operator.matrix.double().numpy().reshape(-1, *shape)
    if name == "lasso_dct":
        matrix = np.stack([dctn(row, axes=(1, 2), norm="ortho").ravel() for row in rows])
    else:
        matrix = np.stack([basis.forward(torch.from_numpy(row)).numpy().ravel() for row in rows])
    y = 2 * problem.y.double().numpy() - operator.matrix.double().numpy().sum(1)
    theirs = Lasso(alpha / len(y), fit_intercept=False, tol=1e-10, max_iter=100000).fit(matrix, y).coef_.reshape(shape)
    picture = idctn(theirs, axes=(1, 2), norm="ortho") if name == "lasso_dct" else basis.inverse(torch.from_numpy(theirs)).numpy()
    ours = lasso(problem, **{**BASELINES[name].restore.keywords, "alpha": alpha})  # type: ignore[attr-defined]
    assert 5 < np.count_nonzero(theirs) < 90
    np.testing.assert_allclose(2 * ours.numpy() - 1, picture, atol=0.03)
    x = 2 * ours - 1
    c = dctn(x.numpy(), axes=(1, 2), norm="ortho") if name == "lasso_dct" else basis.forward(x).numpy()
    cost, least = (0.5 * np.square(matrix @ each.ravel() - y).sum() + alpha * np.abs(each).sum() for each in (c, theirs))
    assert least <= cost < 1.001 * least


def test_a_weak_lasso_is_found_too() -> None:
    """With α strong first, and restarts in their places; at once, the same steps end at twice the cost."""
    operator, alpha = GaussianSensing(m=90, shape=[1, 12, 12]), 1e-4
    problem = posed(operator, photo(12)[:1])
    matrix = np.stack([dctn(row.reshape(12, 12), norm="ortho").ravel() for row in operator.matrix.double().numpy()])
    y = 2 * problem.y.double().numpy() - operator.matrix.double().numpy().sum(1)
    theirs = Lasso(alpha / len(y), fit_intercept=False, tol=1e-8, max_iter=100000).fit(matrix, y).coef_
    ours = dctn(2 * lasso(problem, lambda shape: COSINES, alpha)[0].double().numpy() - 1, norm="ortho").ravel()
    cost, least = (0.5 * np.square(matrix @ each - y).sum() + alpha * np.abs(each).sum() for each in (ours, theirs))
    assert cost < 1.02 * least


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 12, 20), (3, 9, 16), (3, 16, 9)])
def test_wavelets_are_orthonormal(shape: tuple[int, ...]) -> None:
    basis, x = haar(shape), torch.rand(shape, generator=torch.Generator().manual_seed(0))
    c = basis.forward(x)
    torch.testing.assert_close(basis.inverse(c), x)
    torch.testing.assert_close(c.norm(), x.norm())


def test_sparse_pictures_beat_the_shortest() -> None:
    x = photo()
    problem = posed(SENSING, x)
    error = {name: (restored(name, problem).clamp(0, 1) - x).square().mean() for name in ("pinv", "lasso_dct", "lasso_wavelet")}
    assert error["lasso_dct"] < error["pinv"] / 4
    assert error["lasso_wavelet"] < error["pinv"] / 4


def test_total_variation_is_scikit_images_with_known_pixels_put_back() -> None:
    problem = posed(HOLE, photo())
    known = HOLE.A(torch.ones(1, 1, 32, 32))[0, 0].numpy()[..., None] > 0
    start = np.where(known, problem.y.permute(1, 2, 0).double().numpy(), 0.5)
    picture = start
    for weight in np.geomspace(0.5, 0.01, 100):
        picture = np.where(known, start, SKIMAGE.denoise_tv_chambolle(picture, weight, max_num_iter=20, channel_axis=-1))
    torch.testing.assert_close(restored("tv", problem).double(), torch.from_numpy(picture).permute(2, 0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "basis", "alpha"), [("lasso_dct", lambda shape: COSINES, 0.1), ("lasso_wavelet", haar, 1e-5)])
def test_lasso_has_the_strength_of_bora_et_al(name: str, basis: Callable[[Shape], Transform], alpha: float) -> None:
    problem = posed(SENSING, photo())
    assert torch.equal(restored(name, problem), lasso(problem, basis, alpha))
    assert not torch.equal(restored(name, problem), lasso(problem, basis, 2 * alpha)), "the strength shows here"
