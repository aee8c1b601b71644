"""Uploaded files as pictures that a tokenizer takes. Nothing is decoded before its size is known."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import NamedTuple

from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sendvae.app.refusal import Refusal
from sendvae.data import center_crop
from sendvae.data.crop import as_pixels
from sendvae.data.rgb import WHITE, to_rgb

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000  # 120 MB once decoded
MIN_SIDE = 4
MAX_ASPECT = 20  # a longer strip would become huge before its centre is cut out
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
READABLE = "PNG, JPEG, WebP, GIF, BMP or TIFF"
FITS = ("crop", "pad")
# The errors that decoders may raise for a damaged file.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    MemoryError,
)


class Square(NamedTuple):
    """A square picture, and a note on how it was made from the uploaded one."""

    pixels: UInt8[Tensor, "3 H H"]
    note: str


def open_upload(path: Path) -> Image.Image:
    """Return an uploaded picture as RGB, upright, with transparent parts on white.

    Of an animation the first picture is taken.

    Raises:
        Refusal: the file is too large, has too many pixels, is damaged, or is no picture.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise Refusal(
            "the file is too large",
            given=f"{size / 2**20:.1f} MiB",
            expected=f"at most {MAX_BYTES >> 20} MiB",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about damaged metadata; the pixels are fine
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                _check_size(*picture.size)
                return to_rgb(picture).image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(None) from None
    except UnidentifiedImageError:
        raise Refusal("this file is no picture that can be read", expected=READABLE) from None
    except DAMAGE:
        raise Refusal("the picture is damaged or cut short", next_step="save or download it again") from None


def square(picture: Image.Image, side: int, fit: str) -> Square:
    """Return a picture as `side` x `side` pixels.

    Args:
        picture: the uploaded picture.
        side: a multiple of what the tokenizers downsample by.
        fit: "crop" takes the centre square, as ADM crops training images; "pad" takes the whole picture, on white.

    Raises:
        Refusal: there is no such way to fit.
    """
    if fit not in FITS:
        raise Refusal("no such way to fit", given=fit, expected=" or ".join(FITS))
    given = f"{picture.width} × {picture.height} pixels"
    size = f"{side} × {side}"
    if picture.size == (side, side):
        return Square(as_pixels(picture), f"{given}, as uploaded.")
    if picture.width == picture.height:
        return Square(as_pixels(center_crop(picture, side)), f"{given}, scaled to {size}.")
    if fit == "crop":
        note = f"{given}: cropped to the centre square and scaled to {size}."
        return Square(as_pixels(center_crop(picture, side)), note)
    longest = max(picture.size)
    sheet = Image.new("RGB", (longest, longest), WHITE)
    sheet.paste(picture, ((longest - picture.width) // 2, (longest - picture.height) // 2))
    return Square(as_pixels(center_crop(sheet, side)), f"{given}: padded with white and scaled to {size}.")


def _check_size(width: int, height: int) -> None:
    given = f"{width} × {height} pixels"
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(given)
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise Refusal(
            "the picture is too narrow",
            given=given,
            expected=f"sides of {MIN_SIDE} pixels and more, one at most {MAX_ASPECT} times the other",
        )


def _too_many_pixels(given: str | None) -> Refusal:
    return Refusal(
        "the picture has too many pixels",
        given=given,
        expected=f"at most {MAX_PIXELS // 10**6} million",
        next_step="make it smaller",
    )
