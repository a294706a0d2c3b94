"""What is laid into a photo, without a run: photos and answers of even grey, whose sums are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from priorsolve.framing import Frame, Patch, Rounded, Whole, cut, lay, pasting
from priorsolve.framing.colour import with_chroma
from priorsolve.framing.windows import Window
from priorsolve.operators.base import Identity, Operator
from priorsolve.operators.downsample import Downsample
from priorsolve.operators.gray import Gray
from priorsolve.operators.mask import Mask
from priorsolve.run.blending import compose
from priorsolve.run.damage import Damage
from priorsolve.run.scenes import Scene
from priorsolve.run.shots import Shot, Source

SIDE = 32
PHOTO, DRAWN = 0.2, 0.8


def scene(operator: Operator, window: Window, *, keeps: bool, degrade: bool = False, channels: int = 3, times: int = 1) -> Scene:
    """One frame, of the whole photo, which is so many times as large as the prior's picture."""
    source, side = Source(Path("none.png"), channels, Damage([operator], (3, SIDE, SIDE)), None, 0, degrade), SIDE * times
    return Scene(source, (Patch(Frame.of_box(0, 0, side, side), window),), (side, side), (SIDE, SIDE), keeps)


def filled(known: Tensor, window: Window, *, degrade: bool = False) -> Tensor:
    """A grey photo, (3, SIDE, SIDE), in whose holes the prior drew another grey."""
    photo = torch.full((3, SIDE, SIDE), PHOTO)
    drawn = torch.where(known < 1, DRAWN, photo)
    shot = Shot(photo * known, photo, ()) if degrade else Shot(photo, None, ())
    return compose(scene(Mask(known), window, keeps=True, degrade=degrade), shot, [photo], [drawn])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_at_a_soft_edge_the_photo_weighs_what_is_known_of_it(share: float) -> None:
    known = torch.ones(SIDE, SIDE)
    known[9:20, 10:20], known[9, 10:20] = 0, share
    made = filled(known, Whole(), degrade=True)
    expected = known * PHOTO + (1 - known) * DRAWN
    torch.testing.assert_close(made, expected.expand_as(made), atol=1e-4, rtol=0)


def test_a_hole_in_the_corner_of_a_frame_is_filled_to_the_full() -> None:
    known = torch.ones(SIDE, SIDE)
    known[1:4, 1:4] = 0  # where the window is nearly 0
    made = filled(known, Rounded())
    torch.testing.assert_close(made[:, 1:4, 1:4], torch.full((3, 3, 3), DRAWN), atol=1e-3, rtol=0)


def test_an_answer_in_the_photos_place_has_its_colours_at_the_seam() -> None:
    photo = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) / 2 + 0.2
    made = compose(scene(Identity(), Whole(), keeps=False), Shot(photo, None, ()), [photo + 0.05], [photo + 0.05])
    torch.testing.assert_close(made, photo, atol=1e-4, rtol=0)


def test_what_differs_in_the_middle_moves_no_colour_of_an_answer_in_the_photos_place() -> None:
    photo = torch.full((3, SIDE, SIDE), PHOTO)
    answer = photo.clone()
    answer[:, 8:24, 8:24] = DRAWN
    made = compose(scene(Identity(), Whole(), keeps=False), Shot(photo, None, ()), [answer], [answer])
    torch.testing.assert_close(made[:, :4], photo[:, :4], atol=1e-2, rtol=0)


def test_a_hole_at_the_seam_moves_no_colour_of_an_answer_in_the_photos_place() -> None:
    known = torch.ones(SIDE, SIDE)
    known[:6, :20] = 0
    truth = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) / 2 + 0.2
    photo = torch.where(known > 0, truth, 1.0)  # white in the hole
    made = compose(scene(Mask(known), Whole(), keeps=False), Shot(photo, None, ()), [truth], [truth])
    torch.testing.assert_close(made, truth, atol=1e-4, rtol=0)


