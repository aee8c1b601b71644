"""Small images for tests of data preparation."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 24, height: int = 20) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(seed: int, kind: str = "PNG", enlarged: int = 1) -> bytes:
    buffer = io.BytesIO()
    picture(seed, 24 * enlarged, 20 * enlarged).save(buffer, kind)
    return buffer.getvalue()


def write_folder(folder: Path, names: list[str], enlarged: int = 1) -> None:
    """Write an image for each name, whose seed is its place in the list.

    Args:
        folder: the folder to write into.
        names: the paths of the images below it.
        enlarged: the factor of the sides of 24 x 20 pixels, for images that take time to read.
    """
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(seed, enlarged=enlarged))


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of the bytes of every file below a folder, by path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
