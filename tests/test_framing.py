"""Frames: where they lie, what is cut out of a photo, and what is laid back."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import skimage.data
import torch
from kornia.color import rgb_to_lab
from torch import Tensor

from priorsolve.framing import (
    Box,
    Frame,
    Landmarks,
    Patch,
    Rounded,
    Whole,
    continued,
    cut,
    cut_known,
    face_frame,
    fill,
    filled,
    lay,
    paste,
    tile_frames,
)
from priorsolve.framing.colour import of_head
from priorsolve.framing.frame import centres

DATA: Any = skimage.data


@cache
def photo() -> Tensor:
    """(3, 300, 451), a cat."""
    return torch.from_numpy(DATA.chelsea()).permute(2, 0, 1) / 255


def turned(x: float, y: float, side: float, degrees: float) -> Frame:
    right = (math.cos(math.radians(degrees)) * side / 2, math.sin(math.radians(degrees)) * side / 2)
    return Frame((x, y), right, (-right[1], right[0]))


FRAMES = [turned(200, 140, 160, 20), turned(225, 150, 90, -75), turned(60, 40, 200, 5), Frame.of_box(10, 20, 310, 120)]


@pytest.mark.parametrize("frame", FRAMES)
def test_to_the_photo_and_back(frame: Frame) -> None:
    points = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (frame.from_photo(frame.to_photo(points)) - points).abs().max() < 1e-12
    assert (frame.scaled(3).to_photo(points) - 3 * frame.to_photo(points)).abs().max() < 1e-9
    left, top, right, bottom = frame.box
    corners = frame.to_photo(torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64))
    assert corners.amin(0).tolist() == pytest.approx([left, top])
    assert corners.amax(0).tolist() == pytest.approx([right, bottom])


def test_the_square_of_ffhq_by_hand() -> None:
    upright = face_frame(Landmarks((40, 50), (60, 50), (43, 80), (57, 80)))
    # eyes are 20 apart, the mouth 30 below: the axis is (20 + 30, 0), half the side max(2 · 20, 1.8 · 30)
    assert upright.centre == pytest.approx((50, 53))
    assert upright.right == pytest.approx((54, 0))
    assert upright.down == pytest.approx((0, 54))
    lying = face_frame(Landmarks((50, 40), (50, 60), (20, 43), (20, 57)))
    assert lying.degrees == pytest.approx(90)
    with pytest.raises(ValueError, match="different places"):
        face_frame(Landmarks((1, 1), (1, 1), (1, 1), (1, 1)))


def test_whole_pixels_are_copied_and_mirrored_beyond_the_edge() -> None:
    inside = cut(photo(), Frame.of_box(30, 40, 94, 104), (64, 64))
    assert torch.equal(inside, photo()[:, 40:104, 30:94])
    beyond = cut(photo(), Frame.of_box(-10, -20, 54, 44), (64, 64))
    assert torch.equal(beyond[:, 20:, 10:], photo()[:, :44, :54])
    assert torch.equal(beyond[:, :20, 10:], photo()[:, :20, :54].flip(1))


def test_a_large_frame_is_shrunk_without_aliasing() -> None:
    board = ((torch.arange(512)[:, None] + torch.arange(512)) % 2).float()[None]
    for frame in (turned(256, 256, 400, 0), turned(256, 256, 400, 30)):
        small = cut(board, frame, (64, 64))
        assert (small - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("frame", FRAMES)
def test_a_smooth_picture_is_itself_after_cut_and_lay(frame: Frame) -> None:
    x = centres(300, 451)
    smooth = torch.stack([torch.sin(x[..., 0] / 40), torch.cos(x[..., 1] / 50), torch.sin((x[..., 0] + x[..., 1]) / 60)]).float() / 2 + 0.5
    back = lay(cut(smooth, frame, (128, 128)), frame, (300, 451))
    inside = (frame.from_photo(x).abs().amax(-1) < 0.9) & (frame.grown(0.9).from_photo(x).abs().amax(-1) < 1)
    inside &= (x[..., 0] > 8) & (x[..., 1] > 8)
    assert (back - smooth)[:, inside].abs().max() < 1 / 255


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("side", [32, 128, 400])
def test_what_is_known_has_seen_no_hole(frame: Frame, side: int) -> None:
    known = (torch.rand(1, 300, 451, generator=torch.Generator().manual_seed(1)) > 0.004).float()
    seen = [cut(torch.where(known > 0, photo(), hole), frame, (side, side)) for hole in (0.0, 100.0)]
    mask = cut_known(known, frame, (side, side))
    assert bool(((mask == 0) | (mask == 1)).all())
    assert ((seen[0] - seen[1]).abs() * mask).max() < 100 * 1e-3
    if side >= 128:
        assert 0.1 < mask.mean() < 1  # and it is not simply everything


def test_enlarged_a_soft_edge_is_no_known_pixel() -> None:
    known = torch.ones(1, 32, 32)
    known[0, 16, 16] = 0.5
    mask = cut_known(known, Frame.of_box(8.5, 8.5, 24.5, 24.5), (16, 16))
    assert mask[0, 7:9, 7:9].max() == 0
    assert mask[0, 0, 0] == 1


def test_a_rounded_window_falls_along_a_square_with_round_corners() -> None:
    """By hand: the distance is the 4-norm, the fall a smoothstep over 0.3."""
    points = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.9, 0.0], [0.8, 0.8], [1.0, 0.0]], dtype=torch.float64)
    rest = [1.0, 1.0, (1 - 0.9) / 0.3, (1 - 0.8 * 2**0.25) / 0.3, 0.0]
    expected = torch.tensor([t * t * (3 - 2 * t) for t in rest], dtype=torch.float64)
    torch.testing.assert_close(Rounded()(points), expected)


def test_what_no_window_reaches_stays_to_the_last_bit() -> None:
    patches = [Patch(frame, Rounded()) for frame in FRAMES[:2]]
    pasted = paste(photo(), patches, lambda _, box: torch.zeros(3, *box.size))
    reached = sum(patch.window(patch.frame.from_photo(centres(300, 451))) for patch in patches)
    assert isinstance(reached, Tensor)
    assert torch.equal(pasted[:, reached == 0], photo()[:, reached == 0])
    assert pasted[:, reached >= 1].abs().max() < 1e-6
    same = paste(photo(), patches, lambda _, box: box.of(photo()))
    assert (same - photo()).abs().max() < 1e-6


def test_holes_are_filled_up_to_the_edge() -> None:
    holes = torch.zeros(1, 300, 451)
    holes[:, 22:26, 12:300] = 1  # along the edge, where the window is nearly 0
    pasted = paste(photo(), [Patch(FRAMES[3], Rounded())], lambda _, box: torch.zeros(3, *box.size), holes=holes)
    assert pasted[:, 22:26, 12:300].abs().max() < 1e-6
    assert (pasted - photo())[:, 20:22].abs().mean() < 0.01


@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [((300, 451), (64, 64), 0.25), ((70, 300), (64, 128), 0.4), ((40, 50), (64, 64), 0.0)]
)
def test_tiles_cover_the_photo_and_add_up_to_1(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> None:
    tiles = tile_frames(size, tile, overlap)
    total = torch.stack([each.window(each.frame.from_photo(centres(*size))) for each in tiles]).sum(0)
    assert (total - 1).abs().max() < 1e-9
    for each in tiles:
        assert each.frame.size == (tile[0], tile[1])
        assert all(side == int(side) for side in each.frame.box)


def test_strips_cover_a_large_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("priorsolve.framing.pasting.STRIP", 5000)
    patch = Patch(FRAMES[0], Whole())
    boxes = patch.strips(300, 451)
    assert len(boxes) > 3
    seen = torch.zeros(300, 451)
    for box in boxes:
        box.of(seen).add_(1)
    assert seen.max() == 1
    assert (seen[38:242, 98:302] == 1).all()
    assert Box(2, 1, 5, 4).grown(10, 300, 451) == Box(0, 0, 15, 14)


def test_holes_are_filled_with_what_is_around() -> None:
    known = torch.ones(1, 300, 451)
    known[:, 100:180, 200:300] = 0
    found = filled(torch.where(known > 0, photo(), 9.0), known)
    assert torch.equal(found * known, photo() * known)
    assert found.max() <= 1
    assert (found - photo())[:, 100:180, 200:300].abs().mean() < 0.15
    assert torch.equal(filled(photo(), torch.zeros(1, 300, 451)).isfinite(), torch.ones(3, 300, 451, dtype=torch.bool))


def test_a_surface_through_holes_goes_on_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    known = torch.ones(1, 300, 451)
    known[:, 40:44, 20:400], known[:, 100:130, 200:230] = 0, 0
    lost = torch.where(known > 0, photo(), 9.0)
    for solved in (fill.SOLVED, 400):  # at its own size, and found in a smaller one
        monkeypatch.setattr(fill, "SOLVED", solved)
        found = continued(lost, known)
        assert torch.equal(found * known, photo() * known)
        off, flat = ((each - photo())[:, known[0] == 0].square().mean() for each in (found, filled(lost, known)))
        assert off < flat * 0.8
        line = found[:, 39:45, 20:400].diff(dim=1).abs().mean()
        assert line < 1.5 * photo()[:, 39:45, 20:400].diff(dim=1).abs().mean()  # no step at the border
    assert torch.equal(continued(photo(), known * 0), photo())
    assert torch.equal(continued(photo(), torch.ones_like(known)), photo())


def test_beside_the_face_only_colours_of_skin_and_hair_stay() -> None:
    colours = {"brown hair": (0.35, 0.22, 0.12), "blond hair": (0.85, 0.72, 0.45), "skin": (0.85, 0.62, 0.5), "leaves": (0.2, 0.45, 0.15)}
    colours |= {"sky": (0.4, 0.6, 0.9), "magenta": (0.8, 0.2, 0.8), "grey": (0.5, 0.5, 0.5)}
    for name, colour in colours.items():
        flat = torch.tensor(colour)[:, None, None].expand(3, 64, 64)
        made = of_head(flat)
        before, after = rgb_to_lab(flat[None])[0], rgb_to_lab(made.clamp(0, 1)[None])[0]
        middle, corner = after[1:, 36, 32].norm(), after[1:, 2, 2].norm()
        own = before[1:, 0, 0].norm()
        assert middle == pytest.approx(float(own), abs=0.3), name  # eyes may be green
        assert corner == pytest.approx(float(own) if name in ("brown hair", "blond hair", "skin", "grey") else 0, abs=0.3), name
        assert (after[0] - before[0]).abs().max() < 0.3, name


def test_a_surface_is_half_way_between_the_harmonic_and_the_biharmonic() -> None:
    picture, known = photo()[:, 100:140, 150:200], torch.ones(1, 40, 50)
    known[:, 10:20, 15:30] = 0
    bent = skimage.restoration.inpaint_biharmonic(picture.double().numpy(), known[0].numpy() == 0, channel_axis=0)
    surface = (filled(picture, known, fill.SWEEPS) + torch.from_numpy(bent).float()) / 2
    torch.testing.assert_close(continued(picture, known), torch.where(known > 0, picture, surface))
