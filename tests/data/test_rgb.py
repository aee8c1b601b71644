"""Images of every kind become upright RGB, and what was done to them is said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.data.pictures import encoded, picture

from sendvae.app.uploads import open_upload
from sendvae.data import decode, open_images, rgb
from sendvae.data.encode import UnreadableImage, load_rgb
from sendvae.data.rgb import parse_colour, to_rgb
from sendvae.errors import UserError

GREY = (100, 110, 120)
ORIENTATION = 0x0112


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(picture(1), kind, exif=exif, **options)


def pixels(data: bytes, **options: object) -> np.ndarray:
    return np.asarray(load_rgb(data, 1, **options).image)  # pyrefly: ignore


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """By EXIF's definition: which side of the scene the first row and the first column show."""
    if orientation >= 5:
        stored = stored.transpose(1, 0, 2)
    rows = {1: 1, 2: 1, 3: -1, 4: -1, 5: 1, 6: 1, 7: -1, 8: -1}[orientation]
    columns = {1: 1, 2: -1, 3: -1, 4: 1, 5: 1, 6: -1, 7: -1, 8: 1}[orientation]
    return stored[::rows, ::columns]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_photographs_are_turned_upright_at_every_door(kind: str, orientation: int, tmp_path: Path) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data, plain = turned(orientation, kind, **options), saved(picture(1), kind, **options)
    expected = upright(pixels(plain), orientation)
    assert np.array_equal(pixels(data), expected)
    assert load_rgb(data, 1).changes == ((rgb.TURNED,) if orientation > 1 else ())
    assert np.array_equal(decode(data).permute(1, 2, 0).numpy(), expected)
    (tmp_path / "images").mkdir()
    path = tmp_path / "images" / f"a.{kind.lower()}"
    path.write_bytes(data)
    assert np.array_equal(np.asarray(open_upload(path)), expected)
    folder = open_images(str(tmp_path / "images"))
    assert np.array_equal(folder[0].image.permute(1, 2, 0).numpy(), expected)


