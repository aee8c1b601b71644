"""Sets of labelled images, read by position."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import fsspec
import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from sendvae.data.attributes import AttributeTable
from sendvae.data.locations import exists, is_local
from sendvae.data.rgb import to_rgb
from sendvae.data.shards import ShardIndex, open_shards
from sendvae.data.sources.listing import UNLABELLED
from sendvae.errors import UserError
from sendvae.registry import Registry

Indices = Sequence[int] | np.ndarray
ATTRIBUTES = "attributes.json"
EMBEDDED: Registry[Path] = Registry("embedded data set", {"emoji": Path(__file__).parent / "emoji"})


class Sample(NamedTuple):
    """One image, its class number and its key."""

    image: UInt8[Tensor, "3 H W"]
    label: int
    key: str


class ImageBatch(NamedTuple):
    """Images of one size, and their class numbers."""

    images: UInt8[Tensor, "B 3 H W"]
    labels: Int64[Tensor, " B"]


@runtime_checkable
class ImageSet(Protocol):
    """A map-style data set."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return a name for every class number."""
        ...

    @property
    def split(self) -> str:
        """Return the name of the split, usually "train", "val" or "test"; "all" for a set that has none."""
        ...

    @property
    def keys(self) -> list[str]:
        """Return a unique name for every image."""
        ...

    @property
    def source(self) -> str:
        """Return where the images lie, for people to read."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return what identifies the content, for caches computed from it.

        Other pixels, another order or another number of images give another fingerprint.
        """
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...

    def batch(self, indices: Indices) -> ImageBatch:
        """Return the images at positions from 0 on, in their order; a position may come twice.

        Raises:
            UserError: an image cannot be read, or the images differ in size.
        """
        ...

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return the class numbers at positions, without reading an image."""
        ...


class ShardImages:
    """Images of one split of tar shards, decoded on every access."""

    def __init__(self, index: ShardIndex, split: str) -> None:
        self.index, self.split, self.source = index, split, index.location
        self.class_names = tuple(index.manifest["class_names"])
        self.keys = index.keys
        self.fingerprint = f"{split} {index.fingerprint}"

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        (image,) = self.decoded([index])
        return Sample(image, int(self.index.labels[index]), self.keys[index])

    def decoded(self, indices: Indices) -> list[UInt8[Tensor, "3 _ _"]]:
        """Return the images at their stored sizes, which may differ.

        Raises:
            UserError: an image is damaged, or a shard is missing or truncated.
        """
        positions = np.asarray(indices).tolist()
        return [
            self._decode(position, data)
            for position, data in zip(positions, self.index.read_many(positions), strict=True)
        ]

    def _decode(self, position: int, data: bytes) -> UInt8[Tensor, "3 _ _"]:
        try:
            return decode(data)
        except Exception as error:  # PIL's readers raise whatever the damage leads to
            raise UserError(
                "an image of a shard is damaged",
                given=f"{self.keys[position]} in {self.index.shard_of(position)} ({error})",
                next_step="copy that shard again, or prepare the data set again",
            ) from None

    def batch(self, indices: Indices) -> ImageBatch:
        """Decode the images at positions.

        Raises:
            UserError: they differ in size, or a shard is missing or cut short.
        """
        images = self.decoded(indices)
        sizes = {tuple(image.shape[1:]) for image in images}
        if len(sizes) > 1:
            shown = ", ".join(f"{width} x {height}" for height, width in sorted(sizes)[:3])
            raise UserError(
                f"the images of {self.source} differ in size",
                given=shown,
                next_step="train on them with data.crop=random, or prepare them with --crop adm",
            )
        return ImageBatch(torch.stack(images), self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return class numbers of the index."""
        return torch.from_numpy(self.index.labels[np.asarray(indices)])

    def has_attributes(self) -> bool:
        """Whether the data set has a table of attributes."""
        return exists(f"{self.index.location}/{ATTRIBUTES}")

    @cached_property
    def attributes(self) -> AttributeTable:
        """Return the attributes of this split's images, in their order.

        Raises:
            UserError: the data set has none.
        """
        path = f"{self.index.location}/{ATTRIBUTES}"
        if not is_local(path):
            try:
                path = str(fsspec.open_local(f"simplecache::{path}"))
            except FileNotFoundError:
                raise UserError("no attribute table", given=path) from None
        return AttributeTable.load(Path(path)).only(self.keys)


