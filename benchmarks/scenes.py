"""Photos that differ in every way we could think of, to run whole recipes on with frame: faces.

    python benchmarks/scenes.py OUT FACES [--large FOLDER]

FACES is a folder of at least 16 portraits in FFHQ's frame, LARGE one of such portraits of 1000 pixels or more (left out, FACES are
enlarged). They are pasted into photos that scikit-image and scikit-learn ship. OUT/photos/marked gets the pictures with holes that
somebody marked, OUT/photos/plain the others, OUT/README.md a line for each, OUT/faces.json how many faces there are.
`python benchmarks/seams.py` looks at what runs made of them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from priorsolve.data import samples
from priorsolve.framing import Frame, Patch, Rounded, Whole, lay, paste
from priorsolve.photos.images import read_photo
from priorsolve.photos.names import find_photos

SHIPPED: Any = skimage.data
MAGENTA = (255, 0, 255)
P3: bytes = imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.3290], primaries=[0.68, 0.32, 0.265, 0.69, 0.15, 0.06], gamma=2.2)
"""Display P3's primaries."""
WIDE: bytes = imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.3290], primaries=[0.64, 0.33, 0.21, 0.71, 0.15, 0.06], gamma=2.2)
"""Adobe RGB's."""
GREY: bytes = imagecodecs.cms_profile("gray", gamma=1.8)


@dataclass(frozen=True)
class Made:
    """A picture: its file's name, how many faces there are, what is varied, and how to write it."""

    name: str
    faces: int
    says: str
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Cast:
    """Portraits, (3, H, W) each, and the backgrounds behind them."""

    faces: list[torch.Tensor]
    large: list[torch.Tensor]

    def scene(self, behind: Any, *placed: tuple[int, float, float, float, float], edge: float = 0.3, large: bool = False) -> Any:
        """(H, W, 3) uint8: faces (which, x, y, side, degrees) in front of a photo."""
        of = self.large if large else self.faces
        frames = []
        for _, x, y, side, degrees in placed:
            across, down = (side / 2 * part(math.radians(degrees)) for part in (math.cos, math.sin))
            frames.append(Patch(Frame((x, y), (across, down), (-down, across)), Rounded(edge) if edge else Whole()))
        photo = torch.from_numpy(np.array(behind)).permute(2, 0, 1).float() / 255
        for (which, *_), patch in zip(placed, frames, strict=True):
            portrait = of[which % len(of)]
            photo = paste(photo, [patch], lambda _, box: lay(portrait, patch.frame, box.size, left=box.left, top=box.top))  # noqa: B023
        return np.rint(photo.clamp(0, 1).permute(1, 2, 0).numpy() * 255).astype(np.uint8)

    def one(self, which: int) -> Any:
        """A face in front of a photo, another one for each number."""
        return self.scene(behind(which), (13 + 3 * which, 300 + 20 * (which % 5 - 2), 205, 240 + 5 * which, (which % 3 - 1) * 6.0))

    def two(self, which: int) -> Any:
        """Two faces."""
        return self.scene(
            behind(which + 1), (3 + 2 * which, 180, 200, 220, 3.0 * (which % 4)), (20 - which, 430, 205, 215, -2.0 * (which % 5))
        )


def behind(which: int) -> Any:
    """(400, 600, 3): a photo without faces."""
    return shipped(("coffee", "flower", "chelsea", "china", "rocket", "grass", "retina")[which % 7], 600, 400)


def shipped(name: str, width: int | None = None, height: int | None = None) -> Any:
    """(H, W, 3) uint8, of a package."""
    picture = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(SHIPPED, name)()
    image = Image.fromarray(np.asarray(picture)).convert("RGB")
    return np.asarray(image if width is None else image.resize((width, height or width), Image.Resampling.LANCZOS))


def jpg(values: Any, mode: str | None = None, **settings: Any) -> Callable[[Path], None]:
    """Of quality 95, if nothing else is said."""
    return png(values, mode, **{"quality": 95, **settings})


def png(values: Any, mode: str | None = None, **settings: Any) -> Callable[[Path], None]:
    """Written by Pillow, in this mode; in whatever format the name says."""

    def write(path: Path) -> None:
        image = Image.fromarray(np.asarray(values))
        (image if mode is None else image.convert(mode)).save(path, **settings)

    return write


def exif(orientation: int) -> Image.Exif:
    """A camera's words."""
    made = Image.Exif()
    made[274], made[271], made[306] = orientation, "Scenes", "2026:01:02 03:04:05"
    return made


