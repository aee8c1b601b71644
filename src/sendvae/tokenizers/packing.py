"""Packing of latents, which puts neighbouring positions together as channels (FLUX.2), and its reverse.

Channel c * side^2 + dy * side + dx of a packed position is channel c of the position (dy, dx) in its square, as
in diffusers' pipelines of FLUX.2.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sendvae.tokenizers.posterior import Posterior


def pack(z: Float[Tensor, "B C h w"], side: int) -> Float[Tensor, "B C2 h2 w2"]:
    """Return packed latents, with side^2 * C channels at 1/side of the resolution."""
    return F.pixel_unshuffle(z, side)


def unpack(z: Float[Tensor, "B C2 h2 w2"], side: int) -> Float[Tensor, "B C h w"]:
    """Return the latents that `pack` packed."""
    return F.pixel_shuffle(z, side)


def pack_posterior(posterior: Posterior, side: int) -> Posterior:
    """Return the posterior of packed latents."""
    return Posterior(pack(posterior.mean, side), pack(posterior.logvar, side))
