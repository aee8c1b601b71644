"""The .npz files of ADM's evaluator, images streamed from the archive: 50,000 of 256 pixels are 9.8 GB."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from sendvae.errors import UserError

IMAGES = "arr_0"
STATISTICS = {"pool": ("mu", "sigma"), "spatial": ("mu_s", "sigma_s")}
LAYOUT = f"{IMAGES}: uint8 (N, H, W, 3)"


class Gaussian(NamedTuple):
    """Mean and covariance of a set's features."""

    mean: Float64[Tensor, " D"]
    cov: Float64[Tensor, "D D"]


class AdmArchive:
    """Images of `arr_0`, one after another; and the statistics beside them, where there are any.

    Raises:
        UserError: no such file, not an npz, truncated, or an array that is no images.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.source = path, str(path)
        try:
            with zipfile.ZipFile(path) as archive:
                self.names = {name.removesuffix(".npy") for name in archive.namelist()}
        except FileNotFoundError:
            raise UserError("no such file", given=path) from None
        except zipfile.BadZipFile:
            raise self._damaged("not a whole npz file: truncated, or something else") from None
        self.shape = self._image_shape() if IMAGES in self.names else (0, 0, 0, 3)

    @property
    def keys(self) -> Sequence[str]:
        return [f"{IMAGES}[{i}]" for i in range(len(self))]

    def __len__(self) -> int:
        return self.shape[0]

    def batches(self, ranges: Sequence[range]) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
        """The images of each range, which must be in order: the file is read once, forwards."""
        _, height, width, channels = self.shape
        bytes_each = height * width * channels
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{IMAGES}.npy") as file:
                _read_header(file)
                start = file.tell()
                for positions in ranges:
                    file.seek(start + positions.start * bytes_each)
                    data = file.read(len(positions) * bytes_each)
                    if len(data) < len(positions) * bytes_each:
                        raise self._damaged(f"{IMAGES} ends before image {positions.stop}")
                    pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                    shaped = pixels.view(len(positions), height, width, channels)
                    yield shaped.permute(0, 3, 1, 2).contiguous()
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._damaged(str(error)) from None

    def digest(self) -> str:
        with self.path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def statistics(self, features: str) -> Gaussian | None:
        """The stored Gaussian of "pool" or "spatial" features, if the file has one.

        Raises:
            UserError: it is not one: shapes, NaN, or pickled objects.
        """
        names = STATISTICS[features]
        if not set(names) <= self.names:
            return None
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                mean, cov = (np.asarray(arrays[name], np.float64) for name in names)
        except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._damaged(f"{' and '.join(names)}: {error}") from None
        if mean.ndim != 1 or cov.shape != 2 * mean.shape:
            raise self._damaged(f"{names[0]} {mean.shape} and {names[1]} {cov.shape} are no statistics")
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise self._damaged(f"{names[0]} or {names[1]} contains NaN or infinity")
        return Gaussian(torch.from_numpy(mean), torch.from_numpy(cov))

    def _image_shape(self) -> tuple[int, int, int, int]:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{IMAGES}.npy") as file:
                shape, fortran, dtype = _read_header(file)
        except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise self._damaged(f"{IMAGES}: {error}") from None
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
    """Of the .npy format: shape, whether columns come first, type; the file then stands at the data.

    Args:
        file: binary; Any, since the stubs and the run time disagree on the type of an archive's member.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
