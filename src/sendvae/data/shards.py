"""Images in tar shards of WebDataset layout, read at random through an index.

A folder of shards holds `NAME-00000.tar`, ..., `index.npz` (where each sample lies, with key, label and split) and
`manifest.json` (counts, classes, shards with their SHA-256). The manifest is written last: with it, all is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from sendvae.data.byte_ranges import ByteRanges, Piece
from sendvae.data.locations import read_bytes
from sendvae.errors import UserError
from sendvae.files import write_text

MANIFEST, INDEX = "manifest.json", "index.npz"
COLUMNS = ("key", "label", "split", "shard", "offset", "size")  # of the index
MEND = "copy the whole folder again, or prepare it again"


class Row(NamedTuple):
    """One sample of the index: `size` bytes at `offset` of shard number `shard`."""

    key: str
    label: int
    split: str
    shard: int
    offset: int
    size: int


class TarShard:
    """A tar file that is written under a temporary name and renamed when it is complete.

    Headers carry no time or owner, so the same members give the same bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(path.name + ".part")
        # PAX differs from USTAR only for names that USTAR cannot hold.
        self.tar = tarfile.open(self.temporary, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def add(self, name: str, data: bytes) -> int:
        """Append a member; return the offset of its bytes."""
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self.tar.addfile(member, io.BytesIO(data))
        blocks = -(-len(data) // tarfile.BLOCKSIZE)
        return self.tar.offset - blocks * tarfile.BLOCKSIZE

    def close(self) -> dict[str, Any]:
        """Finish the file; return its entry in the manifest."""
        self.tar.close()
        with self.temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        self.temporary.replace(self.path)
        return {"name": self.path.name, "bytes": self.path.stat().st_size, "sha256": digest}

    def discard(self) -> None:
        """Remove the unfinished file, even when the disk is full."""
        with suppress(OSError):
            self.tar.close()
        self.temporary.unlink()


class ShardWriter:
    """Writes samples into `PREFIX-00000.tar`, ...; the index and the manifest come last.

    A sample is one image member `KEY.EXTENSION`; label and split are in the index, since a tar header costs
    half a kilobyte.

    Args:
        folder: where to write; created if missing.
        prefix: start of the shards' names.
        class_names: names of the labels.
        max_bytes: a shard is closed once it is larger.
    """

    def __init__(self, folder: Path, prefix: str, class_names: list[str], max_bytes: int = 2**28) -> None:
        self.folder, self.prefix, self.class_names, self.max_bytes = folder, prefix, class_names, max_bytes
        self.rows: list[Row] = []
        self.shards: list[dict[str, Any]] = []
        self.shard: TarShard | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, key: str, data: bytes, extension: str, label: int, split: str) -> None:
        """Add an encoded image to the shard that is open, which is closed if it has grown beyond `max_bytes`.

        Args:
            key: unique, without a dot.
            extension: the extension of the format of `data`, without its dot.
            label: class number.
            split: name of the split.
        """
        if self.shard is None:
            self.shard = TarShard(self.folder / f"{self.prefix}-{len(self.shards):05d}.tar")
        offset = self.shard.add(f"{key}.{extension}", data)
        self.rows.append(Row(key, label, split, len(self.shards), offset, len(data)))
        if self.shard.tar.offset > self.max_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        assert self.shard is not None
        self.shards.append(self.shard.close())
        self.shard = None

    def close(self) -> None:
        """Finish the last shard, then write the index and the manifest.

        Raises:
            ValueError: no sample was written.
        """
        if self.shard is not None:
            self._close_shard()
        write_index(self.folder, self.rows, self.shards, self.class_names)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


def write_index(
    folder: Path,
    rows: Sequence[Row],
    shards: Sequence[dict[str, Any]],
    class_names: Sequence[str],
    more: dict[str, Any] | None = None,
) -> None:
    """Write the index, then the manifest (with the fields of `more`), of a folder of finished shards."""
    keys, labels, splits, numbers, offsets, sizes = zip(*rows, strict=True)
    names = sorted(set(splits))
    temporary = folder / (INDEX + ".part")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file,
            key=np.array([key.encode() for key in keys]),
            label=np.array(labels, np.int32),
            split=np.array([names.index(split) for split in splits], np.uint8),
            shard=np.array(numbers, np.int32),
            offset=np.array(offsets, np.int64),
            size=np.array(sizes, np.int64),
        )
    temporary.replace(folder / INDEX)
    manifest = {
        "samples": len(keys),
        "splits": {name: splits.count(name) for name in names},
        "class_names": list(class_names),
        **(more or {}),
        "shards": list(shards),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


@dataclass(frozen=True)
class ShardIndex:
    """The shard, offset and size of each sample of one split."""

    location: str
    manifest: dict[str, Any]
    keys: list[str]
    labels: np.ndarray
    shards: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    @property
    def fingerprint(self) -> str:
        """Return a digest of the shards' digests and of which samples are used."""
        digest = hashlib.sha256("".join(s["sha256"] for s in self.manifest["shards"]).encode())
        digest.update("\n".join(self.keys).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def files(self) -> ByteRanges:
        """Return the reader of the shards, which keeps local ones open between accesses."""
        return ByteRanges(self.location, [shard["name"] for shard in self.manifest["shards"]])

    def read(self, position: int) -> bytes:
        """Return the encoded image at `position`."""
        return self.read_many([position])[0]

    def shard_of(self, position: int) -> str:
        """Return the path of the shard that holds the image at `position`."""
        return f"{self.location}/{self.manifest['shards'][int(self.shards[position])]['name']}"

    def read_many(self, positions: Sequence[int] | np.ndarray) -> list[bytes]:
        """Return the encoded images at `positions`, in their order."""
        return self.files.read(
            [Piece(int(self.shards[i]), int(self.offsets[i]), int(self.sizes[i])) for i in positions]
        )


def open_shards(location: str | Path, split: str, limit: int | None = None) -> ShardIndex:
    """Return the index of one split (or its first `limit` samples) of a folder or fsspec URL of shards.

    Raises:
        UserError: the manifest is missing or damaged, or the split is missing or empty.
    """
    location = str(location).rstrip("/")
    manifest = read_manifest(location)
    index = _read_arrays(location)
    _check_rows(location, manifest, index)
    names = sorted(manifest["splits"])
    if split not in names:
        raise UserError(f"{location} has no split '{split}'", expected="one of " + ", ".join(names))
    rows = np.flatnonzero(index["split"] == names.index(split))[:limit]
    if not len(rows):
        raise UserError(f"the split '{split}' of {location} is empty", next_step="choose another split")
    return ShardIndex(
        location,
        manifest,
        [key.decode() for key in index["key"][rows]],
        index["label"][rows].astype(np.int64),
        index["shard"][rows],
        index["offset"][rows],
        index["size"][rows],
    )


def _read_arrays(location: str) -> dict[str, np.ndarray]:
    """Return the arrays of the index.

    Raises:
        UserError: it is missing, damaged, or does not belong to the manifest.
    """
    try:
        with np.load(io.BytesIO(read_bytes(f"{location}/{INDEX}")), allow_pickle=False) as arrays:
            index = {name: arrays[name] for name in COLUMNS}
        for name, column in index.items():
            if column.ndim != 1 or column.dtype.kind not in ("S" if name == "key" else "iu"):
                raise ValueError(f"column {name} of {column.dtype}, {column.ndim} axes")
        lengths = {len(column) for column in index.values()}
        if len(lengths) != 1:
            raise ValueError(f"columns of {', '.join(map(str, sorted(lengths)))} rows")
    except FileNotFoundError:
        raise UserError(f"{location} has no {INDEX}", next_step=MEND) from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        raise UserError(f"{location}/{INDEX} is damaged", given=error, next_step=MEND) from None
    return index


def _check_rows(location: str, manifest: dict[str, Any], index: dict[str, np.ndarray]) -> None:
    """Refuse rows that point beyond the lists of the manifest."""
    for column, listed in (("label", "class_names"), ("shard", "shards"), ("split", "splits")):
        numbers, count = index[column], len(manifest[listed])
        wrong = np.flatnonzero((numbers < 0) | (numbers >= count))
        if len(wrong):
            raise UserError(
                f"{location}/{INDEX} does not belong to {MANIFEST}",
                given=f"{column} {numbers[wrong[0]]} of {index['key'][wrong[0]].decode(errors='replace')}",
                expected=f"one of {count:,} {listed}, counted from 0",
                next_step=MEND,
            )


def read_manifest(location: str | Path) -> dict[str, Any]:
    """Read the manifest of a folder or fsspec URL of shards.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        manifest = json.loads(read_bytes(f"{location}/{MANIFEST}"))
        for name, kind in (("splits", dict), ("class_names", list), ("shards", list)):
            if not isinstance(manifest[name], kind):
                raise TypeError(f"'{name}' is no {kind.__name__}")
        shards = manifest["shards"]
        names = [shard["name"] for shard in shards]
        texts = [*manifest["class_names"], *names, *(shard["sha256"] for shard in shards)]
        sizes = [shard["bytes"] for shard in shards if "bytes" in shard]
        counts = [*manifest["splits"].values(), manifest.get("skipped", 0), *sizes]
        for value, kind in (*((text, str) for text in texts), *((count, int) for count in counts)):
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} stands where {'text' if kind is str else 'a number'} belongs")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{location}/{MANIFEST} is damaged", given=reason, next_step=MEND) from None
    except FileNotFoundError:
        raise UserError(
            "no prepared data set",
            given=location,
            expected=f"a folder with shards, {INDEX} and {MANIFEST}",
            next_step="prepare one with sendvae data prepare, or use data.source=embedded:emoji",
        ) from None
    for name in names:
        if name != PurePosixPath(name).name:
            raise UserError(f"{MANIFEST} names a shard outside its folder", given=name)
    return manifest