@pytest.mark.parametrize("times", [4, 12, 14])
def test_colours_are_the_same_in_strips_as_at_once(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Along edges of the photo; from six times on their filter leaves out pixels."""
    generator, side = torch.Generator().manual_seed(0), SIDE * times
    grey = torch.rand(1, 8, 8, generator=generator).repeat_interleave(side // 8, -1).repeat_interleave(side // 8, -2)
    drawn = torch.rand(3, SIDE, SIDE, generator=generator)
    made = []
    for strip in (pasting.STRIP, 50 * side):
        monkeypatch.setattr(pasting, "STRIP", strip)
        made.append(compose(scene(Gray(), Rounded(), keeps=True, channels=1, times=times), Shot(grey, None, ()), [drawn], [drawn]))
    assert made[0].shape == (3, side, side)
    assert (made[0] - made[0].mean(0)).abs().max() > 0.05
    torch.testing.assert_close(made[0], made[1], atol=1e-4, rtol=0)


def test_colours_follow_the_edges_of_a_photo_that_is_larger_than_the_answer() -> None:
    generator, side, frame = torch.Generator().manual_seed(0), 8 * SIDE, Frame.of_box(0, 0, 8 * SIDE, 8 * SIDE)
    photo = torch.rand(1, 8, 8, generator=generator).repeat_interleave(SIDE, -1).repeat_interleave(SIDE, -2)
    drawn = torch.rand(3, SIDE, SIDE, generator=generator)
    made = compose(scene(Gray(), Whole(), keeps=True, channels=1, times=8), Shot(photo, None, ()), [drawn], [drawn])
    change = lay(drawn - cut(photo.expand(3, -1, -1), frame, (SIDE, SIDE)), frame, (side, side))
    grey = Gray().A((photo + change)[None])[0]
    coloured = with_chroma(grey, lay(drawn, frame, (side, side)), 8)
    torch.testing.assert_close(made, Gray().within(coloured[None] + grey - Gray().A(coloured[None]))[0], atol=1e-4, rtol=0)


def test_colours_given_to_a_grey_photo_are_the_answers_own() -> None:
    photo = torch.full((1, SIDE, SIDE), 0.5)
    answer = torch.tensor([0.6, 0.5, 0.45]).view(3, 1, 1).expand(3, SIDE, SIDE)
    made = compose(scene(Gray(), Whole(), keeps=False, channels=1), Shot(photo, None, ()), [answer], [answer])
    torch.testing.assert_close(made, answer, atol=1e-4, rtol=0)


def test_a_mask_after_two_that_shrink_hides_blocks_of_both() -> None:
    known = torch.ones(8, 8)
    known[2, 3:5] = 0
    found = Damage([Downsample(2), Downsample(4), Mask(known)], (3, 64, 64)).known((64, 64))
    expected = torch.ones(1, 64, 64)
    expected[:, 16:24, 24:40] = 0
    assert found is not None
    assert torch.equal(found, expected)


def test_of_several_masks_what_any_of_them_hides_is_not_known() -> None:
    first, second = torch.ones(8, 12), torch.ones(4, 6)
    first[1, 2:6], second[0, 2], second[3, 0] = 0.5, 0.5, 0
    expected = torch.ones(1, 8, 12)
    expected[:, 1, 2:6], expected[:, 0, 4:6], expected[:, 1, 4:6], expected[:, 6:, :2] = 0.5, 0.5, 0.25, 0
    found = Damage([Mask(first), Downsample(2), Mask(second)], (3, 64, 64)).known((8, 12))
    assert found is not None
    assert torch.equal(found, expected)


def test_something_is_measured_of_a_small_pixel_unless_its_filter_looks_into_a_hole_alone() -> None:
    first, second = torch.ones(8, 16), torch.ones(4, 8)
    first[:, :9], second[1, 7], second[2, 7] = 0, 0, 0.5
    expected = torch.ones(1, 4, 8)
    expected[:, :, :3], expected[:, 1, 7] = 0, 0
    assert torch.equal(Damage([Mask(first), Downsample(2), Mask(second)], (3, 64, 64)).where((8, 16)), expected)


def test_a_frame_has_its_own_part_of_each_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(side, 2 * side, generator=generator).round() for side in (16, 8))
    left, right = Damage([Mask(first), Downsample(2), Mask(second)], (3, 16, 16)).framed(
        [Frame.of_box(0, 0, 16, 16), Frame.of_box(12, 0, 28, 16)], (16, 32)
    )
    for (before, _, after), start in ((left, 0), (right, 12)):
        assert isinstance(before, Mask)
        assert isinstance(after, Mask)
        assert torch.equal(before.known[0, 0], first[:, start : start + 16])
        assert torch.equal(after.known[0, 0], second[:, start // 2 : start // 2 + 8])


def test_what_a_hole_shows_is_seen_nowhere_beside_it() -> None:
    """White in a photo larger than the answer; what the prior drew there, of another grey, is moved to what is around."""
    known = torch.ones(4 * SIDE, 4 * SIDE)
    known[50:70, 41:90] = 0
    photo, answer = torch.where(known > 0, PHOTO, 1.0).expand(3, -1, -1), torch.full((3, SIDE, SIDE), PHOTO)
    made = compose(scene(Mask(known), Whole(), keeps=True, times=4), Shot(photo, None, ()), [answer], [answer - PHOTO + DRAWN])
    torch.testing.assert_close(made, torch.full_like(made, PHOTO), atol=1e-3, rtol=0)


def test_a_thin_hole_is_filled_at_the_photos_own_resolution() -> None:
    """A wave that the answer is too small to show goes on through it."""
    known = torch.ones(4 * SIDE, 4 * SIDE)
    known[60:62] = 0
    wave = (0.5 + 0.3 * torch.sin(torch.arange(4 * SIDE) * (torch.pi / 4))).expand(3, 4 * SIDE, -1)
    answer = torch.full((3, SIDE, SIDE), 0.5)
    made = compose(scene(Mask(known), Whole(), keeps=True, times=4), Shot(wave * known, None, ()), [answer], [answer])
    assert (made - wave)[:, 60:62].abs().mean() < 0.05
