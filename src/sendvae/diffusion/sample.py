"""From noise to normalised latents."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from sendvae.diffusion.guidance import guided_velocity
from sendvae.diffusion.samplers import SAMPLERS
from sendvae.diffusion.sit import SiT


@torch.no_grad()
def sample(
    sit: SiT,
    noise: Float[Tensor, "B C h w"],
    labels: Int64[Tensor, " B"],
    method: str = "euler-maruyama",
    steps: int = 250,
    guidance_scale: float = 1.0,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B C h w"]:
    """Normalised latents, in the dtype of `noise`; the state is integrated in float64.

    Args:
        noise: N(0, 1), the state at t = 1.
        labels: classes, or the null label for unconditional samples.
        method: a name in SAMPLERS.
        steps: network evaluations (for "heun" about twice as many, for "dopri5" the first step's inverse).
        guidance_scale: 1 is the conditional model.
        guidance_interval: noise levels t (1 is noise) at which guidance applies.
        generator: of the noise an SDE sampler adds.
    """
    velocity = guided_velocity(sit, labels, guidance_scale, guidance_interval, noise.dtype)
    return SAMPLERS[method](velocity, noise.double(), steps, generator).to(noise.dtype)
