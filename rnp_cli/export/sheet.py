"""A sheet of pictures: rows and columns of tiles, with a caption under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rnp_cli.export.pictures import tile

_GAP = 8
_TEXT = 18  # height of a line
_FONT = 13
_INK = "black"
_PAPER = "white"


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture (1 or 3, height, width) in [0, 1]; None leaves the place empty."""

    pixels: Tensor | None
    caption: str


@dataclass(frozen=True, eq=False)
class Row:
    """A line of text over tiles."""

    title: str
    tiles: Sequence[Tile]


def sheet(rows: Sequence[Row]) -> Image.Image:
    """Lay out rows of tiles; all pictures have one size, all text is ASCII."""
    shown = next(t.pixels for row in rows for t in row.tiles if t.pixels is not None)
    width, height = tile(shown).size
    columns = max(len(row.tiles) for row in rows)
    row_height = height + 2 * _TEXT + _GAP
    drawn = Image.new(
        "RGB", (columns * (width + _GAP) + _GAP, len(rows) * row_height + _GAP), _PAPER
    )
    draw = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(_FONT)
    for number, row in enumerate(rows):
        top = _GAP + number * row_height
        draw.text((_GAP, top), row.title, fill=_INK, font=font)
        for column, one in enumerate(row.tiles):
            left = _GAP + column * (width + _GAP)
            if one.pixels is not None:
                drawn.paste(tile(one.pixels), (left, top + _TEXT))
                draw.rectangle(
                    (
                        left - 1,
                        top + _TEXT - 1,
                        left + width,
                        top + _TEXT + height,
                    ),
                    outline="gray",
                )
            draw.text((left, top + _TEXT + height), one.caption, fill=_INK, font=font)
    return drawn
