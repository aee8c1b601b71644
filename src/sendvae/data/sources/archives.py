"""Zip files, and tar files of images or in WebDataset layout; read in place, never unpacked to disk."""

from __future__ import annotations

import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from threading import Lock
from typing import Any

from sendvae.data.locations import open_binary
from sendvae.data.sources.listing import (
    MAX_FILE_BYTES,
    SPLITS,
    Columns,
    Found,
    Listing,
    check_member,
    count_others,
    is_image,
    label_by_folders,
    label_from_text,
    read_limited,
    readable,
)
from sendvae.data.zips import zip_damage
from sendvae.errors import UserError

TAR_COMPRESSION = {
    ".tar": None,
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.bz2": "bz2",
    ".tar.xz": "xz",
    ".tar.zst": "zstd",
}
CLASS_SIDECAR = "cls"  # WebDataset's extension of a class number
SIDECARS = (CLASS_SIDECAR, "json")
MAX_SIDECAR_BYTES = 2**20


def tar_ending(path: str) -> str | None:
    """Return the extension of a tar file that a path has; None for others."""
    return next((ending for ending in TAR_COMPRESSION if path.lower().endswith(ending)), None)


@dataclass
class TarReader:
    """Reads members by (number of the tar, offset, size). The last tar stays open; a lock serialises threads."""

    urls: list[str]
    opened: tuple[int, Any] | None = field(default=None, repr=False)
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def read(self, place: tuple[int, int, int]) -> bytes:
        """Return the bytes of a member, decompressed if the tar is.

        Raises:
            ValueError: the tar ends within them.
        """
        number, offset, size = place
        with self.lock:
            if self.opened is None or self.opened[0] != number:
                self._close()
                self.opened = number, _open_tar(self.urls[number])
            file = self.opened[1]
            file.seek(offset)
            data = file.read(size)
        if len(data) != size:
            raise ValueError(f"the tar ends within it, after {len(data)} of {size} bytes")
        return data

    def _close(self) -> None:
        if self.opened is not None:
            self.opened[1].close()
            self.opened = None

    def __getstate__(self) -> dict[str, Any]:
        return {"urls": self.urls}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.urls, self.opened, self.lock = state["urls"], None, Lock()

    def __del__(self) -> None:
        self._close()


def list_tars(urls: Sequence[str], columns: Columns, names: Sequence[str] = ()) -> Listing:
    """List the images of tar files, in their order; `names` are the tars' paths below the source.

    Members that share a name up to the first dot of the file are one sample (WebDataset). The label is its
    `.cls` member, or the field `columns.label` of its `.json` member; without, folders in the names say split
    and class. The split is the field `columns.split` of the `.json`, else in the tars' names, if each holds one
    (`train-00000.tar`, `val/00000.tar`).

    Raises:
        UserError: a damaged tar, a member that points out of it, or no sample has a field asked for.
    """
    images: list[Found] = []
    skipped: list[tuple[str, str]] = []
    for number, url in enumerate(urls):
        found, bad = _scan(number, url, columns)
        images += found
        skipped += bad
    for field_name, values in (
        (columns.label, {image.label for image in images}),
        (columns.split, {image.split for image in images}),
    ):
        if field_name and values == {None}:
            raise UserError("no .json member in the tars has this field", given=field_name)
    if len(urls) > 1 and max(Counter(image.name for image in images).values(), default=0) > 1:
        stems = [PurePosixPath(url).name.partition(".")[0] for url in urls]
        images = [
            label_by_folders([image])[0]._replace(name=f"{stems[image.place[0]]}/{image.name}")
            for image in images
        ]
    else:
        images = label_by_folders(images, strip_root=True)
    splits = [_split_in_name(name) for name in names]
    if splits and all(splits):
        images = [image if image.split else image._replace(split=splits[image.place[0]]) for image in images]
    return Listing(images, TarReader(list(urls)), skipped=skipped)


