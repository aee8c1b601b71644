"""Tensors computed once per image (posteriors, patch tokens), in safetensors shards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

MANIFEST = "manifest.json"


class LatentCacheWriter:
    """Appends rows in order; a restart goes on after the last whole shard.

    Args:
        folder: where the shards go.
        fields: name -> shape of one row.
        count: rows in all.
        fingerprint: what the rows are computed from. A cache of anything else in this folder is discarded.
        shard_size: rows per shard.
    """

    def __init__(
        self,
        folder: Path,
        fields: Mapping[str, tuple[int, ...]],
        count: int,
        fingerprint: str,
        shard_size: int = 4096,
    ) -> None:
        self.folder, self.fields, self.count, self.shard_size = folder, dict(fields), count, shard_size
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            "count": count,
            "shard_size": shard_size,
            "fingerprint": fingerprint,
            "fields": {name: list(shape) for name, shape in fields.items()},
        }
        path = folder / MANIFEST
        if not path.is_file() or json.loads(path.read_text()) != manifest:
            for stale in folder.glob("*.safetensors"):
                stale.unlink()
            temporary = path.with_name(MANIFEST + ".part")
            temporary.write_text(json.dumps(manifest, indent=1) + "\n")
            temporary.replace(path)
        written = 0
        while self._shard(written).is_file():
            written += 1
        self.position = min(written * shard_size, count)
        self.pending: dict[str, list[Tensor]] = {name: [] for name in fields}
        self.pending_rows = 0

    def append(self, rows: Mapping[str, Tensor]) -> None:
        """Adds rows, each field (B, *shape)."""
        for name, shape in self.fields.items():
            if tuple(rows[name].shape[1:]) != tuple(shape):
                raise ValueError(f"field {name}: rows must be {shape}, got {tuple(rows[name].shape[1:])}")
            self.pending[name].append(rows[name])
        self.pending_rows += len(next(iter(rows.values())))
        while self.pending_rows >= self.shard_size:
            self._flush(self.shard_size)

    def _flush(self, rows: int) -> None:
        joined = {name: torch.cat(parts) for name, parts in self.pending.items()}
        path = self._shard(self.position // self.shard_size)
        temporary = path.with_name(path.name + ".part")
        save_file({name: tensor[:rows].contiguous() for name, tensor in joined.items()}, temporary)
        temporary.replace(path)
        self.pending = {name: [tensor[rows:]] for name, tensor in joined.items()}
        self.pending_rows -= rows
        self.position += rows

    def _shard(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.safetensors"

    def __enter__(self) -> LatentCacheWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.pending_rows:
            self._flush(self.pending_rows)


class LatentCache:
    """Rows of a complete cache, held in memory and read by position."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        shards = sorted(folder.glob("shard-*.safetensors"))
        parts = [load_file(shard) for shard in shards]
        self.fingerprint: str = manifest["fingerprint"]
        self.fields = {name: torch.cat([part[name] for part in parts]) for name in manifest["fields"]}
        rows = len(next(iter(self.fields.values())))
        if rows != manifest["count"]:
            raise ValueError(f"{folder} holds {rows} of {manifest['count']} rows: it is not complete")

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def shape(self, field: str) -> tuple[int, ...]:
        """Shape of one row."""
        return tuple(self.fields[field].shape[1:])

    def batch(self, indices: np.ndarray) -> dict[str, Tensor]:
        rows = torch.as_tensor(np.asarray(indices))
        return {name: tensor[rows] for name, tensor in self.fields.items()}
