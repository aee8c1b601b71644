"""Published images with their attributes, in the form that the readers of all attribute sets return."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from sendvae.data.attributes import AttributeTable
from sendvae.data.crop import center_crop
from sendvae.data.encode import UnreadableImage, load_rgb
from sendvae.data.images import ImageBatch, Indices, Sample
from sendvae.data.sources.folder import FolderReader
from sendvae.data.sources.listing import Reader
from sendvae.errors import UserError

SPLITS = ("train", "val", "test")
TEST_SHARE, VAL_SHARE = 0.2, 0.1  # where a set has no split of its own


@dataclass(frozen=True)
class Annotations:
    """The contents of a set's annotation files; the images are not read yet.

    Attributes:
        name: the name of the set.
        keys: a name per image; with `places`, where `reader` finds its bytes.
        splits: per image, one of `SPLITS`.
        attributes: their names; `values` bool (images, attributes).
        labels: class numbers, all 0 where there are no classes.
        groups: one per image; a split keeps the images of a group together.
        digest: the digest of the annotation files.
        boxes: left, top, right, bottom in pixels (images, 4), to which images are cropped; None: whole images.
    """

    name: str
    keys: Sequence[str]
    places: Sequence[Any]
    reader: Reader
    splits: Sequence[str]
    attributes: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    groups: Sequence[str]
    digest: str
    boxes: np.ndarray | None = None


class AnnotatedImages:
    """The images of one split in ADM's centre crop, with their attributes.

    Args:
        size: pixels of the crop.
        limit: use only this many images, from the first on.

    Raises:
        UserError: no image in this split.
    """

    def __init__(self, annotations: Annotations, split: str, size: int, limit: int | None = None) -> None:
        self.annotations, self.split, self.size = annotations, split, size
        self.source = annotations.name
        self.rows = np.flatnonzero(np.asarray(annotations.splits) == split)[:limit]
        if len(self.rows) == 0:
            raise UserError(
                f"{annotations.name} has no image in its split '{split}'",
                expected="one of " + ", ".join(sorted(set(annotations.splits))),
            )
        self.class_names = annotations.class_names
        self.keys = [annotations.keys[i] for i in self.rows]

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest of annotations, names, crop and image bytes; every file of the split is read once."""
        found, total = self.annotations, hashlib.sha256()
        with ThreadPoolExecutor() as pool:
            for key, digest in zip(self.keys, pool.map(self._digest, self.rows.tolist()), strict=True):
                total.update(f"{key}\n".encode() + digest)
        boxes = "" if found.boxes is None else ", in boxes"
        content = total.hexdigest()[:16]
        return f"{found.name} {self.split} {found.digest[:16]} {content} {self.size}px{boxes}"

    @cached_property
    def attributes(self) -> AttributeTable:
        """Return the table of this split's images, in their order."""
        found = self.annotations
        groups = tuple(found.groups[i] for i in self.rows)
        return AttributeTable(tuple(self.keys), found.attributes, found.values[self.rows], groups)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Sample(self._image(index), int(self.annotations.labels[self.rows[index]]), self.keys[index])

    def batch(self, indices: Indices) -> ImageBatch:
        """Return centre crops of the images' boxes, or of whole images; files are read by several threads.

        Raises:
            UserError: a file is missing or damaged, or its box lies outside the image.
        """
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(self._image, np.asarray(indices).tolist()))
        return ImageBatch(torch.stack(images), self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return class numbers of the annotations."""
        return torch.from_numpy(self.annotations.labels[self.rows[np.asarray(indices)]])

    def _digest(self, row: int) -> bytes:
        try:
            return hashlib.sha256(self.annotations.reader.read(self.annotations.places[row])).digest()
        except FileNotFoundError as error:
            raise self._unreadable(row, error) from None

    def _unreadable(self, row: int, error: Exception) -> UserError:
        return UserError(
            f"an image of {self.annotations.name} cannot be read",
            given=f"{self.annotations.keys[row]} ({error or type(error).__name__})",
            next_step="unpack the images where the annotations name them",
        )

    def _image(self, index: int) -> UInt8[Tensor, "3 H W"]:
        found = self.annotations
        row = int(self.rows[index])
        try:
            image = load_rgb(found.reader.read(found.places[row]), self.size).image
            if found.boxes is not None:
                image = _cropped(image, found.boxes[row])
        except (FileNotFoundError, UnreadableImage, ValueError) as error:
            raise self._unreadable(row, error) from None
        pixels = np.array(center_crop(image, self.size))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _cropped(image: Image.Image, box: np.ndarray) -> Image.Image:
    """Return the part of an image inside its box, cut off at the image's edges.

    Raises:
        ValueError: the box lies outside the image.
    """
    left, top, right, bottom = (int(edge) for edge in box)
    if left >= image.width or top >= image.height:
        raise ValueError(f"its box {box.tolist()} lies outside its {image.width} x {image.height} pixels")
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))


def folder_reader(folder: Path) -> Reader:
    """Return a reader whose places are paths below the folder."""
    return FolderReader(str(folder))


def find_file(folder: Path, *names: str) -> Path:
    """Return the first of several paths below a folder that exists.

    Raises:
        UserError: none of them exists.
    """
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise UserError(
        f"{folder} lacks {Path(names[0]).name}",
        expected="one of " + ", ".join(names),
        next_step="unpack the set as it is published into this folder",
    )


def digest_of(*files: Path) -> str:
    """Return the SHA-256 of the concatenated SHA-256 digests of files."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def split_by_hash(groups: Sequence[str], strata: Sequence[int] | np.ndarray) -> list[str]:
    """Return the split of each image: of every stratum's groups a fifth is test, a tenth val, the rest train.

    Groups are chosen by a hash of their names, so the same names give the same split. A group belongs to
    the stratum of its first member.
    """
    stratum: dict[str, int] = {}
    for group, number in zip(groups, strata, strict=True):
        stratum.setdefault(group, int(number))
    members: dict[int, list[str]] = {}
    for group, number in stratum.items():
        members.setdefault(number, []).append(group)
    split: dict[str, str] = {}
    for names in members.values():
        names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
        test, val = round(len(names) * TEST_SHARE), round(len(names) * VAL_SHARE)
        for i, name in enumerate(names):
            split[name] = "test" if i < test else "val" if i < test + val else "train"
    return [split[group] for group in groups]


def malformed(path: Path, number: int, given: str, expected: str) -> UserError:
    """Return the error for a line (counted from 1) that does not have the published layout."""
    return UserError(f"{path}, line {number}, is not as published", given=given[:80], expected=expected)
