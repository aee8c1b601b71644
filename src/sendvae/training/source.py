"""What a training step reads: images, labels, and tensors cached beside them, by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sendvae import distributed
from sendvae.data import ImageSet, LatentCache, batch_indices


@dataclass(frozen=True)
class Batch:
    """One rank's share of a global batch.

    Attributes:
        images: uint8 (B, 3, H, W), or None where the latents are cached.
        labels: int64 (B,).
        latent_mean, latent_std: cached posterior (B, C, h, w), or None.
        tokens: cached foundation-model features (B, N, D), or None.
    """

    images: Tensor | None
    labels: Tensor
    latent_mean: Tensor | None = None
    latent_std: Tensor | None = None
    tokens: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if value is not None
        }
        return replace(self, **moved)

    def split(self, size: int) -> Iterator[Batch]:
        """Pieces of `size` rows, in order."""
        for start in range(0, len(self.labels), size):
            rows = {
                name: value[start : start + size] for name, value in vars(self).items() if value is not None
            }
            yield replace(self, **rows)


class Source(Dataset[Batch]):
    """Joins an image set with its caches; reads whole batches.

    Args:
        images: the image set (gives the labels too).
        latents: cache with fields "mean" and "std".
        tokens: cache with the field "tokens".
        pixels: whether the images themselves are read; by default only where their latents are not cached.
    """

    def __init__(
        self,
        images: ImageSet,
        latents: LatentCache | None = None,
        tokens: LatentCache | None = None,
        pixels: bool | None = None,
    ) -> None:
        self.images, self.latents, self.tokens = images, latents, tokens
        self.pixels = latents is None if pixels is None else pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        picked = np.asarray(indices)
        tokens = self.tokens.batch(picked)["tokens"] if self.tokens else None
        if self.latents is not None:
            latents = self.latents.batch(picked)
            labels = self.images.labels_of(picked)
            pixels = self.images.batch(picked).images if self.pixels else None
            return Batch(pixels, labels, latents["mean"].float(), latents["std"].float(), tokens)
        images = self.images.batch(picked)
        return Batch(images.images, images.labels, tokens=tokens)


class PositionBatches(Sampler[list[int]]):
    """Index lists for this rank from `start` images on; a function of (seed, rank, position) alone."""

    def __init__(self, length: int, batch_size: int, seed: int, start: int, total: int) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.total = start, total

    def __len__(self) -> int:
        return -(-(self.total - self.start) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = distributed.rank(), distributed.world_size()
        for position in range(self.start, self.total, self.batch_size):
            yield batch_indices(
                position, self.batch_size, self.length, self.seed, rank=rank, world=world
            ).tolist()


def batches(
    source: Source, batch_size: int, seed: int, start: int, total: int, workers: int
) -> DataLoader[Batch]:
    """The batches of a run from position `start` to `total`."""
    return DataLoader(
        source,
        batch_sampler=PositionBatches(len(source), batch_size, seed, start, total),
        num_workers=workers,
        collate_fn=_already_batched,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def _already_batched(batch: Any) -> Batch:
    return batch
