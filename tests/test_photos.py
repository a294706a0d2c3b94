"""Which files are found, and that no two photos share an output."""

import os
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from priorsolve.photos.images import read_photo
from priorsolve.photos.names import Photo, find_photos, output_name, output_names
from priorsolve.run.places import places_of


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(*inputs: Path) -> list[str]:
    return [photo.name for photo in find_photos(inputs)]


def test_folders_are_searched_sorted_and_hidden_files_left_out(tmp_path: Path) -> None:
    lay(tmp_path, "b.JPG", "a.png", "sub/deep/c.npy", "notes.txt", ".hidden.png", ".cache/d.png", "e.png~", "f.tmp", "._a.png")
    assert names(tmp_path) == ["a.png", "b.JPG", "sub/deep/c.npy"]
    assert names(tmp_path / "sub") == ["deep/c.npy"]
    assert find_photos([tmp_path])[0].path == tmp_path / "a.png"


def test_linked_folders_are_searched_once_each(tmp_path: Path) -> None:
    """Also those that lead to where they lie, and a folder within keeps its own name whatever leads to it."""
    photos, other = lay(tmp_path / "photos", "a.png", "sub/b.png"), lay(tmp_path / "other", "c.png", "deep/d.png")
    links = {"away": other, "also": other, "0": photos / "sub", "sub/up": photos, ".hidden": other, "sub/lost": tmp_path / "nowhere"}
    for name, target in links.items():
        (photos / name).symlink_to(target, target_is_directory=True)
    (other / "back").symlink_to(photos / "sub", target_is_directory=True)
    assert names(photos) == ["a.png", "also/c.png", "also/deep/d.png", "sub/b.png"]
    assert names(photos / "away") == ["back/b.png", "back/up/a.png", "c.png", "deep/d.png"]


def test_a_file_given_by_name_is_taken_and_once(tmp_path: Path) -> None:
    lay(tmp_path, "a.png", "odd.xyz", "sub/b.png")
    assert names(tmp_path / "odd.xyz", tmp_path / "sub" / "b.png") == ["odd.xyz", "b.png"]
    assert names(tmp_path, tmp_path / "a.png", tmp_path) == ["a.png", "sub/b.png"]


def test_several_folders_stand_before_every_name(tmp_path: Path) -> None:
    lay(tmp_path, "one/x.png", "two/x.png", "two/y.png")
    assert names(tmp_path / "one", tmp_path / "two") == ["one/x.png", "two/x.png", "two/y.png"]
    lay(tmp_path, "else/one/x.png")
    with pytest.raises(ValueError, match=r"two photos are called one/x\.png"):
        names(tmp_path / "one", tmp_path / "else" / "one")


def test_missing_and_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file or folder: .*nowhere"):
        names(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no photos in .*empty"):
        names(lay(tmp_path / "empty", "readme.txt"))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are kept otherwise here")
def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay(tmp_path, "a.png", "shut/b.png"))
    Path("shut").chmod(0)
    tmp_path.chmod(0o755)
    root = os.geteuid() == 0  # who may look into anything
    if root:
        os.seteuid(65534)
    try:
        for given in ("shut", "."):
            with pytest.raises(ValueError, match=r"cannot look for photos in (\./)?shut: Permission denied; make it readable"):
                names(Path(given))
        assert names(Path("a.png")) == ["a.png"]
    finally:
        if root:
            os.seteuid(0)
        Path("shut").chmod(0o755)


@pytest.mark.parametrize(
    ("name", "same", "png"),
    [
        ("sub/a.jpg", "sub/a.jpg", "sub/a.jpg.png"),
        ("a.jfif", "a.jfif", "a.jfif.png"),
        ("a.JPE", "a.JPE", "a.JPE.png"),
        ("a.png", "a.png", "a.png"),
        ("a.gif", "a.gif.png", "a.gif.png"),
        ("a.gif.png", "a.gif.png.png", "a.gif.png.png"),
        ("a.HEIC", "a.HEIC.png", "a.HEIC.png"),
        ("y.npy", "y.npy.png", "y.npy.png"),
        ("v1.2.png", "v1.2.png", "v1.2.png"),
        ("photo", "photo.png", "photo.png"),
    ],
)
def test_output_names(name: str, same: str, png: str) -> None:
    assert output_name(name) == same
    assert output_name(name, "png") == png


known = st.lists(st.sampled_from([".png", ".jpg", ".gif", ".npy", ".b"]), max_size=4).map(lambda parts: "a" + "".join(parts))


@given(st.lists(known.filter(lambda name: name.endswith((".png", ".jpg", ".gif", ".npy"))), unique=True), st.sampled_from(["same", "png"]))
def test_photos_of_a_folder_never_share_an_output(found: list[str], output: Any) -> None:
    assert len(set(output_names([Photo(Path(), name) for name in found], output).values())) == len(found)


def own_places(found: list[str], output: Any) -> list[str]:
    return [place for name in found for place in places_of(name, output)]


@given(st.lists(known, unique=True), st.sampled_from(["same", "png"]))
def test_nor_any_other_place(found: list[str], output: Any) -> None:
    try:
        output_names([Photo(Path(), name) for name in found], output)
    except ValueError:  # names without a suffix that is known, given one by one
        return
    assert len(set(own_places(found, output))) == 6 * len(found)


def test_measurements_of_photos_beside_measurements() -> None:
    assert list(places_of("a.jpg", "same")) == [
        "images/a.jpg",
        "measurements/a.jpg.png",
        "measurements/a.jpg.npy",
        "originals/a.jpg.png",
        "spread/a.jpg.png",
        "codes/a.jpg.safetensors",
    ]
    assert places_of("a.jpg.png", "same").picture == "measurements/a.jpg.png.png"
    assert places_of("a.jpg", "png").picture == "measurements/a.jpg.png"
    assert places_of("a.png", "same").picture == "measurements/a.png"


def test_a_shared_output_is_refused() -> None:
    with pytest.raises(ValueError, match=r"photo\.png and photo would both be written to photo\.png"):
        output_names([Photo(Path(), "photo"), Photo(Path(), "photo.png")])


@pytest.mark.parametrize(("system", "one"), [("linux", False), ("darwin", True), ("win32", True)])
def test_names_that_a_disk_takes_for_one_are_refused(monkeypatch: pytest.MonkeyPatch, system: str, one: bool) -> None:
    monkeypatch.setattr(sys, "platform", system)
    photos = [Photo(Path("x/A.png"), "A.png"), Photo(Path("y/a.png"), "a.png")]
    if not one:
        assert output_names(photos) == {"A.png": "A.png", "a.png": "a.png"}
        return
    with pytest.raises(ValueError, match=r"^a\.png and A\.png would both be written to a\.png; rename one of them$"):
        output_names(photos)


def test_one_folder_given_by_two_ways_is_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert names(tmp_path / "photos", tmp_path / "link") == ["a.png"]


def test_opaque_alpha_of_16_bits_is_not_said_to_lie_on_white(tmp_path: Path) -> None:
    values = np.full((16, 16, 4), 65535, np.uint16)
    values[..., :3] = 12345
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    photo, notes = read_photo(tmp_path / "a.png")
    assert notes == ()
    assert torch.equal(photo, torch.full((3, 16, 16), 12345 / 65535))


def test_however_often_a_photo_is_called_png_its_result_has_a_name_of_its_own() -> None:
    names = ["a.gif", "a.gif.png", "a.gif.png.png", "a.gif.png.png.png"]
    assert [output_name(name) for name in names] == [f"{name}.png" for name in names]
