"""A contact sheet: each photo's measurement, restoration and original side by side, for a look at a whole run."""

from __future__ import annotations

import functools
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from priorsolve.files import legible, write_atomically

Picture: TypeAlias = torch.Tensor | Image.Image
"""(1 or 3, H, W) in [0, 1], or a Pillow image."""

PAPER, INK, FAINT, EMPTY = "#fbfbfa", "#333333", "#8a8a88", "#efefec"
BOX, GAP, GUTTER, MARGIN = 192, 10, 44, 36  # 192 shows 8, 16, 32 and 64 pixels as whole squares
CAPTION, UNDER, HEAD, FOOT = 40, 20, 34, 30
STAND_IN = "?"
LATIN = str.maketrans({"ß": "ss", "Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d",
                       "ı": "i", "×": "x", "–": "-", "—": "-"})  # fmt: skip
"""Letters that have no accent to be left out."""
MARK = "priorsolve, contact sheet"
"""What a sheet's file says that it was made by: any other picture of its name is somebody's own."""


@dataclass(frozen=True)
class Row:
    """One photo: its name, its pictures by column, a few words to stand right of the name (such as "27.3 dB"), and words under pictures."""

    name: str
    pictures: Mapping[str, Picture]
    note: str = ""
    under: Mapping[str, str] = field(default_factory=dict)


def write_sheet(path: Path, rows: Sequence[Row], *, more: int = 0, remark: str = "") -> None:
    """Draw the rows as a PNG, atomically; `more` that are not drawn are told of, as "and 123 more".

    Columns are all the pictures' names, in the order met; a picture that is missing leaves its place empty. `remark` is added to the
    last line. Raises ValueError when there is no picture at all.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row.pictures))
    if not columns:
        raise ValueError("a sheet needs at least one picture")
    closing = " · ".join(part for part in (f"and {more} more" if more else "", remark) if part)
    data = io.BytesIO()
    mark = PngInfo()
    mark.add_text("Software", MARK)
    _draw(rows, columns, closing).save(data, "PNG", pnginfo=mark)
    write_atomically(path, data.getvalue())


def is_sheet(path: Path) -> bool:
    """Whether the file is a sheet that `write_sheet` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"Software\0" + MARK.encode() in file.read(128)


def _draw(rows: Sequence[Row], columns: list[str], closing: str) -> Image.Image:
    stacks = _stacks(len(rows), len(columns))
    deep = -(-len(rows) // stacks)
    wide = len(columns) * BOX + (len(columns) - 1) * GAP
    high = BOX + CAPTION + (UNDER if any(row.under for row in rows) else 0)
    size = (2 * MARGIN + stacks * wide + (stacks - 1) * GUTTER, 2 * MARGIN + HEAD + deep * high + (FOOT if closing else 0))
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    name_font, head_font = ImageFont.load_default(14), ImageFont.load_default(17)
    for stack in range(stacks):
        left = MARGIN + stack * (wide + GUTTER)
        for place, column in enumerate(columns):
            pen.text((left + place * (BOX + GAP), MARGIN), _fit(pen, _letters(column), head_font, BOX), fill=INK, font=head_font)
        for line, row in enumerate(rows[stack * deep : (stack + 1) * deep]):
            top = MARGIN + HEAD + line * high
            for place, column in enumerate(columns):
                corner = (left + place * (BOX + GAP), top)
                if column in row.pictures:
                    picture = _boxed(row.pictures[column])
                    sheet.paste(picture, (corner[0] + (BOX - picture.width) // 2, top + (BOX - picture.height) // 2))
                else:
                    pen.rectangle((*corner, corner[0] + BOX - 1, top + BOX - 1), fill=EMPTY)
                words = _fit(pen, _letters(row.under.get(column, "")), name_font, BOX)
                pen.text((corner[0], top + BOX + 5), words, fill=FAINT, font=name_font)
            _caption(pen, row, (left, top + high - CAPTION + 7), wide, name_font)
    if closing:
        pen.text((MARGIN, size[1] - MARGIN - 14), _letters(closing), fill=FAINT, font=name_font)
    return sheet


def _stacks(rows: int, columns: int) -> int:
    """Stacks of photos side by side: more of them as the rows grow, as long as the sheet stays about 2000 pixels wide."""
    wanted = 1 if rows <= 3 else 2 if rows <= 12 else 3
    return max(1, min(wanted, 10 // columns))


def _caption(
    pen: ImageDraw.ImageDraw, row: Row, corner: tuple[int, int], wide: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    note = _fit(pen, _letters(row.note), font, wide * 2 // 3) if row.note else ""
    taken = pen.textlength(note, font=font)
    pen.text(corner, _fit(pen, _letters(row.name), font, wide - taken - (12 if note else 0)), fill=INK, font=font)
    pen.text((corner[0] + wide - taken, corner[1]), note, fill=FAINT, font=font)


def _fit(pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, wide: float) -> str:
    """The text, or its beginning and end around an ellipsis: a path's end tells photos apart."""
    text = " ".join(text.split())
    if pen.textlength(text[:400], font=font) <= wide and len(text) <= 400:
        return text
    for kept in range(min(len(text), 400), 1, -1):
        cut = f"{text[: kept // 3]}…{text[-(kept - kept // 3) :]}"
        if pen.textlength(cut, font=font) <= wide:
            return cut
    return "…"


def _letters(text: str) -> str:
    """The text in letters that Pillow's font has: without their accents where it has not, and else `STAND_IN` for each."""
    return "".join(letter if _has(letter) else _folded(letter) for letter in legible(text))


def _folded(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter.translate(LATIN))
    bare = [part for part in parts if unicodedata.category(part) not in ("Mn", "Me", "Cf")]  # accents, and what is not seen
    return "".join(part if _has(part) else STAND_IN for part in bare)


@functools.cache
def _has(letter: str) -> bool:
    """Whether the font has it: what it lacks is drawn as a box, such as a letter that nobody has defined."""
    if letter.isspace():
        return True  # one space when it is drawn
    try:
        return bytes(_FONT.getmask(letter)) != bytes(_FONT.getmask("\ue000"))
    except UnicodeEncodeError:  # the font of a Pillow that was built without FreeType
        return False


_FONT = ImageFont.load_default(14)


def _boxed(picture: Picture) -> Image.Image:
    """The picture as RGB with its longer side at BOX: small ones as plain squares, so that each measured pixel can be seen."""
    image = _pillow(picture).convert("RGB")
    longer = max(image.size)
    size = (max(1, round(image.width * BOX / longer)), max(1, round(image.height * BOX / longer)))
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.NEAREST if longer <= BOX // 2 else Image.Resampling.LANCZOS)


def _pillow(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    values = (picture.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(values[0] if len(values) == 1 else values.transpose(1, 2, 0)))
