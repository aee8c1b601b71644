"""What pulls a latent space towards the features of a vision foundation model."""

from sendvae.alignment.direct import (
    LinearProjection,
    adaptive_weight,
    distance_matrix_loss,
    marginal_cosine_loss,
)
from sendvae.alignment.loss import alignment_loss
from sendvae.alignment.mapper import Mapper
from sendvae.alignment.methods import ALIGNMENTS, build_alignment
from sendvae.alignment.noising import noise_latents

__all__ = [
    "ALIGNMENTS",
    "LinearProjection",
    "Mapper",
    "adaptive_weight",
    "alignment_loss",
    "build_alignment",
    "distance_matrix_loss",
    "marginal_cosine_loss",
    "noise_latents",
]
