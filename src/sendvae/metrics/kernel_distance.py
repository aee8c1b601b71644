"""Kernel distance (KID): an unbiased distance that small samples can afford."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sendvae.randomness import stream

BLOCK = 2048  # rows of one block of the kernel matrix
SUBSETS, SUBSET_SIZE = 100, 1000  # Binkowski et al. (2018), as torch-fidelity has them


def kernel_distance(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> float:
    """Return the unbiased squared MMD with kernel (x.y / D + 1)^3 over all pairs (Binkowski et al., 2018).

    All rows enter one estimate, which varies less than an average over random subsets. It may be slightly
    negative. float64, in blocks.

    Raises:
        ValueError: fewer than two rows on a side, or features that are not finite.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"two images or more are needed on each side, got {len(a)} and {len(b)}")
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features contain NaN or infinity")
    a, b = a.double(), b.double()
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _diagonal_sum(a)) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _diagonal_sum(b)) / (m * (m - 1))
    return float(within_a + within_b - 2.0 * _kernel_sum(a, b) / (n * m))


def kernel_distances(
    a: Float[Tensor, "N D"], b: Float[Tensor, "N D"], parts: Sequence[Int64[Tensor, " _"]]
) -> tuple[float, list[float]]:
    """`kernel_distance` of both sets, and of both without each part, at the cost of one.

    Kernels are summed once between every two parts; what a jackknife takes are sums of those.

    Args:
        a, b: row i of one belongs to row i of the other, so that both are left out together.
        parts: positions of rows; together all.

    Raises:
        ValueError: fewer than two rows without a part, or features that are not finite.
    """
    if len(a) - max(map(len, parts)) < 2:
        raise ValueError("two images or more are needed without each part")
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("features contain NaN or infinity")
    own, other = ([rows[part].double() for part in parts] for rows in (a, b))
    within = _table(own, own) + _table(other, other)
    within -= torch.stack(
        [_diagonal_sum(x) + _diagonal_sum(y) for x, y in zip(own, other, strict=True)]
    ).diag()
    between = _table(own, other)

    def distance(kept: list[int]) -> float:
        n = sum(len(own[i]) for i in kept)
        same, cross = (float(sums[kept][:, kept].sum()) for sums in (within, between))
        return same / (n * (n - 1)) - 2.0 * cross / (n * n)

    every = list(range(len(parts)))
    return distance(every), [distance([i for i in every if i != out]) for out in every]


def kernel_distance_subsets(
    a: Float[Tensor, "N D"],
    b: Float[Tensor, "M D"],
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
) -> tuple[float, float]:
    """Return mean and standard deviation (ddof 0) over random subsets of equal size, as papers report KID.

    Raises:
        ValueError: `size` exceeds a set.
    """
    if size > min(len(a), len(b)):
        raise ValueError(f"subsets of {size} cannot be drawn from {len(a)} and {len(b)} images")
    values = []
    for subset in range(subsets):
        generator = stream(seed, subset, "kernel subset")
        rows_a, rows_b = (torch.randperm(len(rows), generator=generator)[:size] for rows in (a, b))
        values.append(kernel_distance(a[rows_a.to(a.device)], b[rows_b.to(b.device)]))
    stacked = torch.tensor(values, dtype=torch.float64)
    return float(stacked.mean()), float(stacked.std(correction=0))


def _kernel_sum(x: Float64[Tensor, "N D"], y: Float64[Tensor, "M D"]) -> Float64[Tensor, ""]:
    blocks = [(block @ y.T / x.shape[1] + 1.0).pow_(3).sum() for block in x.split(BLOCK)]
    return torch.stack(blocks).sum()


def _table(
    x: Sequence[Float64[Tensor, "_ D"]], y: Sequence[Float64[Tensor, "_ D"]]
) -> Float64[Tensor, "g g"]:
    """Return the sums of the kernel between every two parts."""
    return torch.stack([torch.stack([_kernel_sum(one, other) for other in y]) for one in x])


def _diagonal_sum(x: Float64[Tensor, "N D"]) -> Float64[Tensor, ""]:
    """Return the sum of k(x, x), which the unbiased estimate leaves out."""
    return (x.square().mean(1) + 1.0).pow(3).sum()
