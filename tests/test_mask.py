"""Holes are where they were promised, at any size, and errors show the way out."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from priorsolve.operators.base import LinearOperator
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.drawing import BRUSHES, Half, Thickness, draw_picture, draw_strokes
from priorsolve.operators.gray import Gray
from priorsolve.operators.holes import Holes
from priorsolve.operators.lines import Lines
from priorsolve.operators.mask import Mask, join_masks


def shown(operator: Holes, height: int, width: int) -> torch.Tensor:
    """The mask values, (H, W): what is left of a white picture."""
    return operator.A(torch.ones(1, 1, height, width))[0, 0]


def saved(path: Path, values: np.ndarray) -> str:
    Image.fromarray(values).save(path)
    return str(path)


@pytest.fixture
def box_file(tmp_path: Path) -> str:
    """20 wide, 10 tall; a white hole from column 5 to 10 and row 2 to 4, and one gray pixel in the corner."""
    values = np.zeros((10, 20), np.uint8)
    values[2:4, 5:10] = 255
    values[0, 0] = 102
    return saved(tmp_path / "mask.png", values)


def test_a_mask_keeps_the_known_and_empties_the_hole() -> None:
    known = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    x = torch.full((2, 3, 2, 2), 0.8)
    A = Mask(known)
    torch.testing.assert_close(A.A(x)[1, 2], torch.tensor([[0.8, 0.0], [0.4, 0.8]]))
    torch.testing.assert_close(A.A_dagger(A.A(x))[1, 2], torch.tensor([[0.8, 0.0], [0.8, 0.8]]))
    inside = torch.tensor([[1.0, 1.0], [1.0, 0.0]]).expand(2, 3, 2, 2)
    assert A.support(inside)[0, 0].tolist() == [[1, 0], [1, 0]]
    assert repr(A) == "Mask(2×2, 25% missing)"


def test_a_mask_per_image_goes_with_its_image() -> None:
    known = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    A, x = Mask(known), torch.ones(3, 3, 4, 5)
    assert A.batch == 3
    assert Mask(known[:1]).batch is None
    assert torch.equal(A.select(torch.tensor([2, 0])).A(x[:2]), known[[2, 0]].float().expand(2, 3, 4, 5))
    with pytest.raises(ValueError, match="has parameters for 3 images, got a batch of 2"):
        A.A(x[:2])


def test_a_mask_is_safe_from_its_maker() -> None:
    known = torch.ones(2, 2)
    A = Mask(known)
    known.zero_()
    assert A.known.sum() == 4


def test_masks_for_different_numbers_of_images_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"^Mask\(.*\) @ Mask\(.*\): its parts are for different numbers of images: \['2', '3'\]$"):
        (Mask(torch.ones(3, 1, 4, 4)) @ Mask(torch.ones(2, 1, 4, 4))).A(torch.ones(2, 1, 4, 4))


def test_joined_masks_are_the_single_ones_in_order() -> None:
    singles = [Holes(half="left"), Mask(torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0))), Holes(pixels=0.5, seed=3)]
    A, x = join_masks(singles, (3, 4, 6)), torch.rand(3, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    assert A.batch == 3
    assert torch.equal(A.A(x), torch.cat([single.A(x[i : i + 1]) for i, single in enumerate(singles)]))
    assert join_masks(singles[:1], (3, 4, 6)).known.shape == (1, 1, 4, 6)
    with pytest.raises(ValueError, match=r"^join_masks: expected at least one mask"):
        join_masks([], (3, 4, 6))
    with pytest.raises(ValueError, match=r"expected images of shape \(B, 3, 4, 6\), got \(B, 3, 4, 8\)"):
        join_masks(singles, (3, 4, 8))
    with pytest.raises(ValueError, match=r"^join_masks: Gray\(.*\) is no mask; it joins Mask, Holes and Lines$"):
        join_masks([Gray()], (3, 4, 6))  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("side", "missing"),
    [("left", np.s_[:, :4]), ("right", np.s_[:, 5:]), ("top", np.s_[:3]), ("bottom", np.s_[3:])],
)
def test_half(side: Half, missing: Any) -> None:
    expected = torch.ones(6, 9)
    expected[missing] = 0
    assert torch.equal(shown(Holes(half=side), 6, 9), expected)


@pytest.mark.parametrize("boxes", [[[0.25, 0.5, 0.75, 1.0]], [[2, 3, 6, 6]]])
def test_boxes_in_fractions_and_in_pixels(boxes: list[list[float]]) -> None:
    expected = torch.ones(6, 8)
    expected[3:6, 2:6] = 0
    assert torch.equal(shown(Holes(boxes=boxes), 6, 8), expected)


def test_a_small_box_does_not_vanish() -> None:
    assert shown(Holes(boxes=[[0.999, 0.5, 1, 0.501]]), 8, 8).sum() == 63


def test_pixels_are_the_promised_number_and_seeded() -> None:
    assert (shown(Holes(pixels=0.3), 20, 10) == 0).sum() == 60
    assert torch.equal(shown(Holes(pixels=0.3, seed=1), 20, 10), shown(Holes(pixels=0.3, seed=1), 20, 10))
    assert not torch.equal(shown(Holes(pixels=0.3, seed=1), 20, 10), shown(Holes(pixels=0.3, seed=2), 20, 10))


@pytest.mark.parametrize(("strokes", "least", "most"), [("thin", 0.08, 0.2), ("medium", 0.12, 0.36), ("thick", 0.1, 0.5)])
def test_strokes_cover_a_part_and_look_the_same_at_any_size(strokes: Thickness, least: float, most: float) -> None:
    for seed in range(5):
        small, large = (shown(Holes(strokes=strokes, seed=seed), side, side) for side in (64, 192))
        assert least < 1 - large.mean() < most
        assert (small != large[1::3, 1::3]).sum() <= 4  # the same shape, looked at in the same points
    assert not torch.equal(small, shown(Holes(strokes=strokes, seed=0), 64, 64))


def test_strokes_are_what_a_walk_with_a_round_brush_covers() -> None:
    """The walk is on a unit square, however wide the picture; the brush is as wide as it is tall."""
    brush, rng, (y, x) = BRUSHES["medium"], Random(4), np.mgrid[:20, :60] + 0.5
    covered = np.zeros((20, 60), bool)
    for _ in range(brush.strokes):
        at, heading, radius = (rng.random(), rng.random()), rng.uniform(0, math.tau), rng.uniform(*brush.radius) * math.sqrt(20 * 60)
        for _ in range(rng.randint(*brush.joints)):
            angle, step = heading + rng.uniform(-1.2, 1.2), rng.uniform(*brush.step)
            ahead = at[0] + step * math.cos(angle), at[1] + step * math.sin(angle)
            to = 1 - abs(1 - abs(ahead[0])), 1 - abs(1 - abs(ahead[1]))  # as a ball from the walls
            start, way = complex(60 * at[0], 20 * at[1]), complex(60 * (to[0] - at[0]), 20 * (to[1] - at[1]))
            along = (((x + 1j * y - start) / way).real).clip(0, 1)
            covered |= abs(x + 1j * y - start - along * way) <= radius
            at = to
    assert torch.equal(draw_strokes(20, 60, thickness="medium", seed=4), torch.from_numpy(covered).float())
    assert covered.sum() == 355


def test_several_descriptions_are_united() -> None:
    both = shown(Holes(half="left", pixels=0.5, boxes=[[0.5, 0, 1, 0.5]]), 8, 8)
    one_by_one = [shown(holes, 8, 8) for holes in (Holes(half="left"), Holes(pixels=0.5), Holes(boxes=[[0.5, 0, 1, 0.5]]))]
    assert torch.equal(both, torch.stack(one_by_one).amin(0))


def test_a_file_is_stretched_and_its_grays_are_soft_edges(box_file: str) -> None:
    same = shown(Holes(file=box_file), 10, 20)
    assert (same[2:4, 5:10] == 0).all()
    assert (same == 0).sum() == 10
    assert same[0, 0] == pytest.approx(0.6)
    assert torch.equal(shown(Holes(file=box_file), 30, 60), same.repeat_interleave(3, 0).repeat_interleave(3, 1))
    assert torch.equal(shown(Holes(file=box_file, hole="black"), 10, 20) == 1, same == 0)


def test_a_file_of_another_shape_is_refused(box_file: str) -> None:
    A = Holes(file=box_file)
    assert A.out_shape((3, 101, 201)) == (3, 101, 201)
    with pytest.raises(ValueError, match=r"^Holes\(file=.*mask.png\): .*mask.png is 20×10 but the picture is 64×64, another shape; crop"):
        A.A(torch.zeros(1, 3, 64, 64))


def test_kinds_of_files(tmp_path: Path) -> None:
    hole = np.zeros((4, 4), bool)
    hole[1:3, 1:3] = True
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[hole] = 255
    files = {
        "bits.png": hole,
        "deep.png": hole.astype(np.uint16) * 65535,
        "colours.png": hole[..., None].repeat(3, 2).astype(np.uint8) * 255,
        "clear.png": clear,
        **{f"ones.{kind}": hole.astype(np.uint8) for kind in ("png", "tif", "bmp", "pgm", "gif")},
        "deep_ones.png": hole.astype(np.uint16),
        "deep_bytes.png": hole.astype(np.uint16) * 255,
        "floats.tif": hole.astype(np.float32),
    }
    for name, values in files.items():
        assert torch.equal(shown(Holes(file=saved(tmp_path / name, values)), 4, 4) == 0, torch.from_numpy(hole)), name


def test_what_lies_behind_what_is_transparent_is_known(tmp_path: Path) -> None:
    file = saved(tmp_path / "clear.png", np.array([[[0, 0, 0, 255], [255, 255, 255, 255], [0, 0, 0, 0], [255, 255, 255, 0]]], np.uint8))
    assert shown(Holes(file=file, hole="black"), 1, 4).tolist() == [[0, 1, 1, 1]]
    assert shown(Holes(file=file, hole="white"), 1, 4).tolist() == [[1, 0, 1, 1]]


def test_a_file_of_floats_is_held_in_its_range_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    file = saved(tmp_path / "floats.tif", np.array([[np.nan, 2, -1, 1, np.inf, 0.5]], np.float32))
    assert shown(Holes(file=file), 1, 6).tolist() == [[1, 0, 1, 0, 0, 0.5]]


def test_the_specks_of_jpeg_are_no_holes(tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.uint8)
    values[10:21, 11:22] = 255  # edges within JPEG's blocks of 8×8, which ring
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=95)
    read = np.asarray(Image.open(tmp_path / "mask.jpg"))
    assert ((read > 0) & (read < 255)).any()
    mask = shown(Holes(file=str(tmp_path / "mask.jpg")), 32, 32)
    assert torch.equal(mask == 0, torch.from_numpy(values > 0))
    assert torch.equal(mask == 1, torch.from_numpy(values == 0))


def test_a_file_of_16_bits_has_soft_edges_and_specks_too(tmp_path: Path) -> None:
    levels = np.array([[65535, 32768, 1000, 0]], np.uint16).repeat(4, 0)
    mask = shown(Holes(file=saved(tmp_path / "deep.png", levels)), 4, 4)
    torch.testing.assert_close(mask[0], torch.tensor([0, 1 - 32768 / 65535, 1, 1]))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_file_in_which_0_is_white_shows_what_is_white(tmp_path: Path, kind: type) -> None:
    shade: np.ndarray[Any, Any] = np.full((4, 4), np.iinfo(kind).max, kind)
    shade[1:3, 1:3] = 0
    tifffile.imwrite(tmp_path / "mask.tif", shade, photometric="miniswhite")
    for hole in ("white", "black"):
        mask = shown(Holes(file=str(tmp_path / "mask.tif"), hole=hole), 4, 4)
        assert torch.equal(mask == 0, torch.from_numpy((shade == 0) == (hole == "white"))), hole


def test_a_file_is_turned_as_its_tag_says(tmp_path: Path) -> None:
    values, exif = np.zeros((4, 6), np.uint8), Image.Exif()
    values[0] = 255
    exif[274] = 6  # to be turned by 90° clockwise: the top row is the right column
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    expected = torch.ones(6, 4)
    expected[:, 3] = 0
    assert torch.equal(shown(Holes(file=str(tmp_path / "a.png")), 6, 4), expected)


def test_of_a_larger_file_the_pixels_nearest_to_the_centres_count() -> None:
    assert draw_picture(2, 2, picture=torch.arange(16.0).view(4, 4)).tolist() == [[5, 7], [13, 15]]


def test_holes_pickle_and_follow_the_type(box_file: str) -> None:
    A = Holes(file=box_file, strokes="thin", seed=4)
    again = pickle.loads(pickle.dumps(A))
    assert torch.equal(shown(again, 10, 20), shown(A, 10, 20))
    assert A.A(torch.ones(1, 3, 10, 20, dtype=torch.float64)).dtype == torch.float64
    assert repr(A) == f"Holes(file={box_file}, strokes=thin, seed=4)"


def test_masks_met_first_in_inference_mode_serve_training_too() -> None:
    A, x = Holes(half="top"), torch.ones(1, 3, 6, 6, requires_grad=True)
    with torch.inference_mode():
        A.A(x)
    A.A(x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.sum() == 54


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(torch.ones(3)), r"^Mask: expected a mask of shape .*, got \(3,\)$"),
        (lambda: Mask(np.ones((4, 4))), "^Mask: expected a mask as a tensor, got a ndarray; torch.as_tensor"),  # type: ignore[arg-type]
        (lambda: Mask(torch.full((2, 2), 255)), r"^Mask: values must lie in \[0, 1\], 1 where a pixel is known, got 255 to 255"),
        (lambda: Mask(torch.ones(2, 2) * 1j), "^Mask: expected a dense tensor of real numbers, got complex numbers; .real or .to_dense"),
        (lambda: Mask(torch.eye(4).to_sparse()), "^Mask: expected a dense tensor of real numbers, got a layout of torch.sparse_coo; "),
        (
            lambda: Mask(torch.ones(4, 4)).A(torch.ones(1, 3, 5, 4)),
            r"^Mask\(4×4, 0% missing\): expected .* \(B, C, 4, 4\), got \(B, 3, 5, 4\)$",
        ),
        (Holes, "^Holes: no hole is described; give at least one of file, boxes, strokes, pixels, half, alpha, colour, scratches$"),
        (lambda: Holes(boxes=[]), "^Holes: no hole is described"),
        (lambda: Holes(pixels=1.5), "^Holes: pixels is the fraction of pixels lost, between 0 and 1, got 1.5$"),
        (lambda: Holes(boxes=[[0.5, 0, 0.2, 1]]), r"^Holes: a box is \[left, top, right, bottom\] .*, got \[0.5, 0, 0.2, 1\]$"),
        (lambda: Holes(boxes=[[0, 0, 9, 4]]).out_shape((3, 16, 8)), r"box \[0, 0, 9, 4\] reaches beyond the picture, 8×16; give fractions"),
        (lambda: Holes(strokes="fat"), "^Holes: there are no strokes 'fat'; choose one of thin, medium, thick$"),  # type: ignore[arg-type]
        (lambda: Holes(strokes=["thin"]), r"^Holes: there are no strokes \['thin'\]; choose one of thin, medium, thick$"),  # type: ignore[arg-type]
        (lambda: Holes(half="lower"), "^Holes: there is no half 'lower'; choose one of left, right, top, bottom$"),  # type: ignore[arg-type]
        (lambda: Holes(file="mask.png", hole="gray"), r"^Holes: hole is the colour of the holes in the file, white or black, got 'gray'$"),  # type: ignore[arg-type]
        (
            lambda: Holes(file="no/such.png"),
            "^Holes: cannot read the mask no/such.png: .*; give one that is there: a path starts .*, with --set in the working folder$",
        ),
        (lambda: Holes(file=str(Path(__file__).parent)), "^Holes: .*tests is a folder; file: '.*tests/{stem}.png' takes from it"),
        (lambda: Holes(file=__file__), "^Holes: cannot read the mask .*test_mask.py: cannot identify image file"),
        (lambda: Holes(file="m\0"), "^Holes: cannot read the mask m\0: embedded null byte$"),
        (lambda: Holes(file="m" * 5000), "^Holes: cannot read the mask mmm.*: File name too long$"),
        (lambda: Holes(colour=5), "^Holes: 5 is no colour; write it as '#ff00ff', with quotes"),  # type: ignore[arg-type]
        (lambda: Holes(alpha=True, tolerance="x"), "^Holes: tolerance is how far each channel may be off, from 0 to 1, got 'x'$"),  # type: ignore[arg-type]
        (lambda: Holes(alpha=True, grow=None), "^Holes: grow is by how many pixels painted places are widened, from 0 to 64, got None$"),  # type: ignore[arg-type]
        (lambda: Holes(alpha=True, grow=1.5), "^Holes: grow is by how many pixels .*, got 1.5$"),  # type: ignore[arg-type]
    ],
)
def test_errors(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_file_is_found_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "m.png", np.eye(4, dtype=np.uint8) * 255)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert torch.equal(shown(Holes(file="~/m.png"), 4, 4), 1 - torch.eye(4))


def test_a_mask_that_hides_everything_is_refused(tmp_path: Path) -> None:
    file = saved(tmp_path / "white.png", np.full((4, 4), 255, np.uint8))
    with pytest.raises(ValueError, match=r"white.png is one big hole \(white everywhere\); see that hole: names the colour"):
        Holes(file=file)


def test_what_lies_in_a_hole_is_no_part_of_a_composition_s_pseudo_inverse_either() -> None:
    known = torch.ones(2, 1, 8, 8)
    known[..., 2:5, 3:6] = 0
    operator = Mask(known) @ Gray() @ Downsample(2)
    assert isinstance(operator, LinearOperator)
    y = operator.A(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    for hole in (torch.nan, torch.inf, 7.0):
        dirty = torch.where(known > 0, y, hole)
        torch.testing.assert_close(operator.A_dagger(dirty), operator.A_dagger(y))
    assert bool(operator.A_dagger(torch.where(known > 0, torch.nan, y)).isnan().any()), "what was measured counts"
    y[1, 0, 0, 0] = torch.nan
    unknown = operator.A_dagger(y).isnan().flatten(1)
    assert unknown.all(1).tolist() == unknown.any(1).tolist() == [False, True], "for the picture it belongs to"


@pytest.mark.parametrize("kind", [torch.float32, torch.bool])
@pytest.mark.parametrize("each", [1, 2])
def test_a_mask_made_in_inference_mode_serves_a_solve(kind: torch.dtype, each: int) -> None:
    with torch.inference_mode():
        given = (torch.arange(64 * each).view(each, 1, 8, 8) % 3 > 0).to(kind)
        masks = Mask(given), Mask(given).select(torch.tensor([0] * 2)), join_masks([Mask(given[:1]), Holes(half="left")], (3, 8, 8))
    for mask in masks:
        x = torch.rand(2, 3, 8, 8, requires_grad=True)
        assert torch.autograd.grad(mask.A(x).sum(), x)[0].sum() > 0


def test_a_thousand_strokes_are_the_most() -> None:
    assert not Lines(1000).A(torch.ones(1, 1, 4, 4)).any()
    with pytest.raises(ValueError, match="from 1 to 1000, got 1001"):
        Lines(1001)


def test_which_pixels_a_seed_takes() -> None:
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    known = Holes(pixels=0.3, seed=1).A(torch.ones(1, 1, 20, 10))[0, 0]
    assert torch.equal(known == 0, (order < 60).view(20, 10))


def test_a_black_jpeg_has_no_hole_whatever_its_specks(tmp_path: Path) -> None:
    Image.new("L", (16, 16), 1).save(tmp_path / "m.jpg")
    assert float(Holes(file=str(tmp_path / "m.jpg")).A(torch.ones(1, 1, 16, 16)).min()) == 1
