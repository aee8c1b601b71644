"""Scores of a latent space."""

from sendvae.latents.attributes import AttributeProbeResult, attribute_probe, f1_scores, recall_at
from sendvae.latents.correlation import Correlation, pearson
from sendvae.latents.discrimination import discrimination
from sendvae.latents.gap import semantic_gap
from sendvae.latents.ridge import StreamingRidge
from sendvae.latents.uniformity import Uniformity, density_statistics, kernel_density, uniformity

__all__ = [
    "AttributeProbeResult",
    "Correlation",
    "StreamingRidge",
    "Uniformity",
    "attribute_probe",
    "density_statistics",
    "discrimination",
    "f1_scores",
    "kernel_density",
    "pearson",
    "recall_at",
    "semantic_gap",
    "uniformity",
]
