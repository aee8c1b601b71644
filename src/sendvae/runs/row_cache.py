"""A row per image, computed once by all processes of a command and kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sendvae.data.latent_cache import (
    MANIFEST,
    Fields,
    LatentCache,
    LatentCacheWriter,
    check_content,
    read_manifest,
    shard_path,
    shard_states,
)
from sendvae.distributed import barrier, is_main, main_value, rank, world_size
from sendvae.errors import UserError
from sendvae.runs.caches import CacheKey, check_space, locked, touch
from sendvae.runs.folder import try_folder
from sendvae.runs.progress import progress, say

SHARD = 4096  # rows of a shard: a restart computes at most one again


@dataclass(frozen=True)
class RowCache:
    """A cache of rows that may not be there yet.

    Attributes:
        cache: the common folder.
        key: what the rows are.
        fields: name -> shape of one row.
        count: rows in all.
        dtype: the type of floating-point values on disk.
        shard_size: the rows of a shard of a cache that is begun.
        name: the name of its folder, where people name it; by default the key's.
    """

    cache: Path
    key: CacheKey
    fields: Fields
    count: int
    dtype: torch.dtype
    shard_size: int = SHARD
    name: str | None = None

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.cache / (self.name or self.key.name)

    def missing_bytes(self) -> int:
        """Return how much is still to be written."""
        states, size = ["missing"], self.count
        if (self.folder / MANIFEST).is_file():
            try:
                manifest = read_manifest(self.folder)
                states, size = shard_states(self.folder, manifest), manifest["shard_size"]
            except UserError:
                pass  # damaged: all of it is written again
        rows = sum(
            min(size, self.count - number * size) for number, state in enumerate(states) if state != "whole"
        )
        return rows * sum(map(_values, self.fields.values())) * self.dtype.itemsize

    def filled(
        self, compute: Callable[[np.ndarray], Mapping[str, Tensor]], batch: int, name: str
    ) -> LatentCache:
        """Return the cache, after the processes of this command have computed what it lacks.

        If another command is writing it, they wait and use what that one wrote.

        Args:
            compute: the fields of the rows at some positions, at most `batch` of them.
            name: the name that people see.

        Raises:
            UserError: the rows do not fit onto the disk, or those that are there are of another number.
        """
        if not main_value(self._whole()):
            if is_main():
                try_folder(self.cache)
            with locked(self.folder):
                if not main_value(self._whole()):
                    self._fill(compute, batch, name)
                barrier()
        if is_main():
            touch(self.folder)
        return LatentCache(self.folder)

    def _fill(self, compute: Callable[[np.ndarray], Mapping[str, Tensor]], batch: int, name: str) -> None:
        if is_main():
            self._remove_damaged()
            check_space(self.cache, self.missing_bytes(), name)
        else:
            barrier()  # until the main process has made the folder
        writer = LatentCacheWriter(
            self.folder,
            self.fields,
            self.count,
            self.key.fingerprint,
            self.shard_size,
            rank(),
            world_size(),
            self.key.description(),
        )
        if is_main():
            barrier()
        with writer, progress(name, writer.share, start=writer.position) as bar:
            for rows in writer.rows(batch):
                values = compute(rows)
                writer.append({field: self._on_disk(value) for field, value in values.items()})
                bar.advance(len(rows))

    def _on_disk(self, value: Tensor) -> Tensor:
        return value.to("cpu", self.dtype) if value.is_floating_point() else value.cpu()

    def _whole(self) -> bool:
        """Whether everything is there; only the main process looks."""
        if not is_main() or not (self.folder / MANIFEST).is_file():
            return False
        try:
            manifest = read_manifest(self.folder)
        except UserError:
            return False
        check_content(self.folder, manifest, self.count, self.key.fingerprint)
        return set(shard_states(self.folder, manifest)) <= {"whole"}

    def _remove_damaged(self) -> None:
        """Remove what is damaged, and what a killed process left half-written, so that it is computed again."""
        if not self.folder.is_dir():
            return
        for unfinished in self.folder.glob("*.part"):
            unfinished.unlink()
        if not (self.folder / MANIFEST).is_file():
            return
        try:
            manifest = read_manifest(self.folder)
        except UserError as error:
            say(f"{error.problem}; the cache is computed again")
            for shard in self.folder.glob("shard-*.safetensors"):
                shard.unlink()
            (self.folder / MANIFEST).unlink()
            return
        states = shard_states(self.folder, manifest)
        for number, state in enumerate(states):
            if state == "damaged":
                path = shard_path(self.folder, number)
                say(f"{path} is damaged; its rows are computed again")
                path.unlink()
        if whole := states.count("whole"):
            say(f"{self.folder}: {whole} of {len(states)} shards are there")


def _values(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
