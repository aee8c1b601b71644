"""Network blocks that the mapper, the diffusion transformer and the tokenizers share."""

from sendvae.nn.attention import Attention
from sendvae.nn.digest import weights_digest
from sendvae.nn.latent_norm import LatentNorm
from sendvae.nn.mlp import MLP, projector
from sendvae.nn.moments import Moments, channel_rows
from sendvae.nn.patches import PatchEmbed, unpatchify
from sendvae.nn.positions import sincos_positions, token_positions
from sendvae.nn.time_shift import time_shift

__all__ = [
    "MLP",
    "Attention",
    "LatentNorm",
    "Moments",
    "PatchEmbed",
    "channel_rows",
    "projector",
    "sincos_positions",
    "time_shift",
    "token_positions",
    "unpatchify",
    "weights_digest",
]
