"""Mean, spread and principal axes of latents, in one pass over rows that are never all in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows, batches

DENSE = 1024  # dimensions up to which all eigenvectors cost less than the iteration for the first few


@dataclass
class Moments:
    """Of flattened rows: count, mean and scatter (the sum of products about the mean), float64."""

    count: int
    mean: Float64[Tensor, " F"]
    scatter: Float64[Tensor, "F F"]

    @property
    def std(self) -> Float64[Tensor, " F"]:
        """Standard deviation with n."""
        return (self.scatter.diagonal() / self.count).clamp_min(0.0).sqrt()


def moments_of(rows: LatentRows) -> Moments:
    """One pass; memory is three matrices of F x F doubles at most (1.6 GB at F = 8192).

    Products of a batch are taken in float32 about the batch's mean and summed in float64 (Chan's update).

    Raises:
        ValueError: no rows, or a latent that is not finite.
    """
    count, mean, scatter = 0, None, None
    for _, values in batches(rows):
        x = values.flatten(1)
        own = x.mean(0)
        x = x - own
        own = own.double()
        if mean is None or scatter is None:
            count, mean, scatter = len(x), own, (x.T @ x).double()
            continue
        total = count + len(x)
        delta = own - mean
        scatter.add_(x.T @ x).addr_(delta, delta, alpha=count * len(x) / total)
        mean, count = mean + delta * (len(x) / total), total
    if mean is None or scatter is None:
        raise ValueError("there are no latents")
    return Moments(count, mean, scatter)


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
