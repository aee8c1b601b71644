"""Frechet distance between Gaussians fitted to features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.nn import Moments

ArrayLike = Tensor | np.ndarray


class Gaussian(NamedTuple):
    """The mean and covariance of a set's features."""

    mean: Float64[Tensor, " D"]
    cov: Float64[Tensor, "D D"]


def frechet_distance(mean_a: ArrayLike, cov_a: ArrayLike, mean_b: ArrayLike, cov_b: ArrayLike) -> float:
    """Return |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) in float64 (Heusel et al., 2017, Eq. 6).

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
    """Return tr((A B)^(1/2)): the sum of the roots of the eigenvalues of L^T B L, with A = L L^T (Cholesky).

    A root halves the digits of eigenvalues that are zero but for rounding. Where A or B is singular, the
    singular values of R^T S, with A = R R^T and B = S S^T, are the same numbers without taking a root.
    """
    factor, singular = torch.linalg.cholesky_ex(a)
    if not singular and not torch.linalg.cholesky_ex(b).info:
        eigenvalues = torch.linalg.eigvalsh(factor.T @ b @ factor)
        if eigenvalues[0] > len(a) * torch.finfo(a.dtype).eps * eigenvalues[-1]:
            return eigenvalues.sqrt().sum()
    return torch.linalg.svdvals(_root(a).T @ _root(b)).sum()


def _root(cov: Float[Tensor, "D D"]) -> Float[Tensor, "D R"]:
    """Return R with R R^T = cov and as many columns as the rank of cov: its Cholesky factor with pivots.

    The factor of the covariance of N < D features takes N D^2 operations, an eigendecomposition many times D^3.
    Pivots below D eps times the largest variance are taken for rounding, which is LAPACK's default.
    """
    from scipy.linalg import get_lapack_funcs

    (pivoted_cholesky,) = get_lapack_funcs(("pstrf",), dtype=np.float64)
    factor, order, rank, _ = pivoted_cholesky(cov.cpu().numpy(), lower=1)
    root = np.empty((len(cov), rank))
    root[order - 1] = np.tril(factor)[:, :rank]
    return torch.from_numpy(root).to(cov.device)


def gaussian_of(features: Float[Tensor, "N D"]) -> Gaussian:
    """Return the mean and unbiased covariance of rows, float64.

    Raises:
        ValueError: fewer than two rows.
    """
    moments = Moments()
    moments.update(features)
    return Gaussian(moments.mean, moments.cov)


def frechet_distance_of(a: Moments, b: Moments) -> float:
    """Return the Frechet distance of two accumulated sets."""
    return frechet_distance(a.mean, a.cov, b.mean, b.cov)
