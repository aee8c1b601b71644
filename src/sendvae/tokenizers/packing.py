"""Latents whose neighbouring positions are put together as channels (FLUX.2), and back.

Channel c * side^2 + dy * side + dx of a packed position is channel c of the position (dy, dx) in its square, as
diffusers' pipelines of FLUX.2 have it.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sendvae.tokenizers.posterior import Posterior


def pack(z: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C2 h2 w2"]:
    """Return side^2 * C channels at 1/side of the resolution."""
    return F.pixel_unshuffle(z, side)


def unpack(z: Float[Tensor, "B C2 h2 w2"], side: int) -> Float[Tensor, "B C h w"]:
    """Return what `pack` was given."""
    return F.pixel_shuffle(z, side)


def pack_posterior(posterior: Posterior, side: int) -> Posterior:
    """Return the posterior of packed latents."""
    return Posterior(pack(posterior.mean, side), pack(posterior.logvar, side))
