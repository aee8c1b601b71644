"""Tensors computed once per image (posteriors, patch tokens), in safetensors shards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sendvae.data.mapped_rows import MappedRows
from sendvae.errors import UserError
from sendvae.files import flush_file, write_text

MANIFEST = "cache.json"
Fields = Mapping[str, tuple[int, ...]]


class LatentCacheWriter:
    """Writes rows into shards of a fixed size; after a restart it writes only the shards that are missing.

    Of several processes each writes every `world`-th shard. A shard's name and rows do not depend on how many
    there are, so a restart may have more or fewer, and readers see one cache.

    Args:
        folder: where the shards go.
        fields: name -> shape of one row.
        count: rows in all.
        fingerprint: what the rows are computed from.
        shard_size: rows per shard; a cache begun with another size keeps that.
        rank, world: which of how many processes this is. Process 0 must have made its writer before the others.
        description: further fields of the manifest, as JSON.

    Raises:
        UserError: the folder holds a cache of something else, or with another number of rows.
    """

    def __init__(
        self,
        folder: Path,
        fields: Fields,
        count: int,
        fingerprint: str,
        shard_size: int = 4096,
        rank: int = 0,
        world: int = 1,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.fields, self.count = folder, dict(fields), count
        manifest = {
            "count": count,
            "shard_size": shard_size,
            "fingerprint": fingerprint,
            "fields": {name: list(shape) for name, shape in fields.items()},
            "description": dict(description or {}),
        }
        if rank == 0:
            _begin(folder, manifest)
        self.shard_size: int = read_manifest(folder)["shard_size"]
        share = range(rank, -(-count // self.shard_size), world)
        self.missing = [number for number in share if not shard_path(folder, number).is_file()]
        self.share = sum(len(self._rows_of(number)) for number in share)
        self.position = self.share - sum(len(self._rows_of(number)) for number in self.missing)
        self.pending: dict[str, list[Tensor]] = {name: [] for name in fields}
        self.pending_rows = 0

    def rows(self, batch: int) -> Iterator[np.ndarray]:
        """Yield the rows that this process still has to append, in order, at most `batch` at a time.

        Batches begin anew with each shard: how rows are grouped, and so their last bits, is always the same.
        """
        for number in list(self.missing):
            rows = self._rows_of(number)
            for start in range(rows.start, rows.stop, batch):
                yield np.arange(start, min(start + batch, rows.stop))

    def append(self, rows: Mapping[str, Tensor]) -> None:
        """Add rows, each field (B, *shape)."""
        for name, shape in self.fields.items():
            if tuple(rows[name].shape[1:]) != tuple(shape):
                raise ValueError(f"field {name}: rows must be {shape}, got {tuple(rows[name].shape[1:])}")
            self.pending[name].append(rows[name])
        self.pending_rows += len(next(iter(rows.values())))
        while self.missing and self.pending_rows >= len(self._rows_of(self.missing[0])):
            self._flush()

    def _flush(self) -> None:
        number = self.missing.pop(0)
        rows = len(self._rows_of(number))
        joined = {name: torch.cat(parts) for name, parts in self.pending.items()}
        path = shard_path(self.folder, number)
        temporary = path.with_name(path.name + ".part")
        save_file({name: tensor[:rows].contiguous() for name, tensor in joined.items()}, temporary)
        flush_file(temporary)
        temporary.replace(path)
        self.pending = {name: [tensor[rows:]] for name, tensor in joined.items()}
        self.pending_rows -= rows
        self.position += rows

    def _rows_of(self, number: int) -> range:
        return range(number * self.shard_size, min((number + 1) * self.shard_size, self.count))

    def __enter__(self) -> LatentCacheWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.pending_rows:
            raise ValueError(f"{self.pending_rows} rows do not fill a shard: {self.folder} is not complete")


class LatentCache(MappedRows):
    """Rows of a complete cache, read by position.

    Args:
        folder: the folder of a writer.

    Raises:
        UserError: no cache there, shards are missing or damaged, or they hold another number of rows.
    """

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        self.fingerprint: str = manifest["fingerprint"]
        found = shard_states(folder, manifest)
        for state in ("missing", "damaged"):
            if numbers := [number for number, one in enumerate(found) if one == state]:
                raise UserError(
                    f"the cache {folder} is not complete",
                    given=f"{len(numbers)} of {len(found)} shards are {state}, the first {shard_path(folder, numbers[0]).name}",
                    next_step="run the command that began it again; it goes on",
                )
        paths = [shard_path(folder, number) for number in range(len(found))]
        super().__init__(paths, list(manifest["fields"]))


def shard_states(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Return for every shard of a cache "whole", "missing" or "damaged" (cut short, or not readable).

    Raises:
        UserError: a shard is whole but has another number of rows than the manifest says.
    """
    size, count = manifest["shard_size"], manifest["count"]
    states = []
    for number in range(-(-count // size)):
        expected = min(size, count - number * size)
        path = shard_path(folder, number)
        try:
            with safe_open(path, "pt") as file:
                rows = {file.get_slice(name).get_shape()[0] for name in manifest["fields"]}
        except FileNotFoundError:
            states.append("missing")
            continue
        except (SafetensorError, OSError, IndexError):
            states.append("damaged")
            continue
        if rows != {expected}:
            raise wrong_rows(folder, f"{', '.join(map(str, sorted(rows)))} in {path.name}", expected)
        states.append("whole")
    return states


def wrong_rows(folder: Path, given: object, expected: int) -> UserError:
    """Return the error for a cache with another number of rows than its content has."""
    return UserError(
        f"the cache {folder} has the wrong number of rows",
        given=given,
        expected=f"{expected:,}",
        next_step=f"remove it: sendvae cache prune --cache {folder.parent} --name {folder.name} --yes\n"
        "            and run the command again",
    )


def _begin(folder: Path, manifest: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    if not path.is_file():
        write_text(path, json.dumps(manifest, indent=1) + "\n")
        return
    recorded = read_manifest(folder)
    check_content(folder, recorded, manifest["count"], manifest["fingerprint"])
    if recorded["fields"] != manifest["fields"]:
        raise _something_else(folder, recorded["fields"], str(manifest["fields"]))


def check_content(folder: Path, recorded: Mapping[str, Any], count: int, fingerprint: str) -> None:
    """Refuse a cache that holds other rows than these.

    Args:
        recorded: the manifest that is there.
        count, fingerprint: those of the rows that are asked for.

    Raises:
        UserError: it does.
    """
    if recorded["fingerprint"] != fingerprint:
        raise _something_else(folder, recorded["fingerprint"], fingerprint)
    if recorded["count"] != count:
        raise wrong_rows(folder, f"{recorded['count']:,}", count)


def _something_else(folder: Path, given: object, expected: str) -> UserError:
    return UserError(
        f"{folder} is a cache of something else",
        given=given,
        expected=expected,
        next_step="choose another folder",
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a cache says.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        missing = {"count", "shard_size", "fingerprint", "fields"} - manifest.keys()
    except FileNotFoundError:
        raise UserError("no cache of latents", given=folder) from None
    except (ValueError, AttributeError) as error:
        raise UserError(f"{folder / MANIFEST} is damaged", given=error) from None
    if missing:
        raise UserError(f"{folder / MANIFEST} is damaged", given=f"no {', '.join(sorted(missing))}")
    return manifest


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard lies."""
    return folder / f"shard-{number:05d}.safetensors"