def turned(values: Any, orientation: int) -> Any:
    """As a camera stores what is upright with this orientation in EXIF: 3, 6 or 8."""
    return np.ascontiguousarray(np.rot90(values, {3: 2, 6: 1, 8: 3}[orientation]))


def deep(values: Any) -> Any:
    """16 bits, with fine grain below 8 but for alpha."""
    grain = np.random.default_rng(0).integers(-128, 129, values.shape)
    if values.ndim == 3:
        grain[..., 3:] = 0
    return np.clip(values.astype(np.int64) * 257 + grain, 0, 65535).astype(np.uint16)


def grey(values: Any) -> Any:
    """(H, W)."""
    return np.asarray(Image.fromarray(values).convert("L"))


def png16(values: Any) -> Callable[[Path], None]:
    """Of 16 bits."""

    def write(path: Path) -> None:
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))

    return write


def tiff16(values: Any, **settings: Any) -> Callable[[Path], None]:
    """Of 16 bits."""
    kind: Any = "rgb" if values.ndim == 3 else "minisblack"

    def write(path: Path) -> None:
        tifffile.imwrite(path, values, photometric=kind, resolution=(300, 300), resolutionunit=2, **settings)

    return write


def lines(size: tuple[int, int], *drawn: tuple[int, ...], width: int = 5) -> Any:
    """(H, W) bool: strokes along (x, y, x, y …)."""
    layer = Image.new("L", size)
    for points in drawn:
        ImageDraw.Draw(layer).line(points, 255, width, joint="curve")
    return np.asarray(layer) > 0


def painted(values: Any, where: Any) -> Any:
    """Magenta where somebody was to mark it."""
    made = values.copy()
    made[where] = MAGENTA
    return made


def with_alpha(values: Any, where: Any) -> Any:
    """Transparent there, with black below."""
    made = np.concatenate([values, np.full((*values.shape[:2], 1), 255, np.uint8)], -1)
    made[where] = 0
    return made


def files(cast: Cast) -> Iterator[Made]:
    """All of them, in order of their names."""
    yield from as_shipped()
    yield from stored_otherwise(cast)
    yield from holed(cast)
    yield from composed(cast)
    yield from of_other_sizes(cast)


def as_shipped() -> Iterator[Made]:
    """What packages ship, with a face and without."""
    yield Made("plain/01-astronaut.png", 1, "512×512, a flag behind", png(shipped("astronaut")))
    yield Made("plain/02-collins.jpg", 1, "192×192", jpg(sample(0)))
    yield Made("plain/03-hopper.jpg", 1, "256×256, glasses and cap", jpg(sample(1)))
    yield Made("plain/04-camera.png", 1, "grey, a man seen from the side, small", png(SHIPPED.camera()))
    yield Made("plain/05-cat.png", 0, "a cat", png(shipped("chelsea")))
    yield Made("plain/06-rocket.jpg", 0, "a rocket at night", jpg(shipped("rocket")))
    yield Made("plain/07-page.png", 0, "grey, a printed page", png(SHIPPED.page()))
    yield Made("plain/08-temple.jpg", 0, "a temple", jpg(shipped("china")))


