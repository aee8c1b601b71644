"""The data of training steps: images, labels and cached tensors, by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sendvae import distributed
from sendvae.data import (
    CroppedImages,
    ImageSet,
    MappedRows,
    batch_crops,
    batch_indices,
    batch_mirrored,
)


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
        """Return the batch on `device`; from pinned memory without waiting."""
        moved = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if value is not None
        }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Return the batch in pinned memory, from which a GPU copies without waiting; a DataLoader calls this."""
        pinned = {name: value.pin_memory() for name, value in vars(self).items() if value is not None}
        return replace(self, **pinned)

    def split(self, size: int) -> Iterator[Batch]:
        """Yield pieces of `size` rows, in order."""
        for start in range(0, len(self.labels), size):
            rows = {
                name: value[start : start + size] for name, value in vars(self).items() if value is not None
            }
            yield replace(self, **rows)


class Source(Dataset[Batch]):
    """An image set joined with its caches; whole batches are read.

    Args:
        images: the image set (gives the labels too).
        latents: rows with fields "mean" and "std".
        tokens: rows with the field "tokens".
        pixels: whether the images themselves are read; by default only where their latents are not cached.
        flip: whether images are mirrored at random; caches then have fields "..._flip", too.

    An index of N + i, with N images, is the mirrored image i. If the images are larger than what is trained on,
    2 N c more is their window at place c of `batch_crops`.
    """

    def __init__(
        self,
        images: ImageSet,
        latents: MappedRows | None = None,
        tokens: MappedRows | None = None,
        pixels: bool | None = None,
        flip: bool = False,
    ) -> None:
        self.images, self.latents, self.tokens, self.flip = images, latents, tokens, flip
        self.pixels = latents is None if pixels is None else pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        views, picked = np.divmod(np.asarray(indices), len(self))
        places, views = np.divmod(views, 2)
        mirrored = views == 1 if self.flip else None
        tokens = self.tokens.batch(picked, mirrored)["tokens"] if self.tokens else None
        mean, std = None, None
        if self.latents is not None:
            latents = self.latents.batch(picked, mirrored)
            mean, std = latents["mean"].float(), latents["std"].float()
        if not self.pixels:
            return Batch(None, self.images.labels_of(picked), mean, std, tokens)
        images = self.images
        batch = images.cropped(picked, places) if isinstance(images, CroppedImages) else images.batch(picked)
        pixels = batch.images
        if mirrored is not None:
            pixels = torch.where(torch.from_numpy(mirrored)[:, None, None, None], pixels.flip(-1), pixels)
        return Batch(pixels, batch.labels, mean, std, tokens)


class PositionBatches(Sampler[list[int]]):
    """Index lists for this rank from `start` images on; a function of (seed, rank, position) alone.

    With `flip`, an index of `length` + i is the mirrored image i; with `crop`, 2 `length` c more is its window at c.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        start: int,
        total: int,
        flip: bool = False,
        crop: bool = False,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.total, self.flip, self.crop = start, total, flip, crop

    def __len__(self) -> int:
        return -(-(self.total - self.start) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = distributed.rank(), distributed.world_size()
        for position in range(self.start, self.total, self.batch_size):
            indices = batch_indices(position, self.batch_size, self.length, self.seed, rank, world)
            if self.flip:
                indices += self.length * batch_mirrored(position, self.batch_size, self.seed, rank, world)
            if self.crop:
                indices += 2 * self.length * batch_crops(position, self.batch_size, self.seed, rank, world)
            yield indices.tolist()


def batches(
    source: Source, batch_size: int, seed: int, start: int, total: int, workers: int
) -> DataLoader[Batch]:
    """Return this process's batches of a run from position `start` to `total`, in images seen.

    Args:
        source: what is read.
        batch_size: the batch size of all processes together.
        seed: the seed of order, mirroring and crops.
        workers: processes that read; 0 reads in this one.
    """
    crop = isinstance(source.images, CroppedImages)
    return DataLoader(
        source,
        batch_sampler=PositionBatches(len(source), batch_size, seed, start, total, source.flip, crop),
        num_workers=workers,
        collate_fn=_already_batched,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def _already_batched(batch: Any) -> Batch:
    return batch
