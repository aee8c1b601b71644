"""Crops to a square of one size: ADM's, which ImageNet generation results share, and LightningDiT's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize by `short_side`, then cut out the centre: `center_crop_arr` of guided-diffusion (SiT, REPA, REPA-E)."""
    image = short_side(image, size)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def short_side(image: Image.Image, size: int) -> Image.Image:
    """Halve with a box filter while the short side is at least twice `size`, then resize it to `size` (bicubic)."""
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def as_pixels(image: Image.Image) -> UInt8[Tensor, "3 H W"]:
    """Return the pixels of an RGB image without a crop."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def adm_crop(size: int) -> Callable[[Image.Image], UInt8[Tensor, "3 H W"]]:
    """Return ADM's centre crop, uint8."""
    return lambda image: as_pixels(center_crop(image, size))


def lightningdit_crop(size: int) -> Callable[[Image.Image], Float[Tensor, "3 H W"]]:
    """Float in [-1, 1]: short side to `size` (bilinear, antialiased, on floats), then the centre.

    Source: LightningDiT, `evaluate_tokenizer.py`, torchvision's Resize and CenterCrop of a tensor.
    """

    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as transforms

    def transform(image: Image.Image) -> Float[Tensor, "3 H W"]:
        pixels = as_pixels(image).float() / 255.0
        resized = transforms.resize(pixels, [size], InterpolationMode.BILINEAR, antialias=True)
        return transforms.center_crop(resized, [size, size]) * 2.0 - 1.0

    return transform


CROPS: dict[str, Callable[[int], Callable[[Image.Image], Tensor]]] = {
    "adm": adm_crop,
    "lightningdit": lightningdit_crop,
    "none": lambda _size: as_pixels,
}
