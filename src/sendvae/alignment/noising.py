"""Noise injection (Eq. 1)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def noise_latents(
    z: Float[Tensor, "B C h w"], alpha: Float[Tensor, " B"], noise: Float[Tensor, "B C h w"]
) -> Float[Tensor, "B C h w"]:
    """Return z_t = alpha_t z + (1 - alpha_t) epsilon (Eq. 1) for alpha in [0, 1]: 1 gives z, 0 gives the noise.

    Raises:
        ValueError: alpha is not one number per image, or the noise has another shape than z.
    """
    if alpha.shape != z.shape[:1] or noise.shape != z.shape:
        raise ValueError(
            f"for z of shape {tuple(z.shape)} expected alpha of shape ({z.shape[0]},) and noise of z's shape, "
            f"got {tuple(alpha.shape)} and {tuple(noise.shape)}"
        )
    alpha = alpha[:, None, None, None]
    return alpha * z + (1.0 - alpha) * noise