def _scan(number: int, url: str, columns: Columns) -> tuple[list[Found], list[tuple[str, str]]]:
    images: list[tuple[str, str, Any]] = []
    sidecars: dict[str, tuple[str | int | None, str | None]] = {}  # sample -> label, split
    skipped: list[tuple[str, str]] = []
    try:
        with _open_tar(url) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                check_member(member.name, url)
                sample, _, extension = _sample(member.name)
                if is_image(member.name):
                    if not member.isreg() or member.issparse():
                        skipped.append((str(PurePosixPath(member.name)), "not a plain file in its tar"))
                    elif member.size > MAX_FILE_BYTES:
                        skipped.append(
                            (str(PurePosixPath(member.name)), f"larger than {MAX_FILE_BYTES:,} bytes")
                        )
                    else:
                        images.append(
                            (
                                sample,
                                str(PurePosixPath(member.name)),
                                (number, member.offset_data, member.size),
                            )
                        )
                elif extension in SIDECARS and member.isreg() and member.size <= MAX_SIDECAR_BYTES:
                    content = tar.extractfile(member)
                    assert content is not None
                    before = sidecars.get(sample, (None, None))
                    sidecars[sample] = _read_sidecar(extension, content.read(), columns, before)
            _check_end(file, tar.offset)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UserError("a damaged tar file", given=f"{url}: {error}") from None
    return [
        Found(readable(name), place, *sidecars.get(sample, (None, None))) for sample, name, place in images
    ], skipped


def _check_end(file: Any, offset: int) -> None:
    """Check that a tar's end is zeros or nothing, since tarfile takes a damaged header for the end."""
    file.seek(offset)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"a damaged header at byte {offset}")


def _sample(name: str) -> tuple[str, str, str]:
    """Split a member's name at the first dot of the file's name; return both parts, the extension in lower case."""
    path = PurePosixPath(name)
    stem, dot, extension = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, dot, extension.lower()


def _read_sidecar(
    extension: str, content: bytes, columns: Columns, before: tuple[str | int | None, str | None]
) -> tuple[str | int | None, str | None]:
    """Return label and split of a sample, completed by what this member says."""
    label, split = before
    text = content.decode(errors="replace").strip()
    if extension == CLASS_SIDECAR:
        return (label_from_text(text) if columns.label is None else label), split
    try:
        fields = json.loads(text)
    except ValueError:
        return before  # a sample without the fields asked for is an error later
    if isinstance(fields, dict):
        label = label_from_text(str(fields[columns.label])) if columns.label in fields else label
        split = str(fields[columns.split]) if columns.split in fields else split
    return label, split


def _split_in_name(name: str) -> str | None:
    words = re.split("[^a-z]+", name.lower())
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)


def _open_tar(url: str) -> Any:
    return open_binary(url, TAR_COMPRESSION[tar_ending(url) or ".tar"])


@dataclass
class ZipReader:
    """Reads members of a zip file by their number."""

    url: str
    opened: zipfile.ZipFile | None = field(default=None, repr=False)

    def read(self, place: int) -> bytes:
        """Return the bytes of a member; the archive stays open.

        Raises:
            ValueError: the member is damaged, encrypted or too large.
        """
        if self.opened is None:
            self.opened = _open_zip(self.url)
        with zip_damage(ValueError), self.opened.open(self.opened.infolist()[place]) as file:
            return read_limited(file.read(MAX_FILE_BYTES + 1))

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "opened": None}

    def __del__(self) -> None:
        if self.opened is not None:
            _close_zip(self.opened)


def list_zip(url: str) -> Listing:
    """List the images of a zip file: `[ROOT/][SPLIT/]CLASS/.../FILE`, or images without classes.

    Raises:
        UserError: a damaged zip file, or a member that points out of it.
    """
    archive = _open_zip(url)
    try:
        images = []
        files = [member.filename for member in archive.infolist() if not member.is_dir()]
        for number, member in enumerate(archive.infolist()):
            check_member(member.filename, url)
            if is_image(member.filename) and not member.is_dir():
                images.append(Found(member.filename, number))
    finally:
        _close_zip(archive)
    images.sort()
    return Listing(label_by_folders(images, strip_root=True), ZipReader(url), other=count_others(files))


def _open_zip(url: str) -> zipfile.ZipFile:
    def damaged(reason: str) -> UserError:
        file.close()
        return UserError("a damaged zip file", given=f"{url}: {reason}")

    file = open_binary(url)
    with zip_damage(damaged):
        return zipfile.ZipFile(file)


def _close_zip(archive: zipfile.ZipFile) -> None:
    """Close an archive and its file, which the archive leaves open because it did not open it."""
    file = archive.fp
    archive.close()
    if file is not None:
        file.close()
