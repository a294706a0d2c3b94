"""Frames: where they lie, what is cut out of a photo, and what is laid back."""

from __future__ import annotations

import itertools
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
from priorsolve.framing.colour import GAIN, SHIFT, matched, of_head, with_chroma
from priorsolve.framing.frame import centres
from priorsolve.photos.lab import from_lab, to_lab

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


def test_a_ramp_goes_on_through_a_hole() -> None:
    ramp, known = torch.linspace(0, 1, 128).expand(1, 96, 128), torch.ones(1, 96, 128)
    known[:, 30:60, 40:80] = 0
    assert (filled(ramp * known, known, fill.SWEEPS) - ramp).abs().max() < 2e-3


def test_a_surface_found_in_a_smaller_picture_meets_what_is_around(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp, known = torch.linspace(0, 1, 128).expand(1, 96, 128), torch.ones(1, 96, 128)
    known[:, 30:60, 40:80] = 0
    monkeypatch.setattr(fill, "SOLVED", 50)
    assert (continued(ramp * known, known) - ramp).abs().max() < 3e-3


def test_what_lies_below_a_soft_edge_is_not_gone_on_from() -> None:
    known, picture = torch.ones(1, 32, 32), torch.full((1, 32, 32), 0.2)
    known[:, 10:20, 10:20] = 0
    known[:, 9, 10:20] = 0.5
    picture[:, 9:20, 10:20] = 0.9
    made = continued(picture, known)
    torch.testing.assert_close(made[:, 10:20, 10:20], torch.full((1, 10, 10), 0.2), atol=1e-3, rtol=0)
    torch.testing.assert_close(made[:, 9, 10:20], torch.full((1, 10), 0.55), atol=1e-3, rtol=0)


@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.3, 0.45])
def test_tiles_overlap_by_no_less_than_was_asked_for(overlap: float) -> None:
    for side in range(65, 200):
        boxes = [patch.frame.box for patch in tile_frames((64, side), (64, 64), overlap)]
        shared = [first[2] - second[0] for first, second in itertools.pairwise(boxes)]
        assert min(shared) >= overlap * 64, side


def test_what_is_known_half_a_pixel_off_has_seen_no_hole() -> None:
    """Bicubic at the photo's own size, which looks two pixels away."""
    photo, known = torch.zeros(1, 40, 40), torch.ones(1, 40, 40)
    photo[:, 20, 20], known[:, 20, 20] = 1, 0
    frame = Frame.of_box(4.5, 4.5, 36.5, 36.5)
    assert cut(photo, frame, (32, 32))[cut_known(known, frame, (32, 32)) == 1].abs().max() < 1e-6


def test_at_its_edges_a_frame_sees_what_lies_beyond() -> None:
    photo = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    small, large = cut(photo, Frame.of_box(10.5, 10.5, 42.5, 42.5), (32, 32)), cut(photo, Frame.of_box(6.5, 6.5, 46.5, 46.5), (40, 40))
    torch.testing.assert_close(small, large[:, 4:-4, 4:-4], atol=1e-4, rtol=0)


def test_a_pattern_of_four_pixels_keeps_its_contrast_where_a_photo_is_made_smaller() -> None:
    wave = 0.5 + 0.4 * torch.sin(torch.arange(256) * (2 * math.pi / 16)).expand(1, 256, 256)
    made = cut(wave, Frame.of_box(0, 0, 256, 256), (64, 64))[:, 8:-8, 8:-8]
    assert float(made.std()) * math.sqrt(2) / 0.4 == pytest.approx(0.87, abs=0.05)


def test_a_frame_counts_wherever_the_centre_of_a_pixel_lies_in_it() -> None:
    frame = Frame.of_box(10.2, 5.4, 42.7, 30.6)
    made = paste(torch.zeros(1, 40, 60), [Patch(frame, Whole())], lambda _, box: torch.ones(1, *box.size))
    expected = torch.zeros(1, 40, 60)
    expected[:, 5:31, 10:43] = 1
    assert torch.equal(made, expected)


def test_holes_beside_a_turned_frame_stay() -> None:
    frame = Frame((30.0, 30.0), (14.0, 14.0), (-14.0, 14.0))
    made = paste(torch.zeros(1, 60, 60), [Patch(frame, Rounded())], lambda _, box: torch.ones(1, *box.size), holes=torch.ones(1, 60, 60))
    x, y = centres(60, 60).unbind(-1)
    assert torch.equal(made[0] > 0, (x - 30).abs() + (y - 30).abs() <= 28)


def test_a_patch_is_matched_no_farther_than_so_far() -> None:
    wave, everywhere = torch.linspace(-1, 1, 64).view(1, 8, 8), torch.ones(1, 8, 8)
    for middle, spread, shift, gain in ((0.9, 0.01, SHIFT, 1 / GAIN), (0.1, 0.3, -SHIFT, GAIN), (0.55, 0.11, 0.05, 1.1)):
        made = matched(0.5 + 0.1 * wave, middle + spread * wave, everywhere)
        torch.testing.assert_close(made, 0.5 + shift + gain * 0.1 * wave, atol=1e-5, rtol=0)


def test_colours_whose_lightness_is_the_photos_are_not_smoothed() -> None:
    coloured = 0.3 + 0.4 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    lightness = to_lab(coloured)[:1]
    grey = from_lab(torch.cat([lightness, torch.zeros(2, 64, 64)]))[:1]
    torch.testing.assert_close(with_chroma(grey, coloured, 8), coloured, atol=2e-3, rtol=0)


def test_colours_change_where_a_faint_edge_of_the_photo_is() -> None:
    """A step of 12 of 100 in lightness, and of 40 in a, smoothed over 16 pixels as an enlargement is."""
    step = (torch.arange(96) >= 48).float().expand(1, 96, 96)
    soft = ((torch.arange(96) - 39.5) / 16).clamp(0, 1).expand(1, 96, 96)
    grey = from_lab(torch.cat([50 + 12 * step, torch.zeros(2, 96, 96)]))[:1]
    coloured = from_lab(torch.cat([50 + 12 * soft, 40 * soft - 20, torch.zeros(1, 96, 96)]))
    across = to_lab(with_chroma(grey, coloured, 8))[1, 48].diff()
    assert float(across[47]) > 10