class TensorImages:
    """Images that are in memory, without classes."""

    def __init__(self, pixels: UInt8[Tensor, "N 3 H W"], split: str = "all") -> None:
        self.pixels, self.split, self.source = pixels.cpu().contiguous(), split, "in memory"
        self.class_names: tuple[str, ...] = (UNLABELLED,)
        self.keys = [str(i) for i in range(len(pixels))]

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest of shape and pixels."""
        digest = hashlib.sha256(str(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.numpy().tobytes())
        return f"pixels:{digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Sample(self.pixels[index], 0, self.keys[index])

    def batch(self, indices: Indices) -> ImageBatch:
        """Copy the images from memory."""
        return ImageBatch(self.pixels[torch.as_tensor(np.asarray(indices))], self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return zeros, the one class there is."""
        return torch.zeros(len(indices), dtype=torch.int64)


class FirstImages:
    """The first `limit` images of a set."""

    def __init__(self, images: ImageSet, count: int) -> None:
        self.images, self.split, self.source = images, images.split, images.source
        self.class_names = images.class_names
        self.keys = list(images.keys[:count])

    @cached_property
    def fingerprint(self) -> str:
        """Return the whole set's fingerprint with the number of images appended."""
        return f"{self.images.fingerprint}[:{len(self)}]"

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.images[index]

    def batch(self, indices: Indices) -> ImageBatch:
        """Return the whole set's images at these positions."""
        return self.images.batch(indices)

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return the whole set's class numbers at these positions."""
        return self.images.labels_of(indices)


class EmbeddedImages(ShardImages):
    """A small set that ships with the package: decoded once, kept in memory, with its attributes."""

    def __init__(self, folder: Path, split: str, limit: int | None = None) -> None:
        super().__init__(open_shards(folder, split, limit), split)
        self.folder, self.source = folder, f"embedded:{folder.name}"

    @cached_property
    def pixels(self) -> UInt8[Tensor, "N 3 H W"]:
        """Return all images of the split, decoded at the first access."""
        shards = {s["name"]: (self.folder / s["name"]).read_bytes() for s in self.index.manifest["shards"]}
        names = [s["name"] for s in self.index.manifest["shards"]]

        def decode_at(i: int) -> Tensor:
            start = int(self.index.offsets[i])
            return decode(shards[names[self.index.shards[i]]][start : start + int(self.index.sizes[i])])

        with ThreadPoolExecutor() as pool:
            return torch.stack(list(pool.map(decode_at, range(len(self)))))

    def decoded(self, indices: Indices) -> list[UInt8[Tensor, "3 _ _"]]:
        """Return images from memory, all of one size. Until they are there, a single one is decoded alone."""
        if len(indices) == 1 and "pixels" not in vars(self):
            return super().decoded(indices)
        return list(self.batch(indices).images)

    def batch(self, indices: Indices) -> ImageBatch:
        """Copy the images from memory."""
        return ImageBatch(self.pixels[torch.as_tensor(np.asarray(indices))], self.labels_of(indices))

    @property
    def licences(self) -> list[str]:
        """Return a line for each source of the artwork: its makers, licence and origin."""
        return (self.folder / "LICENCES.txt").read_text().split("\n\n")[0].splitlines()


def open_embedded(name: str, split: str, limit: int | None = None) -> EmbeddedImages:
    """Open a split of an image set that ships with the package."""
    return EmbeddedImages(EMBEDDED[name], split, limit)


def decode(data: bytes) -> UInt8[Tensor, "3 H W"]:
    """Decode an image (PNG, JPEG, WebP) to RGB by `to_rgb`, with transparent parts on white."""
    with Image.open(io.BytesIO(data)) as image:
        return torch.from_numpy(np.array(to_rgb(image).image)).permute(2, 0, 1).contiguous()


def to_float(images: UInt8[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 H W"]:
    """Convert uint8 to float in [-1, 1]: x / 127.5 - 1."""
    return images.float() / 127.5 - 1.0


def to_uint8(images: Float[Tensor, "*B 3 H W"]) -> UInt8[Tensor, "*B 3 H W"]:
    """Convert [-1, 1] to uint8: values are clamped and rounded to the nearest of 0..255."""
    return (images.float() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)
