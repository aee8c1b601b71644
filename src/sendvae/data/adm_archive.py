"""The .npz files of ADM's evaluator; images are streamed, since 50,000 of 256 x 256 pixels take 9.8 GB."""

from __future__ import annotations

import hashlib
import math
import zipfile
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from sendvae.data.images import ImageBatch, Indices, Sample
from sendvae.data.sources.listing import UNLABELLED
from sendvae.data.zips import zip_damage
from sendvae.errors import UserError

IMAGES, LABELS = "arr_0", "arr_1"
STATISTICS = {"pool": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}
MOST_CLASSES = 10**6  # each gets a name, and a damaged number must not ask for more than the memory holds
LAYOUT = f"{IMAGES}: uint8 (N, H, W, 3)"


class AdmArchive:
    """The images of `arr_0`, read from the archive when needed, and the feature statistics that may lie beside it.

    Ascending positions are read fast: the archive is a stream, which restarts from its beginning when a position is
    lower than the one before. Classes are the numbers in `arr_1`, where there is one, as in ADM's files of samples.

    Args:
        limit: use only this many images, from the first on.

    Raises:
        UserError: the file is missing, truncated or no npz file, or its `arr_0` does not hold images.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path, self.source, self.split = path, str(path), "all"
        try:
            with zip_damage(self._not_whole), zipfile.ZipFile(path) as archive:
                self.names = {name.removesuffix(".npy") for name in archive.namelist()}
        except FileNotFoundError:
            raise UserError("no such file", given=path) from None
        self.shape = self._image_shape() if IMAGES in self.names else (0, 0, 0, 3)
        self.count = self.shape[0] if limit is None else min(limit, self.shape[0])
        self._labels = self._read_labels() if LABELS in self.names else None
        count = 0 if self._labels is None else int(self._labels.max()) + 1
        self.class_names = tuple(map(str, range(count))) or (UNLABELLED,)
        self._file: Any = None  # stands behind the image that was read last
        self._start = 0

    @cached_property
    def keys(self) -> list[str]:
        """Return `arr_0[i]` for image i."""
        return [f"{IMAGES}[{i}]" for i in range(len(self))]

    @cached_property
    def fingerprint(self) -> str:
        """Return the digest of the whole file."""
        with self.path.open("rb") as file:
            whole = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        return whole if self.count == self.shape[0] else f"{whole}[:{self.count}]"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        images, labels = self.batch([index])
        return Sample(images[0], int(labels[0]), self.keys[index])

    def batch(self, indices: Indices) -> ImageBatch:
        """Return the images at positions, in the order of the positions.

        Raises:
            UserError: the file is damaged, or ends before one of them.
        """
        positions = np.asarray(indices)
        images = torch.empty(len(positions), *self.shape[1:], dtype=torch.uint8)
        with zip_damage(self._damaged):
            for place in np.argsort(positions, kind="stable"):
                images[place] = self._read(int(positions[place]))
        return ImageBatch(images.permute(0, 3, 1, 2).contiguous(), self.labels_of(indices))

    def labels_of(self, indices: Indices) -> Int64[Tensor, " B"]:
        """Return the class numbers at positions, zeros where the file has none."""
        positions = np.asarray(indices)
        if self._labels is None:
            return torch.zeros(len(positions), dtype=torch.int64)
        return torch.from_numpy(self._labels[positions])

    def _read_labels(self) -> np.ndarray | None:
        """Return `arr_1` if it is one number from 0 on for every image, and none is larger than any class."""
        with (
            self._reading(LABELS),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{LABELS}.npy") as file,
        ):
            labels = np.lib.format.read_array(file, allow_pickle=False)
        fits = (
            labels.shape == self.shape[:1] != (0,)
            and labels.dtype.kind in "iu"
            and bool(((labels >= 0) & (labels < MOST_CLASSES)).all())
        )
        return labels.astype(np.int64) if fits else None

    def _read(self, position: int) -> UInt8[Tensor, "H W 3"]:
        if self._file is None:
            self._file = zipfile.ZipFile(self.path).open(f"{IMAGES}.npy")  # noqa: SIM115, open for the next image
            _read_header(self._file)
            self._start = self._file.tell()
        size = math.prod(self.shape[1:])
        self._file.seek(self._start + position * size)
        data = self._file.read(size)
        if len(data) < size:
            raise self._damaged(f"{IMAGES} ends before image {position + 1}")
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).view(self.shape[1:])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file, since another process opens its own."""
        return {**self.__dict__, "_file": None}

    def statistics(self, features: str) -> tuple[Float64[Tensor, " D"], Float64[Tensor, "D D"]] | None:
        """Return the stored mean and covariance of "pool" or "spatial" features; None if the file has none.

        Raises:
            UserError: the arrays have wrong shapes, are not finite, or are pickled objects.
        """
        names = STATISTICS[features]
        if not set(names) <= self.names:
            return None
        with self._reading(" and ".join(names)), np.load(self.path, allow_pickle=False) as arrays:
            mean, cov = (np.asarray(arrays[name], np.float64) for name in names)
        if mean.ndim != 1 or cov.shape != 2 * mean.shape:
            raise self._damaged(f"{names[0]} {mean.shape} and {names[1]} {cov.shape} are no statistics")
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise self._damaged(f"{names[0]} or {names[1]} contains NaN or infinity")
        return torch.from_numpy(mean), torch.from_numpy(cov)

    def _reading(self, what: str) -> AbstractContextManager[None]:
        """Turn an error of the archive into one that names the file and the damaged part."""
        return zip_damage(lambda reason: self._damaged(f"{what}: {reason}"))

    def _not_whole(self, _reason: str) -> UserError:
        return self._damaged("not a whole npz file: truncated, or something else")

    def _image_shape(self) -> tuple[int, int, int, int]:
        with (
            self._reading(IMAGES),
            zipfile.ZipFile(self.path) as archive,
            archive.open(f"{IMAGES}.npy") as file,
        ):
            shape, fortran, dtype = _read_header(file)
        if dtype != np.uint8 or fortran or len(shape) != 4 or shape[3] != 3:
            raise UserError(
                f"{self.path}: {IMAGES} holds no images",
                given=f"{dtype} {shape}{' in Fortran order' if fortran else ''}",
                expected=LAYOUT,
                next_step="save images as they are shown, 0..255, channels last: np.savez(FILE, images)",
            )
        return shape[0], shape[1], shape[2], shape[3]

    def _damaged(self, reason: str) -> UserError:
        return UserError(
            f"{self.path} cannot be read",
            given=reason,
            expected=f"an npz file with {LAYOUT}, or with mu and sigma",
            next_step="copy or write it again",
        )


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the shape, whether the order is Fortran's, and the type of an .npy file; leave it at the data.

    Args:
        file: binary; Any, since the stubs and the run time disagree on the type of an archive's member.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
