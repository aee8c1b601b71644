"""What a sampler is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sendvae.diffusion.path import LINEAR, PATHS, Path

Velocity = Callable[[Tensor, float], Tensor]  # (state, t) to dx / dt
Noise = Callable[
    [], Tensor
]  # standard normal numbers with the state's shape, type and device, new at each call


@runtime_checkable
class Sampler(Protocol):
    """A function from noise to data."""

    def __call__(
        self,
        velocity: Velocity,
        x: Float[Tensor, "B C *n"],
        steps: int,
        noise: Noise,
        path: Path = PATHS[LINEAR],
        shift: float = 1.0,
    ) -> Float[Tensor, "B C *n"]:
        """Return the state at t = 0.

        Args:
            velocity: the velocity of the path.
            x: the state at t = 1, float64 where the device has it.
            steps: how finely time is divided.
            noise: what a stochastic sampler adds; the others never call it.
            shift: the shift of the times (`shifted`); above 1 more of the steps lie near noise.
            path: the path of the velocity; gives a stochastic sampler its score and its noise.
        """
        ...
