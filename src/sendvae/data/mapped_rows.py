"""Rows of tensors in safetensors shards, read by position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FLIP = "_flip"  # ends the name of a field that is of the mirrored images


class MappedRows:
    """Tensors with the same number of rows, stored in shards of any sizes.

    Shards are memory-mapped: only rows that are read are loaded, and the system may drop them again.

    Args:
        paths: the files of the shards in order; each has all the fields.
        names: the names of the fields that are read.
    """

    def __init__(self, paths: Sequence[Path], names: Sequence[str]) -> None:
        self.shards = [load_file(path) for path in paths]
        self.names = list(names)
        self.starts = np.cumsum([0, *(len(shard[self.names[0]]) for shard in self.shards)])

    @property
    def fields(self) -> dict[str, Tensor]:
        """Return all rows of all fields in memory."""
        return {name: torch.cat([shard[name] for shard in self.shards]) for name in self.names}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def shape(self, field: str) -> tuple[int, ...]:
        """Return the shape of one row."""
        return tuple(self.shards[0][field].shape[1:])

    def batch(self, indices: np.ndarray, mirrored: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return the rows at `indices`, in their order.

        Args:
            mirrored: which rows (bool) to read from the fields "..._flip"; the keys stay those without.
        """
        picked = np.asarray(indices)
        if mirrored is None:
            names, views = self.names, {"": np.arange(len(picked))}
        else:
            names = [name for name in self.names if not name.endswith(FLIP)]
            views = {"": np.flatnonzero(~mirrored), FLIP: np.flatnonzero(mirrored)}
        found = {
            name: torch.empty((len(picked), *self.shape(name)), dtype=self.shards[0][name].dtype)
            for name in names
        }
        for view, places in views.items():
            numbers = np.searchsorted(self.starts, picked[places], side="right") - 1
            rows = picked[places] - self.starts[numbers]
            for number in np.unique(numbers):
                here = numbers == number
                target, source = torch.from_numpy(places[here]), torch.from_numpy(rows[here])
                for name, tensor in found.items():
                    tensor[target] = self.shards[number][name + view][source]
        return found
