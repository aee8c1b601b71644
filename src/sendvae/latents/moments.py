"""Mean, spread and principal axes of latents, in one pass over rows that are never all in memory."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows, batches
from sendvae.nn import Moments

DENSE = 1024  # dimensions up to which all eigenvectors cost less than the iteration for the first few


def moments_of(rows: LatentRows) -> Moments:
    """Return the moments of flattened rows in one pass; memory is that of F x F doubles (0.5 GiB at F = 8192).

    Raises:
        ValueError: no rows, or a latent that is not finite.
    """
    moments = Moments(products="rows")
    for _, values in batches(rows):
        moments.update(values.flatten(1))
    if moments.count == 0:
        raise ValueError("there are no latents")
    return moments


def principal_axes(
    covariance: Float64[Tensor, "F F"], count: int
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "F d"]]:
    """The `count` largest eigenvalues, falling, and their axes; each axis has its largest entry positive."""
    size = len(covariance)
    count = min(count, size)
    if size <= DENSE or count > size // 4:
        values, axes = torch.linalg.eigh(covariance)
        values, axes = values[-count:], axes[:, -count:]
    else:
        from scipy.sparse.linalg import eigsh

        start = np.full(size, size**-0.5)  # fixed, so that the same matrix gives the same axes
        found, vectors = eigsh(covariance.cpu().numpy(), k=count, which="LA", v0=start)
        order = np.argsort(found)
        values, axes = (torch.from_numpy(part).to(covariance) for part in (found[order], vectors[:, order]))
    values, axes = values.flip(0), axes.flip(1)
    return values, axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
