"""A recipe's fingerprint: what decides a photo's answer and what is kept of it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import run_support as run
from PIL import Image

from priorsolve.photos.names import Photo
from priorsolve.recipe.recipe import OPERATORS, Recipe
from priorsolve.run.fingerprint import Fingerprint

GOOD = {"operator": "gray", "prior": "digiface64", "solver": "latent"}
KEPT = {"consistency": True}
"""The output of run_support's recipe."""


@pytest.mark.parametrize(
    "change",
    [
        {"noise": {"gaussian": {"sigma": 0.1}}},
        {"seed": 1},
        {"samples": 2},
        {"output": {}},
        {"output": {**KEPT, "format": "png"}},
        {"output": {**KEPT, "damping": 0.05}},
        {"output": {**KEPT, "limit": True}},
        {"output": {**KEPT, "codes": True}},
        {"output": {**KEPT, "album": True}},
        {"output": {**KEPT, "mean": "mirror"}},
        {"prior": "ffhq128"},
        {"surrogate": {"mask": {"boxes": [[0.25, 0.25, 0.75, 0.75]]}}},
        {"frame": "tiles"},
        {"solver": {"latent": {"steps": 3, "restarts": 1, "candidates": 2}}},
    ],
    ids=str,
)
def test_what_changes_an_answer_changes_it(change: dict[str, object]) -> None:
    assert run.quick(**change).fingerprint() != run.quick().fingerprint()


@pytest.mark.parametrize("change", [{"task": "another"}, {"metrics": ["psnr"]}, {"output": {**KEPT, "sheet": False}}], ids=str)
def test_what_changes_no_answer_leaves_it(change: dict[str, object]) -> None:
    assert run.quick(**change).fingerprint() == run.quick().fingerprint()


def test_the_fingerprint_is_of_content(tmp_path: Path) -> None:
    def printed(**changes: object) -> str:
        return Recipe.parse({**GOOD, **changes}, folder=tmp_path).fingerprint()

    (tmp_path / "a.pth").write_bytes(b"1")
    (tmp_path / "b.pth").write_bytes(b"1")
    assert printed(task="other words") == printed()
    assert printed(solver=[{"latent": {"steps": 300}}]) == printed()  # the default, said
    assert len({printed(), printed(seed=1), printed(solver={"latent": {"steps": 3}}), printed(output={"format": "png"})}) == 4
    first = printed(prior="a.pth")
    assert printed(prior="b.pth") == first != printed()
    (tmp_path / "a.pth").write_bytes(b"2")
    assert printed(prior="a.pth") != first


def test_a_prior_that_is_a_folder_counts_with_its_settings_and_weights(tmp_path: Path) -> None:
    def read() -> Recipe:
        return Recipe.parse({**GOOD, "prior": "./w"}, folder=tmp_path)

    (tmp_path / "w").mkdir()
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / "w" / name).write_bytes(b"1")
    assert read().prior == str(tmp_path / "w")
    first = read().fingerprint()
    assert read().is_readable()
    for name in ("pytorch_model.bin", "config.json"):
        (tmp_path / "w" / name).write_bytes(b"2")
        assert read().fingerprint() != first, f"{name} has changed"
        (tmp_path / "w" / name).write_bytes(b"1")
    assert read().fingerprint() == first
    (tmp_path / "w" / "pytorch_model.bin").unlink()
    assert not read().is_readable()


def test_the_content_of_a_file_counts_wherever_it_stands(tmp_path: Path) -> None:
    weights = tmp_path / "d.pth"
    weights.write_bytes(b"one")
    loss = {"discriminator_features": {"file": str(weights)}}
    recipe = Recipe.parse({"operator": "gray", "prior": "digiface64", "solver": {"latent": {"loss": loss}}})
    before = recipe.fingerprint()
    weights.write_bytes(b"two")
    assert recipe.fingerprint() != before


@pytest.mark.parametrize("where", ["surrogate", "solver"])
def test_a_file_may_be_missing_anywhere(tmp_path: Path, where: str) -> None:
    mask, loss = {"mask": {"file": str(tmp_path / "gone.png")}}, {"discriminator_features": {"file": str(tmp_path / "gone.pt")}}
    recipe = run.quick(**({"surrogate": mask} if where == "surrogate" else {"solver": {"latent": {"loss": loss}}}))
    assert not recipe.is_readable()


@pytest.mark.parametrize("key", OPERATORS)
def test_a_photo_s_own_mask_counts_for_that_photo_alone(tmp_path: Path, key: str) -> None:
    masks = run.photos(tmp_path / "masks", 2)
    told = Fingerprint(run.quick(**{key: {"mask": {"file": str(masks / "{stem}.png")}}}), degrade=False, dtype="auto")
    photos = [Photo(tmp_path / name, name) for name in ("00.jpg", "01.jpg")]
    before = [told(photo) for photo in photos]
    run.picture(5).save(masks / "00.png")
    assert [told(photo) == first for photo, first in zip(photos, before, strict=True)] == [False, True]


def test_one_file_that_is_gone_makes_a_recipe_unreadable(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("L", (64, 64)).save(tmp_path / name)
    recipe = run.quick(operator=[{"mask": {"file": str(tmp_path / name)}} for name in ("a.png", "b.png")])
    assert recipe.is_readable()
    (tmp_path / "b.png").unlink()
    assert not recipe.is_readable()


def test_in_which_order_means_are_named_does_not_matter() -> None:
    one, other = (run.quick(samples=2, output={"mean": mean}) for mean in (["samples", "mirror"], ["mirror", "samples", "mirror"]))
    assert one.fingerprint() == other.fingerprint() != run.quick(samples=2, output={"mean": "samples"}).fingerprint()


def test_how_much_detail_is_a_mirrored_answers_own_changes_it() -> None:
    prints = {run.quick(output={"mean": "mirror", "own_detail": detail}).fingerprint() for detail in (0.0, 1.0, 2.0)}
    assert len(prints) == 3
