"""Frechet distance between Gaussians fitted to features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

ArrayLike = Tensor | np.ndarray


class Gaussian(NamedTuple):
    """Mean and covariance of a set's features."""

    mean: Float64[Tensor, " D"]
    cov: Float64[Tensor, "D D"]


def frechet_distance(mean_a: ArrayLike, cov_a: ArrayLike, mean_b: ArrayLike, cov_b: ArrayLike) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), in float64 (Heusel et al., 2017, Eq. 6).

    No epsilon is added to singular covariances: they are handled exactly.

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
    """tr((A B)^(1/2)) as the sum of the roots of the eigenvalues of L^T B L, with A = L L^T (Cholesky).

    A root halves the digits of eigenvalues that are zero but for rounding. Where A or B is singular, the
    singular values of R^T S, with A = R R^T and B = S S^T, are the same numbers without taking a root.
    """
    factor, failed = torch.linalg.cholesky_ex(a)
    if not int(failed):
        eigenvalues = torch.linalg.eigvalsh(factor.T @ b @ factor)
        if eigenvalues[0] > _rounding(eigenvalues):
            return eigenvalues.sqrt().sum()
    return torch.linalg.svdvals(_root(a).T @ _root(b)).sum()


def _root(cov: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """R with R R^T = cov, also for a singular one, whose null directions become exactly zero."""
    eigenvalues, vectors = torch.linalg.eigh(cov)
    return vectors * eigenvalues.where(eigenvalues > _rounding(eigenvalues), 0.0).sqrt()


def _rounding(eigenvalues: Float[Tensor, " D"]) -> Float[Tensor, ""]:
    """The size below which an eigenvalue (ascending) is no more than rounding: the usual tolerance of a rank."""
    return len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps * eigenvalues[-1]


class FeatureStatistics:
    """Streaming mean and unbiased covariance in float64; how rows are batched or sharded does not matter.

    Chan's update of (count, mean, scatter) keeps its digits where the mean is large against the spread, which
    sums of squares do not.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.scatter = torch.zeros(0, 0, dtype=torch.float64)

    def update(self, features: Float[Tensor, "B D"]) -> None:
        """Adds a batch of rows, possibly empty."""
        rows = features.double()
        mean = rows.mean(0)
        centred = rows - mean
        self._combine(len(rows), mean, centred.T @ centred)

    def merge(self, other: FeatureStatistics) -> None:
        """Adds the rows another accumulator has seen."""
        self._combine(other.count, other.mean, other.scatter)

    def state(self) -> dict[str, Tensor]:
        """Plain tensors, to be saved or gathered from other processes."""
        return {"count": torch.tensor(self.count), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> FeatureStatistics:
        """The accumulator that gave `state`."""
        statistics = cls()
        statistics._combine(int(state["count"]), state["mean"], state["scatter"])
        return statistics

    def _combine(self, count: int, mean: Tensor, scatter: Tensor) -> None:
        if count == 0:
            return
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


def gaussian_of(features: Float[Tensor, "N D"]) -> Gaussian:
    """Mean and unbiased covariance of rows, float64.

    Raises:
        ValueError: fewer than two rows.
    """
    statistics = FeatureStatistics()
    statistics.update(features)
    return Gaussian(statistics.mean, statistics.cov)


def frechet_distance_of(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """Frechet distance of two accumulated sets."""
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)
