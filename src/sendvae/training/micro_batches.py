"""A process's share of a global batch, in pieces that each know their random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sendvae import distributed
from sendvae.data import to_float
from sendvae.nn.precision import autocast
from sendvae.randomness import Draws
from sendvae.training.source import Batch
from sendvae.vision import Backbone


@dataclass
class MicroBatch:
    """Rows of a batch that go through the networks together, and what a part of a step leaves to later parts.

    Attributes:
        batch: images or cached latents, labels, cached tokens.
        draws: the random numbers of these rows.
        images_seen: the images seen before this step.
        latent: float32 (B, C, h, w), detached: the posterior sample.
        reconstruction: (B, 3, H, W) in [-1, 1], detached.
        shown: what it is the reconstruction of, where that is not the images as they are.
    """

    batch: Batch
    draws: Draws
    images_seen: int
    latent: Tensor | None = None
    reconstruction: Tensor | None = None
    shown: Tensor | None = None

    @property
    def images(self) -> Tensor:
        """Return the pixels, float32 (B, 3, H, W) in [-1, 1]."""
        assert self.batch.images is not None
        return to_float(self.batch.images)

    def tokens(self, backbone: Backbone | None, grid: int, precision: str) -> Tensor:
        """Return patch tokens (B, grid * grid, D): the cached ones, else those that `backbone` computes."""
        if self.batch.tokens is not None:
            return self.batch.tokens
        assert backbone is not None
        images = self.images
        with autocast(precision, images.device):
            return backbone.patch_tokens(images, grid)


def micro_batches(
    batch: Batch, seed: int, images_seen: int, count: int, device: torch.device
) -> list[MicroBatch]:
    """Return this process's share of a batch in `count` equal pieces, each with the draws of its rows."""
    share = len(batch.labels)
    total, first = share * distributed.world_size(), share * distributed.rank()
    size = share // count
    return [
        MicroBatch(piece, Draws(seed, images_seen, total, slice(start, start + size), device), images_seen)
        for start, piece in zip(range(first, first + share, size), batch.split(size), strict=True)
    ]
