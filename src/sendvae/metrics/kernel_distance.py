"""Kernel distance (KID): an unbiased distance that small samples can afford."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def kernel_distance(a: Float[Tensor, "N D"], b: Float[Tensor, "M D"]) -> float:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3 over all pairs (Binkowski et al., 2018).

    All rows enter one estimate; there are no random subsets.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"two images or more are needed on each side, got {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    within_a, within_b, between = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    n, m = len(a), len(b)
    return float(
        (within_a.sum() - within_a.trace()) / (n * (n - 1))
        + (within_b.sum() - within_b.trace()) / (m * (m - 1))
        - 2.0 * between.mean()
    )


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1.0) ** 3
