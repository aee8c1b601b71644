"""A process's share of a global batch, in pieces that each know their random numbers."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from sendvae import distributed
from sendvae.randomness import Draws
from sendvae.training.source import Batch


def micro_batches(
    batch: Batch, seed: int, images_seen: int, parts: int, device: torch.device
) -> Iterator[tuple[Batch, Draws, bool]]:
    """This process's batch in `parts` equal pieces: each with its draws, and whether it is the last."""
    share = len(batch.labels)
    total, first = share * distributed.world_size(), share * distributed.rank()
    size = share // parts
    for i, piece in enumerate(batch.split(size)):
        start = first + i * size
        yield piece, Draws(seed, images_seen, total, slice(start, start + size), device), i == parts - 1