def stored_otherwise(cast: Cast) -> Iterator[Made]:
    """One or two faces, in files of every kind."""
    for which, kind in enumerate((6, 3, 8)):
        yield Made(
            f"plain/{10 + which}-exif{kind}.jpg", 2, f"EXIF says: orientation {kind}", jpg(turned(cast.two(which), kind), exif=exif(kind))
        )
    aside = deep(turned(cast.one(0), 6))
    yield Made("plain/13-exif6.tif", 1, "orientation 6, 16-bit colours", tiff16(aside, extratags=[(274, 3, 1, 6, True)]))
    yield Made("plain/14-grey.png", 2, "8-bit grey", png(cast.two(3), "L"))
    yield Made("plain/15-grey.jpg", 1, "a grey JPEG with 300 dpi and EXIF", jpg(cast.one(1), "L", dpi=(300, 300), exif=exif(1)))
    yield Made("plain/16-grey-profile.png", 1, "grey with a grey profile (gamma 1.8)", png(cast.one(2), "L", icc_profile=GREY))
    yield Made("plain/17-grey16.png", 1, "16-bit grey", png16(deep(grey(shipped("astronaut")))))
    yield Made("plain/18-grey16.tif", 2, "16-bit grey", tiff16(deep(grey(cast.two(4)))))
    yield Made("plain/19-colour16.png", 2, "16-bit colours", png16(deep(cast.two(5))))
    yield Made("plain/20-colour16.tif", 1, "16-bit colours in Display P3", tiff16(deep(cast.one(3)), iccprofile=P3))
    yield Made("plain/21-p3.jpg", 2, "Display P3", jpg(cast.two(6), icc_profile=P3))
    yield Made("plain/22-adobe.png", 1, "Adobe RGB", png(cast.one(4), icc_profile=WIDE))
    yield Made("plain/23-broken-profile.png", 1, "a profile that is none", png(cast.one(5), icc_profile=b"no profile" * 20))
    yield Made("plain/24-cmyk.jpg", 2, "CMYK without a profile", jpg(cast.two(7), "CMYK"))
    yield Made("plain/25-palette.png", 1, "a palette of 256 colours", png(cast.one(6), "P"))
    yield Made("plain/26-palette.gif", 1, "a GIF", png(shipped("astronaut"), "P"))
    yield Made("plain/27-two-colours.png", 1, "black and white dots of 1 bit", png(shipped("astronaut"), "1"))
    yield Made("plain/28-soft-alpha.png", 2, "alpha that fades towards the sides, no hole", png(vignette(cast.two(8))))
    yield Made("plain/29-grey-alpha.png", 1, "grey, with such alpha", png(vignette(cast.one(7)), "LA"))
    yield Made("plain/30-lossless.webp", 1, "WebP", png(cast.one(8), lossless=True))
    yield Made("plain/31-plain.bmp", 1, "BMP, which is not written", png(cast.one(9)))
    yield Made("plain/32-jpeg2000.jp2", 1, "JPEG 2000, which is not written", png(cast.one(10)))
    yield Made("plain/33-progressive.jpg", 2, "progressive, quality 30", jpg(cast.two(9), progressive=True, quality=30))


def holed(cast: Cast) -> Iterator[Made]:
    """With holes that somebody marked, thin and broad, over faces and beside them."""
    holes = lines((600, 400), (90, 150, 270, 260), (350, 120, 500, 290), (20, 20, 580, 40))
    yield Made("marked/35-alpha-holes.png", 2, "scratches of alpha over both faces and the wall", png(with_alpha(cast.two(10), holes)))
    yield Made("marked/36-magenta-holes.png", 2, "scratches painted in magenta", png(painted(cast.two(11), holes)))
    yield Made("marked/37-magenta-holes.jpg", 2, "the same in a JPEG", jpg(painted(cast.two(12), holes)))
    cross = lines((512, 512), (170, 100, 290, 110), (215, 60, 230, 200), width=12)
    yield Made("marked/38-cross.png", 1, "a broad cross of alpha over a face", png(with_alpha(shipped("astronaut"), cross)))
    yield Made("marked/39-cross16.png", 1, "the same, 16-bit colours", png16(deep(with_alpha(shipped("astronaut"), cross))))
    beside = lines((600, 400), (10, 380, 200, 390), (560, 20, 580, 200), width=12)
    yield Made("marked/40-holes-beside.png", 1, "magenta beside the face alone", png(painted(cast.one(11), beside)))