def test_a_damaged_orientation_leaves_the_image_as_it_is() -> None:
    data = saved(picture(1), "PNG", exif=b"Exif\0\0no tiff at all")
    assert np.array_equal(pixels(data), np.asarray(picture(1)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_get_the_background(mode: str) -> None:
    image = picture(2).convert("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    image.paste((10, 20, 30, 0), (0, 0, 12, 20))
    data = saved(image.convert(mode), "PNG")
    for background in ((255, 255, 255), GREY):
        result = load_rgb(data, 1, background)
        assert result.changes == (rgb.COMPOSITED,)
        assert (np.asarray(result.image)[:, :12] == background).all()
    opaque = image.convert(mode).convert("RGBA").convert("RGB")
    assert np.array_equal(pixels(data)[:, 12:], np.asarray(opaque)[:, 12:])
    assert (decode(data)[:, :, :12] == 255).all()


def test_half_transparent_parts_are_mixed() -> None:
    data = saved(Image.new("RGBA", (4, 4), (200, 0, 100, 128)), "PNG")
    assert np.abs(pixels(data, background=(0, 100, 100))[0, 0].astype(int) - (100, 50, 100)).max() <= 1


def test_one_colour_that_counts_as_transparent() -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    image.putpixel((0, 0), (9, 9, 9))
    result = pixels(saved(image, "PNG", transparency=(1, 2, 3)), background=GREY)
    assert tuple(result[0, 0]) == (9, 9, 9)
    assert (result[1:] == GREY).all()


def test_opaque_alpha_changes_nothing() -> None:
    image = picture(3)
    image.putalpha(255)
    result = load_rgb(saved(image, "PNG"), 1)
    assert result.changes == ()
    assert np.array_equal(np.asarray(result.image), np.asarray(picture(3)))


@pytest.mark.parametrize(("top", "kind"), [(65535, np.uint16), (1.0, np.float32), (255.0, np.float32)])
def test_deep_levels_are_scaled_by_their_range(top: float, kind: type) -> None:
    levels = np.linspace(0, top, 256).reshape(16, 16).astype(kind)
    result = load_rgb(saved(Image.fromarray(levels), "PNG" if kind is np.uint16 else "TIFF"), 1)
    assert result.changes == (rgb.SCALED,)
    assert np.array_equal(np.asarray(result.image)[..., 0].ravel(), np.arange(256))


def test_a_dark_deep_image_stays_dark() -> None:
    dark = Image.fromarray(np.full((8, 8), 2570, np.uint16))
    assert (pixels(saved(dark, "PNG")) == 10).all()


def test_levels_outside_every_range_are_stretched() -> None:
    levels = np.array([[-1.0, 0.0], [1.0, 4.0]], np.float32)
    assert pixels(saved(Image.fromarray(levels), "TIFF"))[..., 0].tolist() == [[0, 51], [102, 255]]


def test_levels_that_are_no_numbers_are_refused() -> None:
    data = saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF")
    with pytest.raises(UnreadableImage, match="not finite"):
        load_rgb(data, 1)


def test_bits_become_black_and_white() -> None:
    assert set(pixels(saved(picture(1).convert("1"), "PNG")).ravel()) == {0, 255}


def swapping_profile() -> bytes:
    """Of a colour space in which red and green have changed places: not to be overlooked."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for at in range(132, 132 + 12 * count, 12):
        tag = bytes(profile[at : at + 4])
        if tag in (b"rXYZ", b"gXYZ"):
            profile[at : at + 4] = b"gXYZ" if tag == b"rXYZ" else b"rXYZ"
    return bytes(profile)


def test_palettes_are_converted_through_their_profile() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0])
    result = load_rgb(saved(image, "PNG", icc_profile=swapping_profile()), 1)
    assert result.changes == (rgb.CONVERTED,)
    red, green, blue = np.asarray(result.image)[0, 0]
    assert green > 250
    assert max(red, blue) < 5


def test_cmyk_goes_through_its_profile_where_that_is_whole() -> None:
    image = picture(1).convert("CMYK")
    plain = load_rgb(saved(image, "JPEG"), 1)
    assert plain.changes == ()
    damaged = load_rgb(saved(image, "JPEG", icc_profile=b"no profile" * 20), 1)
    assert damaged.changes == (rgb.PROFILE_DAMAGED,)
    assert np.array_equal(np.asarray(damaged.image), np.asarray(plain.image))


def test_rgb_is_read_as_published_evaluations_read_it() -> None:
    """They pass over the profile; the pixels are those of the file."""
    data = saved(picture(1), "PNG", icc_profile=swapping_profile())
    assert np.array_equal(pixels(data), np.asarray(picture(1)))
    assert load_rgb(data, 1).changes == ()  # it calls itself sRGB
    named = "sRGB".encode("utf-16-be")
    other = swapping_profile().replace(named, "Wide".encode("utf-16-be"))
    wide = load_rgb(saved(picture(1), "JPEG", icc_profile=other), 1)
    assert wide.changes == (rgb.PROFILE_LEFT,)
    older = other.replace("Wide".encode("utf-16-be"), b"sRGB----")  # as version 2 writes names
    assert load_rgb(saved(picture(1), "JPEG", icc_profile=older), 1).changes == ()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    result = load_rgb(saved(frames[0], kind, save_all=True, append_images=frames[1:], **options), 1)
    assert result.changes == (rgb.FIRST_FRAME,)
    assert (np.asarray(result.image) == (255, 0, 0)).all()


def test_a_plain_photograph_is_what_pil_reads() -> None:
    data = encoded(4, "JPEG")
    assert np.array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert load_rgb(data, 1).changes == ()


def test_an_image_that_was_never_a_file() -> None:
    assert np.array_equal(np.asarray(to_rgb(picture(5)).image), np.asarray(picture(5)))


def test_colours() -> None:
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#ff8800") == (255, 136, 0)
    with pytest.raises(UserError, match="not a colour"):
        parse_colour("whiteish")
