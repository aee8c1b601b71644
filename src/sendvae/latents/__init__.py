"""Scores of a latent space."""

from sendvae.latents.attributes import AttributeProbe, attribute_probe
from sendvae.latents.correlation import Correlation, pearson
from sendvae.latents.discrimination import discrimination
from sendvae.latents.gap import semantic_gap
from sendvae.latents.uniformity import Uniformity, uniformity

__all__ = [
    "AttributeProbe",
    "Correlation",
    "Uniformity",
    "attribute_probe",
    "discrimination",
    "pearson",
    "semantic_gap",
    "uniformity",
]
