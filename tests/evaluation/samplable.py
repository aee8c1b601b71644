"""A small SiT and tokenizer on which a mistake in sampling shows: no weight is zero, no statistic 0 or 1."""

from __future__ import annotations

import torch

from sendvae.diffusion import SiT
from sendvae.tokenizers import Architecture, Autoencoder, LatentStats

SMALL = Architecture(z_channels=4, ch=8, ch_mult=(1, 2), num_res_blocks=1, norm_groups=4, resolution=8)
CLASSES = 5


def small_sit(seed: int = 0) -> SiT:
    torch.manual_seed(seed)
    sit = SiT(latent_channels=4, latent_size=4, patch_size=2, width=16, depth=2, heads=2, num_classes=CLASSES)
    with torch.no_grad():
        for parameter in sit.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return sit.eval()


def small_tokenizer(seed: int = 1) -> Autoencoder:
    """Images of 8 x 8 pixels."""
    torch.manual_seed(seed)
    tokenizer = Autoencoder(SMALL).eval()
    with torch.no_grad():
        tokenizer.decoder.conv_out.weight.mul_(4.0)  # so that pixels reach both ends of their range
    tokenizer.latent_stats = LatentStats(
        torch.tensor([1.5, -2.0, 0.5, 3.0]), torch.tensor([2.0, 0.5, 3.0, 1.5])
    )
    return tokenizer
