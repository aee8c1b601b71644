"""The worst reconstructions of a tokenizer: original, reconstruction and difference, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

MARGIN, TITLE = 4, 14  # pixels
MIN_SIDE = 128  # smaller images are enlarged to about that
MIN_COLUMN = 96  # pixels, so that titles over small pictures can be read
WHITE, BLACK = 255, (0, 0, 0)
MIDDLE = 128  # of the difference: grey where nothing differs


class Pair(NamedTuple):
    """An image, its reconstruction, and the title of their row."""

    original: UInt8[Tensor, "3 H W"]
    reconstruction: UInt8[Tensor, "3 H W"]
    caption: str


def save_gallery(pairs: Sequence[Pair], path: Path) -> None:
    """Write a PNG with a captioned row for each pair."""
    rows = [_row(pair) for pair in pairs]
    width, height = max(row.width for row in rows), sum(row.height + TITLE for row in rows)
    sheet = Image.new("RGB", (width, height), (WHITE,) * 3)
    draw, top = ImageDraw.Draw(sheet), 0
    for pair, row in zip(pairs, rows, strict=True):
        draw.text((MARGIN, top + 1), pair.caption, fill=BLACK)
        sheet.paste(row, (0, top + TITLE))
        top += row.height + TITLE
    temporary = path.with_name(f".{path.name}.part")
    sheet.save(temporary, format="PNG")
    temporary.replace(path)


def difference_of(
    original: UInt8[Tensor, "3 H W"], reconstruction: UInt8[Tensor, "3 H W"]
) -> UInt8[Tensor, "3 H W"]:
    """Return the reconstruction minus the original as a picture: grey where they agree, clamped at the ends."""
    return (reconstruction.short() - original.short() + MIDDLE).clamp(0, 255).byte()


def titled_row(columns: Sequence[tuple[str, UInt8[Tensor, "3 H W"]]]) -> Image.Image:
    """Return pictures of one size side by side at their own size, each under its title."""
    height, width = columns[0][1].shape[1:]
    step = max(width, MIN_COLUMN) + MARGIN
    sheet = Image.new("RGB", (MARGIN + step * len(columns), TITLE + height + MARGIN), (WHITE,) * 3)
    draw = ImageDraw.Draw(sheet)
    for i, (title, pixels) in enumerate(columns):
        left = MARGIN + i * step
        draw.text((left, 1), _shortened(title, step - MARGIN, draw), fill=BLACK)
        sheet.paste(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()), (left, TITLE))
    return sheet


def _shortened(title: str, width: int, draw: ImageDraw.ImageDraw) -> str:
    while len(title) > 1 and draw.textlength(title) > width:
        title = title[:-1]
    return title


def _row(pair: Pair) -> Image.Image:
    from torchvision.utils import make_grid

    difference = difference_of(pair.original, pair.reconstruction)
    factor = max(1, round(MIN_SIDE / pair.original.shape[-1]))
    images = [
        image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        for image in (pair.original, pair.reconstruction, difference)
    ]
    grid = make_grid(images, nrow=3, padding=MARGIN, pad_value=WHITE)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())
