"""VA-VAE's direct alignment: a linear projection of the latent, cosine and distance-matrix losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.nn.precision import full_precision

COSINE_MARGIN, DISTANCE_MARGIN = 0.5, 0.25  # VA-VAE, final stage
# VA-VAE, calculate_adaptive_weight_vf; the largest ratio is one of pixel losses summed over an image.
ADAPTIVE_EPS, ADAPTIVE_MAX_OF_SUMS = 1e-4, 1e8


class LinearProjection(nn.Module):
    """Bias-free p x p convolution of stride p (p = 1 is VA-VAE's), latent to token features."""

    def __init__(self, latent_channels: int, token_width: int, patch_size: int = 1) -> None:
        super().__init__()
        self.linear_proj = nn.Conv2d(latent_channels, token_width, patch_size, patch_size, bias=False)

    def forward(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B N D"]:
        """Return one feature vector per patch of the latent, row-major."""
        return self.linear_proj(z).flatten(2).transpose(1, 2)


def marginal_cosine_loss(
    projected: Float[Tensor, "B N D"], target: Float[Tensor, "B N D"], margin: float = COSINE_MARGIN
) -> Float[Tensor, ""]:
    """Return the mean over positions of relu(1 - margin - cos), float32; pairs within the margin add nothing."""
    with full_precision(projected.device):
        cosine = F.cosine_similarity(projected.float(), target.float(), dim=-1)
        return F.relu(1.0 - margin - cosine).mean()


def distance_matrix_loss(
    projected: Float[Tensor, "B N D"], target: Float[Tensor, "B N D"], margin: float = DISTANCE_MARGIN
) -> Float[Tensor, ""]:
    """Return the mean over pairs of positions of relu(|cos_projected - cos_target| - margin), float32."""
    with full_precision(projected.device):  # it would run the products in half precision
        unit_a, unit_b = F.normalize(projected.float(), dim=-1), F.normalize(target.float(), dim=-1)
        difference = unit_a @ unit_a.transpose(1, 2) - unit_b @ unit_b.transpose(1, 2)
        return F.relu(difference.abs() - margin).mean()


def adaptive_weight(
    reconstruction_loss: Float[Tensor, ""], alignment: Float[Tensor, ""], last_layer: Tensor, elements: int
) -> Float[Tensor, ""]:
    """Return |grad of reconstruction loss| / |grad of alignment loss| at the encoder's last layer.

    VA-VAE's pixel losses are sums over the C*H*W values of an image where ours are means, and its alignment is a
    mean as ours is: its ratio is C*H*W times ours, and so is the bound of 1e8 that it puts on it.

    Args:
        reconstruction_loss: a mean over the values of each image, and over the batch.
        alignment: a mean over positions.
        last_layer: weight of the encoder's last convolution.
        elements: C*H*W, the values of one image.

    Returns:
        The ratio, at most 1e8 / elements, without gradient.
    """
    (a,) = torch.autograd.grad(reconstruction_loss, last_layer, retain_graph=True)
    (b,) = torch.autograd.grad(alignment, last_layer, retain_graph=True)
    return (a.norm() / (b.norm() + ADAPTIVE_EPS)).clamp(0.0, ADAPTIVE_MAX_OF_SUMS / elements).detach()
