"""The terms of L_VAE (Eq. 3): reconstruction, perceptual, KL, adversarial."""

from sendvae.autoencoding.adversarial import adaptive_weight, hinge_discriminator_loss, hinge_generator_loss
from sendvae.autoencoding.equivariance import Transformation, draw_transformation
from sendvae.autoencoding.kl import kl_loss
from sendvae.autoencoding.patchgan import PatchDiscriminator
from sendvae.autoencoding.perceptual import (
    PERCEPTUAL,
    PERCEPTUAL_WEIGHTS,
    load_perceptual,
    pull_perceptual,
)
from sendvae.autoencoding.reconstruction import reconstruction_loss

__all__ = [
    "PERCEPTUAL",
    "PERCEPTUAL_WEIGHTS",
    "PatchDiscriminator",
    "Transformation",
    "adaptive_weight",
    "draw_transformation",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "kl_loss",
    "load_perceptual",
    "pull_perceptual",
    "reconstruction_loss",
]
