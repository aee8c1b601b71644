"""Hinge losses of the patch discriminator, and latent-diffusion's adaptive weight."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# latent-diffusion, LPIPSWithDiscriminator; the largest ratio is one of summed pixel losses.
ADAPTIVE_EPS, ADAPTIVE_MAX_OF_SUMS = 1e-4, 1e4


def hinge_generator_loss(fake: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """Return -mean D(reconstruction)."""
    return -fake.float().mean()


def hinge_discriminator_loss(
    real: Float[Tensor, "B 1 h w"], fake: Float[Tensor, "B 1 h w"]
) -> Float[Tensor, ""]:
    """Return (mean relu(1 - D(image)) + mean relu(1 + D(reconstruction))) / 2."""
    return 0.5 * (F.relu(1.0 - real.float()).mean() + F.relu(1.0 + fake.float()).mean())


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""],
    adversarial_loss: Float[Tensor, ""],
    last_layer: Tensor,
    elements: int,
) -> Float[Tensor, ""]:
    """Return |grad of reconstruction loss| / |grad of adversarial loss| at the decoder's last layer.

    latent-diffusion *sums* |x - x'| + LPIPS over the C*H*W values of an image, its distance counted at each of
    them, and averages over the batch; ours are means over these values. So its loss, and its ratio, are C*H*W
    times ours, the discriminator's terms being means in both. Divided by C*H*W its objective is ours, with
    clamp(sum, 0, 1e4) / (C*H*W) = clamp(mean, 0, 1e4 / (C*H*W)).

    Args:
        reconstruction_loss: a mean over the values of each image, and over the batch.
        adversarial_loss: the loss of the generator, a mean over patches.
        last_layer: weight of the decoder's last convolution.
        elements: C*H*W, the values of one image.

    Returns:
        The ratio, at most 1e4 / elements, without gradient.
    """
    (reconstruction,) = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)
    (adversarial,) = torch.autograd.grad(adversarial_loss, last_layer, retain_graph=True)
    ratio = reconstruction.norm() / (adversarial.norm() + ADAPTIVE_EPS)
    return ratio.clamp(0.0, ADAPTIVE_MAX_OF_SUMS / elements).detach()
