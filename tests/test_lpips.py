"""LPIPS and features of networks: against the original's numbers, image by image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from states_support import biggan_discriminator_state
from torch import Tensor, nn

from priorsolve.losses import Loss, Mixture, MultiResolution, l1, prepared
from priorsolve.losses.backbones import Backbone, backbone
from priorsolve.losses.features import DiscriminatorFeatures, VGGFeatures, discriminator_features
from priorsolve.losses.lpips import LPIPS, _network
from priorsolve.losses.pictures import Resize, View
from priorsolve.losses.weights import weights_of
from priorsolve.metrics import METRICS
from priorsolve.operators.holes import Holes
from priorsolve.priors import BigGANDiscriminator, CheckpointError, DownloadError, Prior, read_state
from priorsolve.recipe.components import build_loss, check_loss
from priorsolve.solvers.latent import Latent

VGG = [("lpips", LPIPS("vgg", resolutions=3)), ("vgg_features", VGGFeatures(("relu1_2", "relu2_2"), power=2))]


@pytest.fixture(scope="session")
def real() -> None:
    """The real weights of both networks, downloaded once into the user's cache."""
    try:
        weights_of("alex")
        weights_of("vgg")
    except DownloadError as error:
        pytest.skip(f"no real weights: {error}")


def pair(count: int = 3, channels: int = 3, side: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    y = torch.nn.functional.interpolate(torch.rand(count, channels, 8, 8, generator=rng), side, mode="bicubic").clamp(0, 1)
    e = (y + 0.1 * torch.randn(y.shape, generator=rng)).clamp(0, 1)
    return e, y, torch.ones_like(y)


def with_hole(where: Tensor) -> Tensor:
    holed = where.clone()
    holed[1, :, 20:44, 10:40] = 0
    holed[2, :, :30] = 0
    return holed


def test_distances_are_the_originals(shared: Path, real: None) -> None:
    expected = load_file(shared / "reference/08d_real_lpips_backbones/expected.safetensors")
    for net in ("alex", "vgg"):
        for i in range(7):
            a, b = (expected[f"pair{i}_{side}_uint8"].float() / 255 for side in "ab")
            value = build_loss(check_loss({"lpips": {"net": net}}, "loss"), "loss")(a, b, torch.ones_like(b))
            assert value.item() == pytest.approx(expected[f"pair{i}_lpips_{net}"].item(), abs=1e-6), (net, i)


def test_features_are_the_originals(shared: Path, real: None) -> None:
    expected = load_file(shared / "reference/08d_real_lpips_backbones/expected.safetensors")
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    picture = (expected["pair0_a_uint8"].float() / 127.5 - 1 - shift) / scale
    for net, layer, name in (("alex", "relu1", "feature_alex_1"), ("vgg", "relu1_2", "feature_vgg_3")):
        (found,) = backbone(net, picture.device, picture.dtype)(picture, [layer])
        assert torch.allclose(found[:, :8], expected[f"{name}_of_pair0_a"], atol=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the package calls torchvision as it once was
def test_the_lpips_package_says_the_same(real: None) -> None:
    try:
        import lpips
    except Exception as error:  # noqa: BLE001 (a torchvision built for another torch)
        pytest.skip(f"the lpips package does not run here: {str(error)[:100]}")
    e, y, where = pair()
    for net in ("alex", "vgg"):
        original = lpips.LPIPS(pnet_rand=True, net=net, verbose=False)
        state = weights_of(net)
        slices = {key: state[f"features.{key.split('.', 1)[1]}"] for key in original.net.state_dict()}
        original.net.load_state_dict(slices)
        with torch.no_grad():
            expected = original(e, y, normalize=True).flatten()
        assert torch.allclose(LPIPS(net)(e, y, where), expected, atol=1e-6)


@pytest.mark.parametrize(("name", "loss"), [("alex", LPIPS()), ("alex, 96", LPIPS(size=96)), ("levels", MultiResolution(LPIPS(), 2)), *VGG])
def test_each_image_by_itself_downhill_and_blind_in_holes(name: str, loss: Loss, real: None) -> None:
    e, y, where = pair()
    where = with_hole(where)
    e.requires_grad_()
    values = loss(e, y, where)
    assert values.shape == (3,)
    assert (values > 0).all()
    (gradient,) = torch.autograd.grad(values.sum(), e)
    assert gradient.isfinite().all()
    assert (gradient[where == 0] == 0).all()
    step = 1e-3 * gradient / gradient.flatten(1).norm(dim=1).view(3, 1, 1, 1)
    with torch.no_grad():
        assert (loss(e - step, y, where) < values).all()
        for i in range(3):
            assert torch.allclose(loss(e[i : i + 1], y[i : i + 1], where[i : i + 1]), values[i], rtol=1e-4)
        assert torch.equal(loss(torch.where(where > 0, e, 5.0), torch.where(where > 0, y, 0), where), values)
        assert (loss(y, y, where) == 0).all()
        alone = torch.cat([prepared(loss, y[i : i + 1].clone(), where[i : i + 1].clone())(e[i : i + 1].clone()) for i in range(3)])
        assert torch.equal(prepared(loss, y, where)(e), alone)  # to the last bit, which a batch through a network is not
        torch.testing.assert_close(alone, values, rtol=1e-5, atol=1e-7)


def test_a_black_picture_has_a_gradient(real: None) -> None:
    """A vector of features that is all zero has no direction; its length must not have an infinite slope."""
    network = Backbone("vgg", {name: torch.zeros_like(value) for name, value in weights_of("vgg").items()})
    assert all((found == 0).all() for found in network(torch.rand(1, 3, 64, 64), ["relu1_2", "relu5_3"]))
    e = torch.zeros(1, 3, 64, 64, requires_grad=True)
    for net in ("alex", "vgg"):
        loss = LPIPS(net)
        (gradient,) = torch.autograd.grad(loss(e, torch.ones_like(e), torch.ones_like(e)).sum(), e)
        assert gradient.isfinite().all()


def test_gray_small_and_coarse_pictures(real: None) -> None:
    e, y, where = pair(channels=1)
    three = [tensor.expand(-1, 3, -1, -1) for tensor in (e, y, where)]
    assert torch.equal(LPIPS()(e, y, where), LPIPS()(*three))
    small = [tensor[:, :, ::4, ::4] for tensor in (e, y, where)]
    enlarged = [torch.nn.functional.interpolate(tensor, 64, mode="bilinear") for tensor in small]
    assert torch.allclose(LPIPS()(*small), LPIPS()(*enlarged))
    thinned = [torch.nn.functional.interpolate(tensor, 48, mode="nearest") for tensor in (e, y, where)]
    assert torch.allclose(LPIPS("vgg", size=48, resize="nearest")(e, y, where), LPIPS("vgg", size=48)(*thinned))
    halves = [torch.nn.functional.avg_pool2d(tensor, 2) for tensor in (e, y, where)]
    both = LPIPS("vgg")(e, y, where) + LPIPS("vgg", size=32)(*halves)
    assert torch.allclose(LPIPS("vgg", resolutions=9)(e, y, where), both)  # 64 and 32; 16 says nothing new
    assert torch.equal(LPIPS("vgg", resolutions=2)(e, y, where), LPIPS("vgg", resolutions=9)(e, y, where))
    coarse = [torch.nn.functional.avg_pool2d(tensor, 2) for tensor in thinned]  # 24, which is enlarged to the network's least
    assert torch.allclose(LPIPS(resolutions=2)(*thinned), LPIPS()(*thinned) + LPIPS(size=32)(*coarse))


def test_sizes_are_reached_as_interpolate_does() -> None:
    def shown(picture: Tensor, size: int, resize: Resize) -> Tensor:
        return View("test", size, resize=resize).through(torch.ones_like(picture))(picture)[0]

    small, large = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)), pair(side=256)[1]
    area = partial(torch.nn.functional.interpolate, mode="area")
    for resize in get_args(Resize):
        mode = "nearest" if resize == "nearest" else "area"
        assert torch.equal(shown(large, 96, resize), torch.nn.functional.interpolate(large, 96, mode=mode))
    assert torch.equal(shown(small, 256, "smooth"), torch.nn.functional.interpolate(small, (256, 384), mode="bilinear"))
    assert torch.equal(shown(small, 100, "area"), area(small, (100, 150)))
    assert torch.equal(shown(small, 256, "area"), torch.nn.functional.interpolate(small, scale_factor=4, mode="nearest"))
    assert torch.equal(shown(small, 256, "shrink"), small)
    assert torch.equal(shown(small, 32, "shrink"), area(small, (32, 48)))
    tiny = small[:, :, :16, :16]
    assert torch.equal(shown(tiny, 256, "shrink"), torch.nn.functional.interpolate(tiny, 64, mode="bilinear"))


