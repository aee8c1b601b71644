"""Images of a folder, an archive or a hub data set, decoded at each access."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from sendvae.data.encode import UnreadableImage, load_rgb
from sendvae.data.images import ImageBatch, Indices, Sample
from sendvae.data.sources import DEFAULT_SPLIT, Listing, number_classes
from sendvae.errors import UserError

Transform = Callable[[Image.Image], Tensor]


class FileImages:
    """An image set of files that were not prepared by `sendvae data prepare`.

    Args:
        source: the source as the user gave it, for messages.
        listing: what it holds.
        transform: an RGB image to (3, H, W): uint8, or float in [-1, 1].
        view: what `transform` does, for the fingerprint: other crops of the same files are other images.
        split: only the images of this one; those that are of none count as "train", as in what `sendvae data prepare`
            makes of them.
        labelled: whether every image must have a class, or none; otherwise a set with some of either has no classes.

    Raises:
        UserError: there are no images, or `labelled` is set and only some have a class.
    """

    def __init__(
        self,
        source: str,
        listing: Listing,
        transform: Transform,
        view: str = "as they are",
        split: str | None = None,
        labelled: bool = False,
    ) -> None:
        self.source, self.reader, self.split = source, listing.reader, split or "all"
        self.transform, self.view = transform, view
        found = [i for i in listing.images if split is None or (i.split or DEFAULT_SPLIT) == split]
        if not found:
            names = sorted({image.split or DEFAULT_SPLIT for image in listing.images})
            raise UserError(
                f"{source} has no split '{split}'",
                expected="one of " + ", ".join(names) if names else "images",
                next_step="prepare it: sendvae data prepare",
            )
        if not labelled and any(image.label is None for image in found):
            found = [image._replace(label=None) for image in found]
        names, labels = number_classes(found, listing.class_names)
        self.class_names, self.labels = tuple(names), np.asarray(labels, np.int64)
        self.images = found
        self.keys = [image.name for image in self.images]
        self._shape: tuple[int, ...] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest of names, bytes and crop; every file is read."""
        total = hashlib.sha256()
        with ThreadPoolExecutor() as pool:
            for image, digest in zip(self.images, pool.map(self._digest, range(len(self))), strict=True):
                total.update(f"{image.name}\n".encode() + digest)
        return f"sha256:{total.hexdigest()}, {self.view}"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Sample(self._image(index), int(self.labels[index]), self.keys[index])

    def batch(self, indices: Indices) -> ImageBatch:
        """Return the images at positions, in the order of the positions.

        Raises:
            UserError: an image cannot be read, or its size differs from those before it.
        """
        positions = np.asarray(indices).tolist()
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(self._image, positions))
        self._shape = self._shape or tuple(images[0].shape[1:])
        for position, image in zip(positions, images, strict=True):
            if tuple(image.shape[1:]) != self._shape:
                raise UserError(
                    f"the images of {self.source} differ in size",
                    given=f"{self.keys[position]}: {image.shape[2]} x {image.shape[1]} pixels",
                    expected=f"{self._shape[1]} x {self._shape[0]}, as those before it",
                    next_step="prepare them in one size: sendvae data prepare",
                )
        return ImageBatch(torch.stack(images), self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return class numbers, all 0 where there are no classes."""
        return torch.from_numpy(self.labels[np.asarray(indices)])

    def _image(self, position: int) -> Tensor:
        found = self.images[position]
        try:
            return self.transform(load_rgb(self.reader.read(found.place), 1).image)
        except (UnreadableImage, ValueError) as error:
            raise UserError(
                f"an image of {self.source} cannot be read",
                given=f"{found.name} ({error})",
                next_step="mend or remove it",
            ) from None

    def _digest(self, position: int) -> bytes:
        return hashlib.sha256(self.reader.read(self.images[position].place)).digest()
