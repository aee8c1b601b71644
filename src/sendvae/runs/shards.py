"""Tensors that FSDP has sharded, on disk. Only what shards imports this: torch takes a second for it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata


def save_shards(folder: Path, named: Mapping[str, Tensor], group: ProcessGroup | None) -> None:
    """Write this process's shards of some tensors into a folder; every process of the group calls it.

    Raises:
        OSError: one of the processes could not write.
    """
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        dcp.save(dict(named), storage_writer=writer, process_group=group)
    except CheckpointException as error:
        raise OSError(str(error)) from error


def load_shards(folder: Path) -> dict[str, Tensor]:
    """Return whole tensors on the CPU, from whatever number of shards."""
    reader = HuggingFaceStorageReader(str(folder))
    tensors = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in reader.read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    return tensors