def test_holes_show_the_same_pattern_in_every_picture() -> None:
    e, y, where = pair()
    lens = View("test", resolutions=2).through(with_hole(where))
    first, second = lens(e * with_hole(where))[0], lens(y)[0]
    hole = with_hole(where) == 0
    assert torch.equal(first[hole], second[hole])
    assert first[hole].mean().item() == pytest.approx(0.25, abs=0.02)
    assert first[hole].std().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(second[~hole], y[~hole])
    half = torch.where(torch.arange(64) % 2 == 0, 1.0, 0.0).expand(1, 1, 64, 64)
    assert View("test", resolutions=2).through(half)(half)[1].std() > 0.2  # a half-known pixel shows half of the pattern


def test_a_fill_is_what_holes_show(real: None) -> None:
    """BRGM's program writes 1.0 (of 255) into both pictures, mGANprior's and DGP's mid-grey, before any network sees them."""
    e, y, where = pair()
    where = with_hole(where)
    whole = torch.ones_like(where)
    for fill in (1 / 255, 0.5):
        shown = [torch.where(where > 0, picture, fill) for picture in (e, y)]
        pairs: list[tuple[Loss, Loss]] = [
            (LPIPS("vgg", size=96, resize="area", fill=fill), LPIPS("vgg", size=96, resize="area")),
            (LPIPS(resolutions=2, fill=fill), LPIPS(resolutions=2)),
            (VGGFeatures(size=96, resize="nearest", fill=fill), VGGFeatures(size=96, resize="nearest")),
        ]
        for loss, plain in pairs:
            torch.testing.assert_close(loss(e, y, where), plain(shown[0], shown[1], whole), rtol=1e-4, atol=1e-7)
            assert not torch.allclose(loss(e, y, where), plain(e, y, where), rtol=1e-3)
    with pytest.raises(ValueError, match="fill is 128; it must be from 0 to 1, or left out"):
        LPIPS(fill=128)


