"""Faces: found where they are, and aligned as FFHQ's are. Real pictures: an astronaut, a cat, and FFHQ-like portraits."""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from PIL import Image
from torch import Tensor

from priorsolve.framing import Frame, cut, detector, find_faces, lay
from priorsolve.framing.align import Landmarks, face_frame
from priorsolve.framing.colour import matched, with_chroma
from priorsolve.recipe.build import check_faces
from priorsolve.recipe.components import RecipeError

DATA: Any = skimage.data


@cache
def astronaut() -> Tensor:
    """(3, 512, 512); her face is in the upper half."""
    return torch.from_numpy(DATA.astronaut()).permute(2, 0, 1) / 255


@cache
def her_frame() -> Frame:
    (face,) = find_faces(astronaut())
    return face.frame


def test_portraits_that_are_aligned_are_found_so(shared: Path) -> None:
    found = []
    for path in sorted((shared / "eval" / "faces1024").iterdir()):
        portrait = torch.from_numpy(np.array(Image.open(path).convert("RGB").resize((256, 256)))).permute(2, 0, 1) / 255
        frame, side = find_faces(portrait)[0].frame, portrait.shape[-1]
        found.append([frame.centre[0] / side, frame.centre[1] / side, frame.size[0] / side, frame.degrees])
    across, along, size, degrees = torch.tensor(found).median(0).values.tolist()
    assert len(found) >= 4
    assert (across, along) == pytest.approx((0.5, 0.5), abs=0.03)
    assert size == pytest.approx(1, abs=0.1)
    assert abs(degrees) < 3


@pytest.mark.parametrize("moved", [(90.0, 1.0), (25.0, 0.8), (-40.0, 1.6)])
def test_a_photo_that_is_turned_and_scaled_gives_the_same_crop(moved: tuple[float, float]) -> None:
    degrees, scale = moved
    right = (math.cos(math.radians(degrees)) * 280, math.sin(math.radians(degrees)) * 280)
    view = Frame((240.0, 170.0), right, (-right[1], right[0]))
    side = round(560 * scale)
    again = cut(astronaut(), view, (side, side))
    place = (view.from_photo(torch.tensor(her_frame().centre, dtype=torch.float64)) + 1) * side / 2
    face = min(find_faces(again), key=lambda face: math.dist(face.frame.centre, place.tolist()))  # another is her mirror image, above
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    back = view.to_photo(2 * face.frame.to_photo(corners) / side - 1)
    assert (back - her_frame().to_photo(corners)).norm(dim=1).max() < 0.06 * her_frame().size[0]
    crops = cut(astronaut(), her_frame(), (64, 64)), cut(again, face.frame, (64, 64))
    assert (crops[0] - crops[1]).abs().mean() < 0.04


def test_several_faces_far_and_near_and_none_where_there_is_none() -> None:
    small = cut(astronaut(), Frame.of_box(0, 0, 512, 512), (200, 200))
    group = torch.full((3, 600, 1400), 0.4)
    group[:, :512, :512], group[:, 300:500, 700:900], group[:, 50:250, 1100:1300] = astronaut(), small, small.flip(2)
    found = find_faces(group)
    assert [round(face.frame.size[0] / her_frame().size[0], 1) for face in found] == [1.0, 0.4, 0.4]
    x, y = her_frame().centre
    assert found[0].frame.centre == pytest.approx((x, y), abs=5)
    assert {round(face.frame.centre[0] / 40) for face in found[1:]} == {
        round((700 + x * 200 / 512) / 40),
        round((1300 - x * 200 / 512) / 40),
    }
    assert find_faces(torch.from_numpy(DATA.coffee()).permute(2, 0, 1) / 255) == []
    assert find_faces(torch.from_numpy(DATA.chelsea()).permute(2, 0, 1) / 255) == []  # a cat


