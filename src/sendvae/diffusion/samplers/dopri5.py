"""Adaptive Dormand-Prince 5(4) for the probability-flow ODE."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import LINEAR, PATHS, Path
from sendvae.diffusion.samplers.protocol import Noise, Velocity

ATOL, RTOL = 1e-6, 1e-3  # SiT's defaults
# Dormand and Prince (1980): nodes, stages (the last is the fifth-order solution), weights of the error estimate.
NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
SMALLEST_STEP = 1e-10


def dopri5(
    velocity: Velocity,
    x: Float[Tensor, "B C *n"],
    steps: int,
    noise: Noise,
    path: Path = PATHS[LINEAR],
    shift: float = 1.0,
) -> Float[Tensor, "B C *n"]:
    """Integrate t from 1 to 0 with adaptive steps; the first step is 1 / `steps`.

    A step is kept if the root mean square over the batch of error / (ATOL + RTOL |x|) is at most 1, so the steps
    are those of the batch: within the tolerance, an image depends on those beside it (as with SiT's torchdiffeq).

    Raises:
        ValueError: a time shift, which steps that follow the error have no use for.
        FloatingPointError: the step shrinks to nothing, as it does where the velocity is not finite.
    """
    del noise, path
    if shift != 1.0:
        raise ValueError(f"dopri5 chooses its own times: it takes no time shift ({shift})")
    t, h = 1.0, 1.0 / steps
    first = velocity(x, t)
    while t > 0.0:
        if h < SMALLEST_STEP:
            raise FloatingPointError(
                f"dopri5 needs steps below {SMALLEST_STEP} at t={t:.6f}: is the velocity finite?"
            )
        last = h >= t
        h = min(h, t)
        slopes, candidate = [first], x
        for node, weights in zip(NODES[1:], STAGES[1:], strict=True):
            candidate = x - h * sum(w * k for w, k in zip(weights, slopes, strict=True))
            slopes.append(velocity(candidate, t - node * h))
        error = h * sum(w * k for w, k in zip(ERROR, slopes, strict=True))
        scale = ATOL + RTOL * torch.maximum(x.abs(), candidate.abs())
        ratio = float((error / scale).square().mean().sqrt())
        if ratio <= 1.0:
            t, x, first = 0.0 if last else t - h, candidate, slopes[-1]
        h *= min(GROW, max(SHRINK, SAFETY * max(ratio, 1e-10) ** -0.2))
    return x