def test_vgg_features_are_their_formula(real: None) -> None:
    e, y, where = pair(side=32)
    mean, spread = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    network = backbone("vgg", e.device, e.dtype)
    big = [torch.nn.functional.interpolate(tensor, 64, mode="nearest") for tensor in (e, y)]
    found, wanted = (network((tensor - mean) / spread, ["relu1_1", "relu3_2"]) for tensor in big)
    loss = VGGFeatures(["relu1_1", "relu3_2"], power=2, size=64, resize="nearest")
    expected = sum(((a - b) ** 2).flatten(1).mean(1) for a, b in zip(found, wanted, strict=True))
    assert torch.allclose(loss(e, y, where), torch.as_tensor(expected), rtol=1e-5)


class Pools(nn.Module):
    """Stands for a discriminator: means over larger and larger squares, but while it is trained only some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.some = nn.Parameter(torch.ones(())), nn.Dropout()

    def features(self, images: Tensor) -> list[Tensor]:
        return [self.some(self.gain * torch.nn.functional.avg_pool2d(images, side)) for side in (1, 2, 4)]


def test_discriminator_features_are_their_formula() -> None:
    e, y, where = pair(side=16)
    network = Pools()
    loss = DiscriminatorFeatures(network, last=2, size=16)
    expected = sum((torch.nn.functional.avg_pool2d(e - y, side)).abs().flatten(1).mean(1) for side in (2, 4))
    assert torch.allclose(loss(e, y, where), torch.as_tensor(expected), atol=1e-6)
    assert torch.allclose(loss(e.double(), y.double(), where.double()).float(), loss(e, y, where), atol=1e-6)
    assert network.gain.requires_grad  # what was given is as it was
    assert network.training
    assert network.gain.dtype == torch.float32
    with pytest.raises(ValueError, match="last is 4, and the discriminator has 3 features"):
        DiscriminatorFeatures(network, last=4, size=16)(e, y, where)


@pytest.mark.parametrize("given", [None, "D.pth", Pools, nn.Conv2d(3, 3, 1), lambda images: [images]])
def test_what_is_no_discriminator_is_told_at_once(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^discriminator is .*; give a module whose `features\(images\)` lists what it makes of them"):
        DiscriminatorFeatures(given)


class Makes(nn.Module):
    """A discriminator whose features are what a function makes of pictures."""

    def __init__(self, features: Any) -> None:
        super().__init__()
        self.features = features


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda x: {"first": x}, r"are a dict; they must be a list of tensors \(B, \.\.\.\)"),
        (lambda x: x, "are a Tensor; they must be"),
        (lambda x: [x, x.mean()], r"of 2 images is of shape \(\); it must be a tensor \(2, \.\.\.\)"),
        (lambda x: [x, x[:1]], r"of 2 images is of shape \(1, 3, 16, 16\); it must be"),
        (lambda x: [x.tolist(), x], "of 2 images is a list; it must be"),
    ],
)
def test_features_that_are_no_list_of_each_images_are_told(made: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"discriminator's features {message}"):
        DiscriminatorFeatures(Makes(made), last=1, size=16)(*pair(count=2, side=16))


def test_a_feature_may_be_one_number_for_each_image() -> None:
    e, y, where = pair(side=16)
    loss = DiscriminatorFeatures(Makes(lambda x: (x, x.mean((1, 2, 3)))), last=1, size=16)
    torch.testing.assert_close(loss(e, y, where), (e.mean((1, 2, 3)) - y.mean((1, 2, 3))).abs())


def test_the_discriminator_of_a_file(shared: Path) -> None:
    cases = [path for path in sorted((shared / "reference").glob("*/*")) if path.suffix in (".pth", ".pt")]
    found = [path for path in cases if "embed.weight" in (state := tensors(path)) and "linear.u0" in state]
    if not found:
        pytest.skip("no discriminator among the reference cases")
    built = build_loss(check_loss({"discriminator_features": {"file": str(found[0]), "last": 2, "weight": 0.5}}, "loss"), "loss")
    assert isinstance(built, Mixture)
    ((loss, weight),) = built.parts
    assert isinstance(loss, DiscriminatorFeatures)
    assert weight == 0.5
    blocks = sum(1 for name in tensors(found[0]) if name.endswith(".0.conv_sc.weight"))
    assert loss.size == 4 * 2**blocks
    e, y, where = pair(count=2, side=32)
    network = BigGANDiscriminator.from_state(read_state(found[0]))
    side = [torch.nn.functional.interpolate(tensor, loss.size, mode="bilinear") for tensor in (e, y)]
    features = [network.features(tensor)[-2:] for tensor in side]
    expected = sum((a - b).abs().flatten(1).mean(1) for a, b in zip(*features, strict=True))
    assert torch.allclose(built(e, y, where), 0.5 * torch.as_tensor(expected), rtol=1e-4)
    with pytest.raises(ValueError, match="last is 99, and the discriminator has"):
        discriminator_features(str(found[0]), last=99)


def tensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_state(path)
    except CheckpointError:
        return {}


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: LPIPS("alexnet"), "net is 'alexnet'; it must be one of alex, vgg"),  # type: ignore[arg-type]
        (lambda: LPIPS(size=48, resize="bilnear"), "resize is 'bilnear'; it must be one of smooth, shrink, area, nearest"),  # type: ignore[arg-type]
        (lambda: VGGFeatures(resize="Area"), "resize is 'Area'; it must be one of"),  # type: ignore[arg-type]
        (lambda: LPIPS(size=48.5), "size is 48.5; it must be a whole number"),  # type: ignore[arg-type]
        (lambda: LPIPS(resolutions=0), "resolutions is 0; it must be at least 1"),
        (lambda: LPIPS(size=16), "size is 16; this network needs pictures of at least 32 pixels"),
        (lambda: VGGFeatures(("relu3_4",)), "layers has 'relu3_4'; VGG16's are relu1_1, relu1_2"),
        (lambda: VGGFeatures(()), "layers is empty"),
        (lambda: VGGFeatures("relu3_3"), r"layers is 'relu3_3'; give a list of names, such as \['relu3_3'\]"),
        (lambda: VGGFeatures(5), r"layers is 5; give a list of names, such as \['relu3_3'\]"),  # type: ignore[arg-type]
        (lambda: VGGFeatures(power=3), "power is 3; it must be one of 1, 2"),  # type: ignore[arg-type]
        (lambda: DiscriminatorFeatures(Pools(), last=0), "last is 0"),
        (lambda: View("lpips").through(torch.ones(2, 100)), r"lpips compares pictures .* and the measurement is \(100,\); use l2"),
        (lambda: View("lpips").through(torch.ones(2, 5, 8, 8)), r"the measurement is \(5, 8, 8\); use l2"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_losses_are_values() -> None:
    assert LPIPS("vgg", 2) == LPIPS("vgg", 2) != LPIPS("vgg")
    assert len({LPIPS(), LPIPS(), VGGFeatures(["relu1_1"]), VGGFeatures(("relu1_1",))}) == 2
    assert Mixture([(l1, 1), (LPIPS(), 0.5)]) == Mixture([(l1, 1), (LPIPS(), 0.5)])


def test_the_metric_is_the_loss(real: None) -> None:
    e, y, where = pair()
    metric = METRICS["lpips"]
    metric.fetch()
    assert torch.allclose(metric(e, y), LPIPS()(e, y, where))
    assert (metric.higher_is_better, metric.range[0]) == (False, 0.0)
    assert torch.allclose(metric(e[:, :1], y[:, :1]), LPIPS()(e[:, :1], y[:, :1], where[:, :1]))


def test_no_random_numbers_are_used_up(real: None) -> None:
    before = torch.get_rng_state()
    backbone.cache_clear()
    VGGFeatures()(*pair())
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_does_not_depend_on_its_neighbours(digiface64: Prior, real: None) -> None:
    """One row is left of each single photo in the end, three of the batch: torch must not round them differently."""
    images = digiface64.decode(digiface64.sample(3, torch.Generator().manual_seed(5), "z"), "z").detach()
    operator = Holes(boxes=[[0.3, 0.3, 0.7, 0.7]])
    y = operator.A(images)
    solver = Latent(digiface64, steps=4, restarts=2, candidates=2, loss=Mixture([(l1, 1.0), (LPIPS("vgg", resolutions=2), 0.5)]))
    together = solver(y, operator, seeds=[1, 2, 3])
    for i in range(3):
        alone = solver(y[i : i + 1], operator, seeds=[i + 1])
        assert (alone.images - together.images[i]).abs().max() < 1e-5
        assert alone.misfit.item() == pytest.approx(together.misfit[i].item(), rel=1e-5)


def test_a_fill_is_what_discriminators_see_in_holes(tmp_path: Path) -> None:
    class Squares(nn.Module):  # of which what holes show counts
        def features(self, images: Tensor) -> list[Tensor]:
            return [torch.nn.functional.avg_pool2d(images, 8).square()]

    e, y, where = pair()
    where = with_hole(where)
    shown = [torch.where(where > 0, picture, 0.5) for picture in (e, y)]
    plain = DiscriminatorFeatures(Squares(), last=1, size=64)(shown[0], shown[1], torch.ones_like(where))
    torch.testing.assert_close(DiscriminatorFeatures(Squares(), last=1, size=64, fill=0.5)(e, y, where), plain)


def test_a_discriminator_of_a_file_has_its_fill(tmp_path: Path) -> None:
    torch.save(biggan_discriminator_state(), tmp_path / "D.pth")
    assert discriminator_features(str(tmp_path / "D.pth"), last=2, fill=0.5).fill == 0.5


@pytest.mark.parametrize("loss", [LPIPS(), DiscriminatorFeatures(Pools(), size=64, last=2)], ids=["lpips", "discriminator"])
def test_networks_met_first_in_inference_mode_let_gradients_through(loss: Any, real: None) -> None:
    """As where a metric is measured before a search has the same features for its loss."""
    _network.cache_clear()
    backbone.cache_clear()
    e, y, where = pair(count=1)
    with torch.inference_mode():
        loss(e, y, where)
    (gradient,) = torch.autograd.grad(loss(e.requires_grad_(), y, where).sum(), e)
    assert float(gradient.abs().max()) > 0
