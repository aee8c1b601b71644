"""Heun's method for the probability-flow ODE."""

from __future__ import annotations

import itertools

from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import LINEAR, PATHS, Path
from sendvae.diffusion.samplers.protocol import Noise, Velocity
from sendvae.diffusion.samplers.times import descending


def heun(
    velocity: Velocity,
    x: Float[Tensor, "B C *n"],
    steps: int,
    noise: Noise,
    path: Path = PATHS[LINEAR],
    shift: float = 1.0,
) -> Float[Tensor, "B C *n"]:
    """Trapezoidal correction on all steps but the last, which is an Euler step (REPA)."""
    del noise, path
    times = descending(steps + 1, 0.0, shift)
    for i, (t, t_next) in enumerate(itertools.pairwise(times)):
        slope = velocity(x, t)
        euler = x + (t_next - t) * slope
        last = i == steps - 1
        x = euler if last else x + (t_next - t) * 0.5 * (slope + velocity(euler, t_next))
    return x
