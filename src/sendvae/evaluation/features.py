"""Features of a stream of images: what every distribution metric starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from sendvae.data import ImageSet
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import progress

BATCH = 64


@torch.no_grad()
def extract_features(
    network: nn.Module, batches: Iterable[UInt8[Tensor, "B 3 H W"]], total: int, name: str
) -> Float[Tensor, "N D"]:
    """Features of all images, float32, in their order; computed in bf16 where that is native."""
    device = next(network.buffers()).device
    rows = []
    with progress(name, total) as bar, autocast(resolve_precision("auto", device), device):
        for images in batches:
            rows.append(network(images.to(device)).float().cpu())
            bar.advance(len(images))
    return torch.cat(rows)


def image_batches(images: ImageSet, count: int | None = None) -> Iterator[UInt8[Tensor, "B 3 H W"]]:
    """The first `count` images (default: all), in batches."""
    total = len(images) if count is None else min(count, len(images))
    for start in range(0, total, BATCH):
        yield images.batch(np.arange(start, min(start + BATCH, total))).images
