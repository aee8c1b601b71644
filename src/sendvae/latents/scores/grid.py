"""Latents as a diffusion model sees them: on their grid, each channel with mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.rows import BATCH, LatentRows, batches
from sendvae.latents.score import Evidence, Found
from sendvae.nn import Moments, channel_rows

VALUES = 2**22  # of a batch: 16 MiB in float32


def without_grid(evidence: Evidence, score: str) -> Found | None:
    """Return why a score of the grid is left out; None where there is a grid."""
    if len(evidence.shape) == 3:
        return None
    count, width = evidence.shape[-1], evidence.shape[0]
    return Found(details={f"no {score}": f"latents are {count} tokens of {width} dimensions without a grid"})


def channel_moments(rows: LatentRows) -> tuple[Float64[Tensor, "C ..."], Float64[Tensor, "C ..."]]:
    """Return mean and standard deviation of every channel over images and positions, in a latent's dimensions.

    Raises:
        ValueError: a channel does not vary.
    """
    moments, dimensions = Moments("diagonal"), 2
    for _, values in batches(rows, _fitting(rows, VALUES)):
        moments.update(channel_rows(values))
        dimensions = values.ndim
    mean, std = moments.mean, moments.std
    if not bool((std > 0).all()):
        raise ValueError(f"channels without variation: {(std <= 0).nonzero().flatten().tolist()}")
    shape = (-1, *[1] * (dimensions - 2))
    return mean.view(shape), std.view(shape)


def normalised(rows: LatentRows, moments: tuple[Tensor, Tensor], most: int = VALUES) -> Iterator[Tensor]:
    """Yield all rows in order, normalised by the moments of their channels.

    Args:
        most: values of a batch.
    """
    mean, std = moments
    for _, values in batches(rows, _fitting(rows, most)):
        yield (values - mean.to(values)) / std.to(values)


def _fitting(rows: LatentRows, most: int) -> int:
    """How many rows together have at most so many values; rows may be images, too."""
    return max(1, min(BATCH, most // prod(rows.batch(np.arange(1)).shape)))
