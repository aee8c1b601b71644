"""Frechet distance between Gaussians fitted to features."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# A clipped negative eigenvalue larger than this share of the largest means a rank-deficient covariance.
NEGATIVE_SHARE = 1e-6


def frechet_distance(mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), in float64.

    Args:
        mean_a, mean_b: (D,), tensors or arrays.
        cov_a, cov_b: (D, D), symmetric, positive semi-definite; may be singular.

    Raises:
        ValueError: differing shapes or values that are not finite.
    """
    mean_a, cov_a, mean_b, cov_b = (
        torch.as_tensor(value).double() for value in (mean_a, cov_a, mean_b, cov_b)
    )
    if mean_a.shape != mean_b.shape or cov_a.shape != cov_b.shape or cov_a.shape != 2 * mean_a.shape:
        raise ValueError(f"shapes differ: {mean_a.shape}, {cov_a.shape} and {mean_b.shape}, {cov_b.shape}")
    if not all(bool(value.isfinite().all()) for value in (mean_a, cov_a, mean_b, cov_b)):
        raise ValueError("statistics are not finite: the features contain NaN or infinity")
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace()
    return float(distance - 2.0 * _trace_sqrt_product(cov_a, cov_b))


def _trace_sqrt_product(a: Float[Tensor, "D D"], b: Float[Tensor, "D D"]) -> Float[Tensor, ""]:
    """tr((A B)^(1/2)) as the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2).

    Where B or the product is nearly singular those roots lose half the digits; the singular values of
    A^(1/2) B^(1/2) are the same numbers without a root.
    """
    root_a, deficient = _root(a)
    if not deficient:
        eigenvalues = torch.linalg.eigvalsh(root_a.T @ b @ root_a)
        if eigenvalues[0] >= -NEGATIVE_SHARE * eigenvalues[-1] and eigenvalues[0] > 0:
            return eigenvalues.sqrt().sum()
    root_b, _ = _root(b)
    return torch.linalg.svdvals(root_a.T @ root_b).sum()


def _root(cov: Float[Tensor, "D D"]) -> tuple[Float[Tensor, "D D"], bool]:
    """R with R R^T = cov, and whether cov is singular."""
    eigenvalues, vectors = torch.linalg.eigh(cov)
    deficient = bool(eigenvalues[0] < NEGATIVE_SHARE**2 * eigenvalues[-1])
    return vectors * eigenvalues.clamp_min(0.0).sqrt(), deficient


class FeatureStatistics:
    """Streaming mean and unbiased covariance, float64, by Chan's update: batch size does not matter."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)

    def update(self, features: Float[Tensor, "B D"]) -> None:
        rows = features.double()
        mean = rows.mean(0)
        centred = rows - mean
        self._combine(len(rows), mean, centred.T @ centred)

    def merge(self, other: FeatureStatistics) -> None:
        """Adds the rows another accumulator has seen."""
        self._combine(other.count, other.mean, other.scatter)

    def _combine(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if self.count == 0:
            self.count, self.mean, self.scatter = count, mean.clone(), scatter.clone()
            return
        total = self.count + count
        delta = mean - self.mean
        self.scatter = self.scatter + scatter + torch.outer(delta, delta) * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.count = total

    @property
    def cov(self) -> Float[Tensor, "D D"]:
        """Covariance with n - 1.

        Raises:
            ValueError: fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two images or more, got {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance_of(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two accumulated sets."""
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)
