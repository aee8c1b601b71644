"""Writes samples in blocks that appear whole, into a folder from which a killed command resumes."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from sendvae.errors import UserError
from sendvae.evaluation.gather import batch_ranges
from sendvae.evaluation.sample_record import SAMPLES, SampleRecord, check_same, load_record, record_path
from sendvae.files import new_file
from sendvae.runs import Lock
from sendvae.runs.folder import try_folder

UNFINISHED = ".part"  # added to the name of the target, for the folder of what is done so far
PNG_DIGITS = 6
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes whenever they are written
LABELS = "labels.txt"


@runtime_checkable
class Blocks(Protocol):
    """Batches of images in a folder."""

    def missing(self) -> list[range]:
        """Return the batches that are not there, by image numbers."""
        ...

    def save(self, numbers: range, images: UInt8[Tensor, "B 3 H W"]) -> None:
        """Write a batch; a killed process leaves all of a file or nothing."""
        ...


class ArrayBlocks:
    """A .npy file (B, H, W, 3) for each batch of `total` images."""

    def __init__(self, folder: Path, total: int, batch_size: int) -> None:
        self.folder, self.batches = folder, batch_ranges(total, batch_size)
        self.total = total

    def missing(self) -> list[range]:
        """Return the batches whose file is not there."""
        return [numbers for numbers in self.batches if not self._path(numbers).is_file()]

    def save(self, numbers: range, images: UInt8[Tensor, "B 3 H W"]) -> None:
        """Write the batch as one file."""
        with new_file(self._path(numbers)) as file:
            np.save(file, _channels_last(images))

    def arrays(self) -> Iterator[UInt8[np.ndarray, "B H W 3"]]:
        """Yield the images of all batches, in order."""
        for numbers in self.batches:
            yield np.load(self._path(numbers), allow_pickle=False)

    def _path(self, numbers: range) -> Path:
        return self.folder / f"block-{numbers.start:07d}.npy"


class PngBlocks:
    """A .png file for each image."""

    def __init__(self, folder: Path, total: int, batch_size: int) -> None:
        self.folder, self.batches = folder, batch_ranges(total, batch_size)

    def missing(self) -> list[range]:
        """Return the batches of which any image is not there."""
        present = {path.name for path in self.folder.glob("*.png")}
        return [batch for batch in self.batches if not all(_png_name(number) in present for number in batch)]

    def save(self, numbers: range, images: UInt8[Tensor, "B 3 H W"]) -> None:
        """Write a file per image, with several threads; a killed process may leave some of the batch."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._save_one, numbers, _channels_last(images)))

    def _save_one(self, number: int, pixels: np.ndarray) -> None:
        with new_file(self.folder / _png_name(number)) as file:
            Image.fromarray(pixels).save(file, format="PNG")


def _png_name(number: int) -> str:
    return f"{number:0{PNG_DIGITS}d}.png"


def _channels_last(images: UInt8[Tensor, "B 3 H W"]) -> UInt8[np.ndarray, "B H W 3"]:
    return images.permute(0, 2, 3, 1).contiguous().numpy()


@contextmanager
def unfinished(target: Path, record: SampleRecord, force: bool) -> Iterator[Path | None]:
    """Yield the folder TARGET.part, in which no other process works, begun anew or going on; None if nothing is left to do.

    Args:
        force: replace samples that were drawn otherwise, finished or not.

    Raises:
        UserError: something else is at the target or in TARGET.part, another process is at work, or nothing can be
            written there.
    """
    if _is_finished(target, record, force):
        yield None
        return
    folder = unfinished_folder(target)
    try_folder(folder.parent)
    lock = Lock(folder)
    if not lock.take():
        raise UserError(
            f"another process is sampling into {target}", next_step="wait for it, or choose another --to"
        )
    try:
        if _is_finished(target, record, force=False):  # by whoever held the lock until now
            yield None
            return
        _begin(folder, record, force)
        yield folder
    finally:
        lock.release()


def _is_finished(target: Path, record: SampleRecord, force: bool) -> bool:
    """Return whether the samples are there already. With `force`, other samples there are removed.

    Raises:
        UserError: there are other samples, or something else.
    """
    beside = record_path(target)
    found = load_record(beside)
    there = target.is_file() or (target.is_dir() and any(target.iterdir()))
    if not there:
        return False
    if found is None:
        raise UserError(
            f"{target} exists, and is none of sendvae sample's",
            given=f"no {beside} that says how it came about",
            next_step="choose another --to",
        )
    if not force:
        check_same(found, record, target)
        return True
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    beside.unlink(missing_ok=True)
    return False


def _begin(folder: Path, record: SampleRecord, force: bool) -> None:
    """Make the folder of unfinished samples, or check that its samples are of the same settings."""
    try_folder(folder)
    if not (folder / SAMPLES).is_file() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise UserError(
            f"{folder} holds something else", expected="no such folder", next_step="choose another --to"
        )
    found = load_record(folder / SAMPLES)
    if found is not None and force:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    elif found is not None:
        check_same(found, record, folder)
    record.save(folder / SAMPLES)


def remove_traces(folder: Path) -> None:
    """Remove what killed processes left half-written, before the folder becomes the target."""
    for entry in folder.glob(".*"):
        entry.unlink()


def unfinished_folder(target: Path) -> Path:
    """Return the folder beside the target in which samples wait for the last of them."""
    return target.with_name(target.name + UNFINISHED)


def share_drawn(target: Path, total: int, batch_size: int) -> float:
    """Return the share of the images of TARGET.npz that are drawn, finished or not, in [0, 1]."""
    if target.is_file():
        return 1.0
    folder = unfinished_folder(target)
    missing = ArrayBlocks(folder, total, batch_size).missing() if folder.is_dir() else [range(total)]
    return 1.0 - sum(map(len, missing)) / total


def write_npz(path: Path, blocks: ArrayBlocks, labels: Sequence[int], size: int) -> None:
    """Write what ADM's evaluator reads: `arr_0` uint8 (N, H, W, 3), and as ADM's own samples labels as `arr_1`.

    Blocks are streamed into it, uncompressed; it appears whole or not at all.
    """
    shape = (blocks.total, size, size, 3)
    with new_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(zipfile.ZipInfo("arr_0.npy", ZIP_DATE), "w", force_zip64=True) as member:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            for array in blocks.arrays():
                member.write(array.tobytes())
        with archive.open(zipfile.ZipInfo("arr_1.npy", ZIP_DATE), "w") as member:
            np.lib.format.write_array(member, np.asarray(labels, np.int64), allow_pickle=False)
