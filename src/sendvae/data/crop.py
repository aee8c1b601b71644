"""The ADM centre crop, which ImageNet generation results share."""

from __future__ import annotations

from PIL import Image


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Halves with a box filter while the short side is at least twice `size`, then bicubic, then crops.

    Source: `center_crop_arr` of guided-diffusion, as used by SiT, REPA and REPA-E.
    """
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
