"""The ADM crop against its definition, written with numpy and PIL's reduce."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sendvae.data import center_crop


def by_definition(image: Image.Image, size: int) -> np.ndarray:
    while min(image.size) // 2 >= size:
        image = image.resize(tuple(side // 2 for side in image.size), resample=Image.BOX)
    scale = size / min(image.size)
    image = image.resize(tuple(round(side * scale) for side in image.size), resample=Image.BICUBIC)
    array = np.array(image)
    top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return array[top : top + size, left : left + size]


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(3, 200), height=st.integers(3, 200), size=st.integers(2, 48), seed=st.integers(0, 99)
)
def test_bit_equal_to_the_definition(width: int, height: int, size: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cropped = center_crop(Image.fromarray(pixels), size)
    assert cropped.size == (size, size)
    assert np.array_equal(np.array(cropped), by_definition(Image.fromarray(pixels), size))