def composed(cast: Cast) -> Iterator[Made]:
    """Faces turned, in groups, at borders, in bad light."""
    brick, wall = shipped("brick", 640, 480), shipped("coffee", 600, 400)
    for which, degrees in enumerate((30, 90, 180, -45)):
        made = cast.scene(brick, (9 + which, 200, 240, 250, degrees), (14 + which, 460, 240, 200, degrees))
        yield Made(f"plain/{41 + which}-turned{degrees}.jpg", 2, f"two faces turned by {degrees}°", jpg(made))
    mixed = cast.scene(brick, (0, 160, 150, 200, 25), (11, 470, 160, 220, -40), (29, 320, 360, 180, 5))
    yield Made("plain/45-three-turned.jpg", 3, "three faces, each turned otherwise", jpg(mixed))
    rows = [(16 + i, 110 + 140 * (i % 4), 120 + 180 * (i // 4), 150.0, (-1) ** i * 4.0) for i in range(8)]
    yield Made("plain/46-group8.jpg", 8, "a group of eight", jpg(cast.scene(wall, *rows)))
    sizes = [(2, 150, 200, 300.0, 0.0), (8, 350, 250, 180.0, 8.0), (14, 470, 280, 110.0, -6.0), (12, 550, 300, 70.0, 0.0)]
    yield Made("plain/47-sizes.png", 4, "four faces of 300 to 70 pixels", png(cast.scene(wall, *sizes)))
    near = cast.scene(wall, (5, 235, 200, 260, 10), (6, 365, 200, 260, -10), edge=0.5)
    yield Made("plain/48-cheek-to-cheek.png", 2, "frames that overlap by half", png(near))
    prints = cast.scene(brick, (23, 180, 240, 240, 0), (28, 450, 240, 240, 3), edge=0)
    yield Made("plain/49-prints.png", 2, "two prints with hard edges on a wall", png(prints))
    yield Made(
        "plain/50-left-border.png", 1, "a quarter of the frame is beyond the left border", png(cast.scene(wall, (7, 60, 200, 240, 0)))
    )
    yield Made("plain/51-corner.png", 1, "in the upper right corner", png(cast.scene(wall, (19, 530, 80, 260, 12))))
    yield Made("plain/52-below.jpg", 1, "cut below the mouth", jpg(cast.scene(wall, (18, 300, 350, 260, 0))))
    yield Made("plain/53-dark.jpg", 2, "a quarter of the light", jpg((cast.two(13) * 0.25).astype(np.uint8)))
    yield Made("plain/54-bright.jpg", 2, "too bright, clipped", jpg(np.clip(cast.two(14) * 1.6, 0, 255).astype(np.uint8)))
    noise = np.random.default_rng(1).normal(0, 20, (400, 600, 3))
    yield Made("plain/55-noisy.png", 1, "noise of 20 of 255", png(np.clip(cast.one(12) + noise, 0, 255).astype(np.uint8)))


def of_other_sizes(cast: Cast) -> Iterator[Made]:
    """Tiny, huge, wide and tall."""
    small = Image.fromarray(shipped("astronaut")[0:260, 90:350]), Image.fromarray(sample(0))
    yield Made("plain/60-tiny64.png", 1, "64×64", png(np.asarray(small[0].resize((64, 64), Image.Resampling.LANCZOS))))
    yield Made("plain/61-tiny40.jpg", 1, "40×40", jpg(np.asarray(small[1].resize((40, 40), Image.Resampling.LANCZOS))))
    yield Made("plain/62-tiny10.png", 0, "10×10, nothing to be seen", png(np.asarray(small[1].resize((10, 10), Image.Resampling.LANCZOS))))
    row = [(4 + 7 * i, 250 + 500 * i, 170, 220.0, 0.0) for i in range(3)]
    yield Made("plain/63-wide.jpg", 3, "1500×320", jpg(cast.scene(shipped("china", 1500, 320), *row)))
    column = (25, 150, 250, 240, 0), (31, 150, 800, 200, 0)
    yield Made("plain/64-tall.png", 2, "300×1100", png(cast.scene(shipped("rocket", 300, 1100), *column)))
    three = (0, 900, 1500, 1200, 0), (1, 2050, 1450, 1100, -12), (3, 3200, 1600, 1300, 15)
    huge = cast.scene(shipped("china", 4000, 3000), *three, large=True)
    yield Made("plain/65-huge.jpg", 3, "12 megapixels, orientation 6, faces of 1100 to 1300 pixels", jpg(turned(huge, 6), exif=exif(6)))
    two = (2, 1100, 1500, 1400, 0), (4, 2900, 1500, 1400, 8)
    huge = cast.scene(shipped("flower", 4000, 3000), *two, large=True)
    yield Made("plain/66-huge-grey16.tif", 2, "12 megapixels of 16-bit grey, faces of 1400 pixels", tiff16(deep(grey(huge))))


def sample(index: int) -> Any:
    """The project's own, (H, W, 3)."""
    with Image.open(samples()[index]) as picture:
        return np.asarray(picture.convert("RGB"))


def vignette(values: Any) -> Any:
    """With alpha that fades from the middle to the sides, to a quarter."""
    x = np.abs(np.linspace(-1, 1, values.shape[1]))
    alpha = np.broadcast_to(255 * (1 - 0.75 * x**2), values.shape[:2]).astype(np.uint8)
    return np.concatenate([values, alpha[..., None]], -1)


def main() -> None:
    """Write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--large", type=Path)
    given = parser.parse_args()
    read = [[read_photo(each.path)[0] for each in find_photos([folder])] for folder in (given.faces, given.large or given.faces)]
    said, counts = [], {}
    for made in files(Cast(read[0], read[1])):
        place = given.out / "photos" / made.name
        place.parent.mkdir(parents=True, exist_ok=True)
        made.write(place)
        said.append(f"- `{made.name}`: {made.says}; {made.faces} face{'s' * (made.faces != 1)}")
        counts[made.name] = made.faces
    (given.out / "README.md").write_text("\n".join(["# What is varied", "", *said, ""]), encoding="utf-8")
    (given.out / "faces.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print(f"{len(said)} photos with {sum(counts.values())} faces in {given.out / 'photos'}")


if __name__ == "__main__":
    main()
