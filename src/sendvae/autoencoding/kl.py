"""KL term of L_VAE."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def kl_loss(mean: Float[Tensor, "B C h w"], logvar: Float[Tensor, "B C h w"]) -> Float[Tensor, ""]:
    """Return KL(N(mean, exp(logvar)) || N(0, I)) in nats, summed over C, h, w, averaged over the batch, float32.

    With the *mean* reconstruction loss of REPA-E, weight 1e-6 pulls 3*H*W times harder than the same weight
    beside latent-diffusion's summed one.
    """
    mean, logvar = mean.float(), logvar.float()
    return 0.5 * (mean.square() + logvar.exp() - 1.0 - logvar).sum(dim=(1, 2, 3)).mean()
