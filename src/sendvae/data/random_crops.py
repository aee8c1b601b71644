"""Crops of images that are larger than the training resolution."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from sendvae.data.images import ImageBatch, Indices, Sample, ShardImages
from sendvae.errors import UserError

BITS = 16  # of a place along one side


class CroppedImages:
    """An image set in crops of one size: the centre crop by default, others by `cropped`.

    Args:
        images: images of any sizes from `size` on, also different ones.
        size: the size of the window's sides, pixels.
    """

    def __init__(self, images: ShardImages, size: int) -> None:
        self.images, self.size = images, size
        self.class_names, self.split, self.keys = images.class_names, images.split, images.keys
        self.source = images.source
        self.fingerprint = f"central {size} pixels of {images.fingerprint}"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        sample = self.images[index]
        return sample._replace(image=self._window(sample.image, index, None))

    def batch(self, indices: Indices) -> ImageBatch:
        """Return the centre crops of the images at positions."""
        return self._batch(indices, [None] * len(indices))

    def cropped(self, indices: Indices, places: Int64[np.ndarray, " B"]) -> ImageBatch:
        """Return crops at the places of `batch_crops`; all crops inside an image are equally likely."""
        return self._batch(indices, [int(place) for place in places])

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return the class numbers of the uncropped images."""
        return self.images.labels_of(indices)

    def _batch(self, indices: Indices, places: list[int | None]) -> ImageBatch:
        windows = [
            self._window(image, int(index), place)
            for image, index, place in zip(self.images.decoded(indices), indices, places, strict=True)
        ]
        return ImageBatch(torch.stack(windows), self.labels_of(indices))

    def _window(self, image: UInt8[Tensor, "3 H W"], index: int, place: int | None) -> UInt8[Tensor, "3 s s"]:
        down, right = (side - self.size for side in image.shape[1:])  # the farthest places
        if min(down, right) < 0:
            raise UserError(
                f"an image of {self.source} is smaller than the crop",
                given=f"{self.keys[index]}: {image.shape[2]} x {image.shape[1]} pixels",
                expected=f"data.size={self.size} pixels or more on both sides",
                next_step="set data.size, or prepare the images with --crop short-side and that --size",
            )
        if place is None:
            top, left = down // 2, right // 2
        else:
            top = (place >> BITS) * (down + 1) >> BITS
            left = (place & (1 << BITS) - 1) * (right + 1) >> BITS
        return image[:, top : top + self.size, left : left + self.size]
