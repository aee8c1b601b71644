"""Images in tar shards of WebDataset layout, read at random through an index."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import fsspec
import numpy as np

from sendvae.errors import UserError

MANIFEST, INDEX = "manifest.json", "index.npz"


class ShardWriter:
    """Writes samples into `PREFIX-00000.tar`, ...; the manifest and the index come last.

    A sample is one image member `KEY.EXTENSION`; label and split are in the index, since a tar header costs
    half a kilobyte. Headers carry no time or owner: the same samples give the same bytes.

    Args:
        folder: where to write; created if missing.
        prefix: start of the shards' names.
        class_names: names of the labels.
        max_bytes: a shard is closed once it is larger.
    """

    def __init__(self, folder: Path, prefix: str, class_names: list[str], max_bytes: int = 2**28) -> None:
        self.folder, self.prefix, self.class_names, self.max_bytes = folder, prefix, class_names, max_bytes
        self.rows: list[tuple[str, int, str, int, int, int]] = []
        self.shards: list[dict[str, Any]] = []
        self.tar: tarfile.TarFile | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, key: str, data: bytes, extension: str, label: int, split: str) -> None:
        if self.tar is None:
            self.path = self.folder / f"{self.prefix}-{len(self.shards):05d}.tar"
            self.tar = tarfile.open(self._temporary(self.path), "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        member = tarfile.TarInfo(f"{key}.{extension}")
        member.size = len(data)
        offset = self.tar.offset + tarfile.BLOCKSIZE
        self.tar.addfile(member, io.BytesIO(data))
        self.rows.append((key, label, split, len(self.shards), offset, len(data)))
        if self.tar.offset > self.max_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        assert self.tar is not None
        self.tar.close()
        self.tar = None
        self._temporary(self.path).replace(self.path)
        data = self.path.read_bytes()
        self.shards.append(
            {"name": self.path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        )

    def close(self) -> None:
        if self.tar is not None:
            self._close_shard()
        keys, labels, splits, shards, offsets, sizes = zip(*self.rows, strict=True)
        names = sorted(set(splits))
        with self._temporary(self.folder / INDEX).open("wb") as file:
            np.savez_compressed(
                file,
                key=np.array([key.encode() for key in keys]),
                label=np.array(labels, np.int32),
                split=np.array([names.index(split) for split in splits], np.uint8),
                shard=np.array(shards, np.int32),
                offset=np.array(offsets, np.int64),
                size=np.array(sizes, np.int64),
            )
        self._temporary(self.folder / INDEX).replace(self.folder / INDEX)
        manifest = {
            "samples": len(keys),
            "splits": {name: splits.count(name) for name in names},
            "class_names": self.class_names,
            "shards": self.shards,
        }
        temporary = self._temporary(self.folder / MANIFEST)
        temporary.write_text(json.dumps(manifest, indent=1) + "\n")
        temporary.replace(self.folder / MANIFEST)

    @staticmethod
    def _temporary(path: Path) -> Path:
        return path.with_name(path.name + ".part")

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


@dataclass(frozen=True)
class ShardIndex:
    """Where each sample of one split lies."""

    location: str
    manifest: dict[str, Any]
    keys: list[str]
    labels: np.ndarray
    shards: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    @property
    def fingerprint(self) -> str:
        """Identifies the content: which shards, which samples."""
        digest = hashlib.sha256("".join(s["sha256"] for s in self.manifest["shards"]).encode())
        digest.update("\n".join(self.keys).encode())
        return digest.hexdigest()[:16]

    def read(self, position: int) -> bytes:
        """The encoded image at `position`; one range request, whatever the file system."""
        shard = self.manifest["shards"][int(self.shards[position])]["name"]
        with _open(f"{self.location}/{shard}") as file:
            file.seek(int(self.offsets[position]))
            return file.read(int(self.sizes[position]))


def open_shards(location: str | Path, split: str, limit: int | None = None) -> ShardIndex:
    """The index of one split (or its first `limit` samples) of a folder or fsspec URL of shards.

    Raises:
        UserError: no manifest there, or no such split.
    """
    location = str(location).rstrip("/")
    try:
        with _open(f"{location}/{MANIFEST}") as file:
            manifest = json.load(file)
        with _open(f"{location}/{INDEX}") as file, np.load(file, allow_pickle=False) as arrays:
            index = dict(arrays)
    except FileNotFoundError:
        raise UserError(
            "no prepared data set",
            given=location,
            expected=f"a folder with shards, {MANIFEST} and {INDEX}",
            next_step="prepare one, or use data.source=embedded:emoji",
        ) from None
    names = sorted(manifest["splits"])
    if split not in names:
        raise UserError(f"{location} has no split '{split}'", expected="one of " + ", ".join(names))
    rows = np.flatnonzero(index["split"] == names.index(split))[:limit]
    return ShardIndex(
        location,
        manifest,
        [key.decode() for key in index["key"][rows]],
        index["label"][rows].astype(np.int64),
        index["shard"][rows],
        index["offset"][rows],
        index["size"][rows],
    )


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    """A file on any fsspec file system, for reading."""
    file_system, path = fsspec.core.url_to_fs(url)
    return file_system.open(path, "rb")
