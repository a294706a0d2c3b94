"""What a recipe's masks hide of photos, as files: to look at, to correct in an editor, and to give back by `file: masks/{stem}.png`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from priorsolve.operators.holes import Holes
from priorsolve.operators.mask import Masking
from priorsolve.photos.images import read_photo
from priorsolve.photos.names import Photo
from priorsolve.photos.pictures import PhotoError, reason_of
from priorsolve.photos.writing import write_image
from priorsolve.recipe.components import RecipeError, build
from priorsolve.recipe.operators import is_mask
from priorsolve.recipe.recipe import Recipe
from priorsolve.recipe.templates import photo_seed, rendered, stem
from priorsolve.run.earlier import PREVIEWS, mark_previews
from priorsolve.run.intake import take_in
from priorsolve.run.outfolder import check_writable, refuse_overwriting, refuse_photos_own, refuse_unwritable

TINT = (1.0, 0.0, 0.3)
"""The colour that lies over holes in previews, and how much of it."""
SHARE = 0.7
KEPT = "the mask that was there; --overwrite finds it anew"


@dataclass(frozen=True)
class Masked:
    """One photo's outcome: its mask's path and the holes' share of the photo, or the reason why there is none, or why it was kept."""

    name: str
    path: Path | None
    share: float = 0.0
    reason: str = ""


def write_masks(
    recipe: Recipe, photos: Sequence[Path], out: Path, *, overwrite: bool = False, say: Callable[[str], object] = lambda line: None
) -> Iterator[Masked]:
    """Write each photo's mask into `out`, as `a.png` for `a.jpg`, white in its holes, and `previews/a.jpg` with the holes in red.

    An existing mask is kept, since somebody may have corrected it, and the preview is of that one, unless `overwrite`. `say` is called
    with a line on the files left out.

    Raises:
        RecipeError, ValueError: the recipe has no mask, the photos cannot be used, or two of them have one name; nothing was written.
            ValueError also on the way, where the folder can no longer be written.
    """
    check_writable(out)
    refuse_photos_own(photos, out)
    if not any(is_mask(name) for name, _, _ in recipe.components("operator")):
        raise RecipeError("operator: there is no mask in it; add one, such as --set 'operator={mask: {scratches: true}}'")
    intake = take_in(photos, [out], [recipe])
    found = intake.photos
    taken: dict[str, str] = {}
    for photo in found:
        if (other := taken.setdefault(stem(photo.name), photo.name)) != photo.name:
            ways = "rename one of them, or give them one by one, each with an --out of its own"
            raise ValueError(f"{other} and {photo.name} would both have the mask {stem(photo.name)}.png; {ways}")
    refuse_overwriting(found, out, [place for name in taken for place in (f"{name}.png", f"{PREVIEWS}/{name}.jpg")])
    for line in intake.sentences():
        say(line)
    return (_written(photo, recipe, out, overwrite) for photo in found)


def _written(photo: Photo, recipe: Recipe, out: Path, overwrite: bool) -> Masked:
    name, kept = stem(photo.name), ""
    try:
        image, _ = read_photo(photo.path)
        path = out / f"{name}.png"
        if path.exists() and not overwrite:
            holes, _ = read_photo(path, 1)
            kept = KEPT
            if holes.shape[1:] != image.shape[1:]:
                raise PhotoError(path, "there already, and not of the photo's size; --overwrite finds it anew")
        else:
            holes = _holes(recipe, photo, (image.shape[-2], image.shape[-1]))
        tint = image.new_tensor(TINT)[:, None, None]
        mark_previews(out)
        write_image(out / PREVIEWS / f"{name}.jpg", image + SHARE * holes * (tint - image))
        if not kept:  # after its preview, by which it is known that it is no photo
            write_image(path, holes)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not stop the other photos)
        refuse_unwritable(out, error)
        return Masked(photo.name, None, reason=reason_of(error))
    return Masked(photo.name, path, float(holes.double().mean()), kept)


def _holes(recipe: Recipe, photo: Photo, size: tuple[int, int]) -> Tensor:
    """(1, *size): the union of the recipe's masks, 1 in a hole."""
    holes = torch.zeros(1, *size)
    for name, given, where in recipe.components("operator"):
        if is_mask(name):
            own = rendered({name: given}, stem(photo.name), photo_seed(recipe.seed, photo.name))[name]
            mask: Masking = build("operators", name, own, where)
            mask = mask.in_photo(photo.path, whole=True) if isinstance(mask, Holes) else mask
            holes = torch.maximum(holes, 1 - mask.known_of((1, *size))[0])
    return holes
