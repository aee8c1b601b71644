"""The linear interpolant of REPA's SiT: t = 0 is data, t = 1 is noise."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def interpolate(
    x: Float[Tensor, "B C h w"], noise: Float[Tensor, "B C h w"], t: Float[Tensor, " B"]
) -> Float[Tensor, "B C h w"]:
    """x_t = (1 - t) x + t noise."""
    t = t[:, None, None, None]
    return (1.0 - t) * x + t * noise


def velocity(x: Float[Tensor, "B C h w"], noise: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
    """dx_t / dt = noise - x."""
    return noise - x


def sample_time(
    count: int,
    kind: str = "uniform",
    generator: torch.Generator | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, " B"]:
    """One t per image: uniform on [0, 1), or "lognormal": sigma = exp(N(0, 1)), t = sigma / (1 + sigma)."""
    if kind == "uniform":
        return torch.rand(count, generator=generator, device=device)
    if kind == "lognormal":
        return torch.randn(count, generator=generator, device=device).sigmoid()
    raise ValueError(f"time sampling must be 'uniform' or 'lognormal', got '{kind}'")