def test_faces_that_lie_on_their_sides_are_all_found() -> None:
    her, photo = cut(astronaut(), Frame.of_box(100, 0, 350, 250), (160, 160)), torch.full((3, 240, 440), 110 / 255)
    photo[:, 40:200, 40:200], photo[:, 40:200, 240:400] = her.rot90(1, (1, 2)), her.rot90(3, (1, 2))
    assert sorted(round(face.frame.degrees / 90) for face in find_faces(photo)) == [-1, 1]


def test_grey_photos_have_faces_too() -> None:
    (face,) = find_faces(astronaut().mean(0, keepdim=True))
    assert face.frame.centre == pytest.approx(her_frame().centre, abs=6)
    assert face.frame.size == pytest.approx(her_frame().size, rel=0.06)


def test_without_the_detector_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "retinaface", None)
    with pytest.raises(RecipeError, match=r"in the checkout, run: pip install '\.\[faces\]'"):
        check_faces("faces", (3, 64, 64))
    check_faces("tiles", (3, 64, 64))


@pytest.mark.parametrize("scale", [4, 8])
def test_chroma_follows_the_edges_of_the_grey_photo(scale: int) -> None:
    square, small = Frame.of_box(0, 0, 512, 512), 512 // scale
    grey = astronaut().mean(0, keepdim=True)
    blurred = lay(cut(astronaut(), square, (small, small)), square, (512, 512))
    sharp = rgb_to_lab(with_chroma(grey, blurred, scale)[None].clamp(0, 1))
    wanted, light = rgb_to_lab(astronaut()[None]), rgb_to_lab(grey.expand(1, 3, -1, -1))
    assert (sharp - light)[:, 0].abs().median() < 0.1  # the photo's own lightness
    plain = rgb_to_lab(lab_to_rgb(torch.cat([light[:, :1], rgb_to_lab(blurred[None].clamp(0, 1))[:, 1:]], 1)))
    ours, theirs = ((found - wanted)[:, 1:].square().mean().sqrt() for found in (sharp, plain))
    assert ours < 0.98 * theirs
    assert (with_chroma(grey, grey.expand(3, -1, -1), scale) - grey).abs().max() < 1e-3  # no colours from none


def test_matching_at_the_seam_is_exact_where_it_can_be_and_bounded() -> None:
    image, band = astronaut()[:, :64, :64], torch.ones(1, 64, 64)
    off = image * 0.9 + 0.05
    assert (matched(off, image, band) - image).abs().max() < 1e-4
    assert (matched(image - 0.5, image, band) - image).abs().max() > 0.3  # too far to be the seam's fault
    flat = image.mean() + 0.1 * (image - image.mean())
    made, mean = matched(flat, image, band), image.mean((1, 2), keepdim=True)
    torch.testing.assert_close(made - made.mean((1, 2), keepdim=True), 0.125 * (image - mean), atol=1e-5, rtol=0)  # no more than 1.25 times


def test_a_point_that_the_detector_tells_is_a_pixel_s_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [(100.0, 120.0), (160.0, 120.0), (130.0, 150.0), (110.0, 200.0), (150.0, 200.0)]

    def seen(pixels: Any, score_threshold: float) -> list[Any]:
        assert pixels.shape == (480, 640, 3)
        return [SimpleNamespace(landmarks=[SimpleNamespace(x=x, y=y) for x, y in points], score=0.95)]

    monkeypatch.setattr(detector, "load_detector", lambda: seen)
    (face,) = detector._seen(torch.zeros(3, 240, 320), Frame.of_box(0, 0, 320, 240), 640)
    left_eye, right_eye, _, left_mouth, right_mouth = (((x + 0.5) / 2, (y + 0.5) / 2) for x, y in points)
    expected = face_frame(Landmarks(left_eye, right_eye, left_mouth, right_mouth))
    assert face.frame.centre == pytest.approx(expected.centre)
    assert face.frame.right == pytest.approx(expected.right)
