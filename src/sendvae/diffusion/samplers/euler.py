"""Euler's method for the probability-flow ODE."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import Path
from sendvae.diffusion.samplers.protocol import Noise, Velocity


def euler(
    velocity: Velocity, x: Float[Tensor, "B C h w"], steps: int, noise: Noise, path: Path
) -> Float[Tensor, "B C h w"]:
    """t from 1 to 0 in `steps` equal steps: x <- x + dt v(x, t)."""
    del noise, path
    times = torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64).tolist()
    for t, t_next in itertools.pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
    return x
