"""Euler's method for the probability-flow ODE."""

from __future__ import annotations

import itertools

from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import LINEAR, PATHS, Path
from sendvae.diffusion.samplers.protocol import Noise, Velocity
from sendvae.diffusion.samplers.times import descending


def euler(
    velocity: Velocity,
    x: Float[Tensor, "B C *n"],
    steps: int,
    noise: Noise,
    path: Path = PATHS[LINEAR],
    shift: float = 1.0,
) -> Float[Tensor, "B C *n"]:
    """Integrate t from 1 to 0 in `steps` steps, equal before the shift: x <- x + dt v(x, t)."""
    del noise, path
    times = descending(steps + 1, 0.0, shift)
    for t, t_next in itertools.pairwise(times):
        x = x + (t_next - t) * velocity(x, t)
    return x
