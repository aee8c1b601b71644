"""Uploads: what is taken, what is refused before it is decoded, how it becomes a square."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sendvae.app import uploads
from sendvae.app.refusal import Refusal
from sendvae.app.uploads import MAX_PIXELS, open_upload, square
from sendvae.data import center_crop
from sendvae.data.crop import as_pixels


def photo(width: int = 30, height: int = 20, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options: object) -> Path:
    image.save(folder / name, **options)  # type: ignore[arg-type]
    return folder / name


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 10)), (b"IEND", b"")]
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.gif", "a.jpg", "a.webp"])
def test_pictures_of_every_format(tmp_path: Path, name: str) -> None:
    opened = open_upload(saved(tmp_path, photo(), name))
    assert (opened.mode, opened.size) == ("RGB", (30, 20))
    if name in ("a.png", "a.bmp", "a.tiff"):
        assert np.array_equal(np.array(opened), np.array(photo()))


def test_transparent_parts_lie_on_white(tmp_path: Path) -> None:
    image = photo(8, 8).convert("RGBA")
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[:4], alpha[4] = 0, 128
    image.putalpha(Image.fromarray(alpha))
    opened = np.array(open_upload(saved(tmp_path, image)), dtype=float)
    assert (opened[:4] == 255).all()
    assert np.array_equal(opened[5:], np.array(photo(8, 8))[5:])
    share = 128 / 255
    assert opened[4] == pytest.approx(np.array(photo(8, 8))[4] * share + 255 * (1 - share), abs=1)


def test_a_camera_that_lay_on_its_side(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    opened = open_upload(saved(tmp_path, photo(), exif=exif))
    assert opened.size == (20, 30)
    assert np.array_equal(np.array(opened), np.rot90(np.array(photo()), -1))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    opened = np.array(open_upload(saved(tmp_path, Image.fromarray(levels))))
    assert (opened[..., 0] == levels // 256).all()
    assert (opened[..., 0] == opened[..., 2]).all()


def test_a_bomb_is_refused_by_its_header_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that pillow warns of, nor those that it refuses, nor smaller ones above our limit are decoded."""

    def decoded(_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(uploads, "to_rgb", decoded)
    pillows = Image.MAX_IMAGE_PIXELS
    assert pillows is not None
    for pixels in (MAX_PIXELS + 7000, pillows + 20_000, 2 * pillows + 40_000, 2**40):
        side = int(pixels**0.5) + 1
        path = tmp_path / "bomb.png"
        path.write_bytes(png_that_says(side, side))
        with pytest.raises(Refusal, match="too many pixels"):
            open_upload(path)


def test_as_many_pixels_as_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, photo(30, 20))
    monkeypatch.setattr(uploads, "MAX_PIXELS", 600)
    assert open_upload(path).size == (30, 20)
    monkeypatch.setattr(uploads, "MAX_PIXELS", 599)
    with pytest.raises(Refusal, match="30 × 20 pixels"):
        open_upload(path)


def test_as_many_bytes_as_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, photo())
    monkeypatch.setattr(uploads, "MAX_BYTES", path.stat().st_size)
    open_upload(path)
    monkeypatch.setattr(uploads, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(Refusal, match="too large"):
        open_upload(path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg></svg>"])
def test_files_that_are_no_picture(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(Refusal, match="no picture that can be read") as found:
        open_upload(path)
    assert str(tmp_path) not in str(found.value)


def test_a_picture_that_is_cut_short(tmp_path: Path) -> None:
    path = saved(tmp_path, photo(200, 200))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(Refusal, match="cut short") as found:
        open_upload(path)
    assert str(tmp_path) not in str(found.value)


@pytest.mark.parametrize(("width", "height"), [(3, 3), (200, 9), (9, 200)])
def test_strips_are_refused(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(Refusal, match="too narrow"):
        open_upload(saved(tmp_path, photo(width, height)))


@given(name=st.sampled_from(["png", "jpeg", "gif", "webp", "bmp", "tiff"]), data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_a_picture_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    file = io.BytesIO()
    photo(9, 9).save(file, format=name)
    content = bytearray(file.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "a"
    path.write_bytes(content)
    try:
        assert open_upload(path).mode == "RGB"
    except Refusal:
        return


def test_crop_is_adms() -> None:
    found = square(photo(200, 130), 64, "crop")
    assert torch.equal(found.pixels, as_pixels(center_crop(photo(200, 130), 64)))
    assert found.note == "200 × 130 pixels: cropped to the centre square and scaled to 64 × 64."


def test_padding_keeps_all_of_it() -> None:
    found = square(Image.new("RGB", (128, 64), (10, 20, 30)), 64, "pad")
    pixels = found.pixels.permute(1, 2, 0)
    assert (pixels[:12] == 255).all()
    assert (pixels[-12:] == 255).all()
    assert (pixels[20:44] == torch.tensor([10, 20, 30])).all()
    assert "padded with white" in found.note


def test_a_picture_of_the_right_size_stays() -> None:
    for fit in ("crop", "pad"):
        found = square(photo(64, 64), 64, fit)
        assert torch.equal(found.pixels, as_pixels(photo(64, 64)))
        assert found.note == "64 × 64 pixels, as uploaded."
    assert square(photo(16, 16), 64, "pad").pixels.shape == (3, 64, 64)


def test_an_unknown_fit() -> None:
    with pytest.raises(Refusal, match="no such way to fit"):
        square(photo(), 64, "stretch")
