"""Converts an image of any kind to upright 8-bit RGB, and records what had to be changed."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from sendvae.errors import UserError

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

TURNED = "turned upright as its EXIF data say"
COMPOSITED = "transparent parts filled with the background"
SCALED = "more than 8 bits per channel, scaled to 8 by their range"
CONVERTED = "converted to sRGB through its colour profile"
PROFILE_DAMAGED = "its colour profile is damaged and was not used"
PROFILE_LEFT = "its colour profile is not sRGB and was left aside, as published evaluations do"
FIRST_FRAME = "the first of several frames taken"

UPRIGHT = {  # EXIF orientation -> what turns it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DEEP = ("I", "F")  # first letter of the modes of more than 8 bits, which are grey
PROFILED = ("CMYK", "P", "PA")  # modes whose colours mean little without their profile
ONE_PICTURE = ("JPEG", "MPO")  # formats whose further frames are thumbnails or other views
SRGB = "sRGB"
LEVELS_8, LEVELS_16 = 255.0, 65535.0  # the highest level of 8 and of 16 bits


class Rgb(NamedTuple):
    """An image in RGB.

    Attributes:
        image: an image of mode "RGB".
        changes: what was done beyond decoding, as sentences that are equal for equal changes.
    """

    image: Image.Image
    changes: tuple[str, ...]


def to_rgb(image: Image.Image, background: Colour = WHITE) -> Rgb:
    """Return the first frame of an opened image, upright, in 8-bit RGB.

    Transparent parts lie on `background`. Levels of more than 8 bits are scaled by their range (`_eight_bits`). CMYK
    images and palettes are converted through the colour profile that they carry; the profile of an RGB image is left
    aside, as published evaluations on ImageNet do.

    Raises:
        ValueError: levels that are not finite. PIL's readers raise other errors for damaged images.
    """
    changes = []
    if image.format not in ONE_PICTURE and getattr(image, "is_animated", False):
        changes.append(FIRST_FRAME)
        image.seek(0)
    turn = _orientation(image)
    image.load()  # some readers turn the image themselves, and then say that it is upright
    if turn is not None:
        changes.append(TURNED)
    if (left := _orientation(image)) is not None:
        image = _turned(image, left)
    if image.mode == "RGB" and _is_of_other_colours(image.info.get("icc_profile")):
        changes.append(PROFILE_LEFT)
    if image.mode == "RGB" and not image.has_transparency_data:
        return Rgb(image.copy() if image.format else image, tuple(changes))
    if image.mode.startswith(DEEP):
        return Rgb(_eight_bits(image).convert("RGB"), (*changes, SCALED))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colours, how = _colours(image)
    if how:
        changes.append(how)
    if alpha is not None and alpha.getextrema() != (255, 255):
        changes.append(COMPOSITED)
        colours = Image.composite(colours, Image.new("RGB", colours.size, background), alpha)
    return Rgb(colours, tuple(changes))


def parse_colour(text: str) -> Colour:
    """Return a colour given as "white", "#ff8800" or "rgb(255, 136, 0)".

    Raises:
        UserError: the text is no colour.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise UserError(
            "not a colour", given=text, expected="a name as white or grey, or a code as '#ff8800'"
        ) from None
    return red, green, blue


def _is_of_other_colours(profile: bytes | None) -> bool:
    """Return whether a profile is named otherwise than sRGB; versions 2 and 4 store names in 8 and 16 bits."""
    return bool(profile) and not any(SRGB.encode(encoding) in profile for encoding in ("ascii", "utf-16-be"))


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Return the operation that turns an image upright; None if it is upright or has no readable orientation."""
    try:
        return UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, KeyError, TypeError, OSError):  # damaged EXIF data; the pixels are not
        return None


def _turned(image: Image.Image, turn: Image.Transpose) -> Image.Image:
    turned = image.transpose(turn)
    turned.info = dict(image.info)
    return turned


def _colours(image: Image.Image) -> tuple[Image.Image, str | None]:
    """Return an image in RGB, with its transparency dropped, and how its colour profile was treated."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in PROFILED:
        return _without_alpha(image), None
    from PIL import ImageCms

    given = image if image.mode == "CMYK" else _without_alpha(image)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(given, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return _without_alpha(image), PROFILE_DAMAGED
    assert converted is not None
    return converted, CONVERTED


def _without_alpha(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:  # straight to RGB would lose the colours of some palettes
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of more than 8 bits in 8 bits.

    Whole numbers count to 65535, floats to 1, 255 or 65535, whichever is the first that none exceeds. Levels below 0
    or beyond 65535 are stretched from the lowest to the highest of the image.

    Raises:
        ValueError: a level is not finite.
    """
    levels = np.asarray(image, np.float64)
    low, high = float(levels.min()), float(levels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("levels that are not finite numbers")
    ranges = (1.0, LEVELS_8, LEVELS_16) if image.mode.startswith("F") else (LEVELS_16,)
    full = next((top for top in ranges if low >= 0 and high <= top), None)
    if full is None:
        levels, full = levels - low, high - low or 1.0
    return Image.fromarray((levels * (LEVELS_8 / full)).round().astype(np.uint8))
