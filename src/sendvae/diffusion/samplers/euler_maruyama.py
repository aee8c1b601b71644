"""Euler-Maruyama for the reverse SDE, REPA's sampler."""

from __future__ import annotations

import itertools

from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import LINEAR, PATHS, Path
from sendvae.diffusion.samplers.protocol import Noise, Velocity
from sendvae.diffusion.samplers.times import descending

LAST_STEP = 0.04  # size of the final, noiseless step (SiT's "Mean", REPA)


def euler_maruyama(
    velocity: Velocity,
    x: Float[Tensor, "B C *n"],
    steps: int,
    noise: Noise,
    path: Path = PATHS[LINEAR],
    shift: float = 1.0,
) -> Float[Tensor, "B C *n"]:
    """dx = (v - w s / 2) dt + sqrt(w) dW with the path's s and w, t from 1 down to 0.04, then one step to 0.

    `steps` network evaluations. `noise` is called once in each noisy step.
    """
    times = [*descending(steps, LAST_STEP, shift), 0.0]
    for i, (t, t_next) in enumerate(itertools.pairwise(times)):
        dt = t_next - t
        v = velocity(x, t)
        w = path.diffusion(t)
        x = x + (v - 0.5 * w * path.score(x, v, t)) * dt
        if i < steps - 1:
            x = x + (w * -dt) ** 0.5 * noise()
    return x
