"""Hinge losses of the patch discriminator, and latent-diffusion's adaptive weight."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

ADAPTIVE_EPS, ADAPTIVE_MAX = 1e-4, 1e4  # latent-diffusion, LPIPSWithDiscriminator


def hinge_generator_loss(fake: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """-mean D(reconstruction)."""
    return -fake.float().mean()


def hinge_discriminator_loss(
    real: Float[Tensor, "B 1 h w"], fake: Float[Tensor, "B 1 h w"]
) -> Float[Tensor, ""]:
    """(mean relu(1 - D(image)) + mean relu(1 + D(reconstruction))) / 2."""
    return 0.5 * (F.relu(1.0 - real.float()).mean() + F.relu(1.0 + fake.float()).mean())


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""], adversarial_loss: Float[Tensor, ""], last_layer: Tensor
) -> Float[Tensor, ""]:
    """|grad of the reconstruction loss| / |grad of the adversarial loss| at the decoder's last layer."""
    (reconstruction,) = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)
    (adversarial,) = torch.autograd.grad(adversarial_loss, last_layer, retain_graph=True)
    ratio = reconstruction.norm() / (adversarial.norm() + ADAPTIVE_EPS)
    return ratio.clamp(0.0, ADAPTIVE_MAX).detach()
