"""A small VAE with every kind of module the published ones have."""

from __future__ import annotations

import pytest
import torch

from sendvae.tokenizers import Architecture, Autoencoder, LatentStats

# Three levels, a change of width, attention in the last level: f16's layout in small.
SMALL = Architecture(z_channels=4, ch=32, ch_mult=(1, 1, 2), num_res_blocks=2, attn_resolutions=(64,))


@pytest.fixture
def small() -> Autoencoder:
    stats = LatentStats(torch.tensor([0.1, 0.2, 0.3, -4.0]), torch.tensor([1.0, 2.0, 0.7, 5.5]))
    return Autoencoder(SMALL, stats).eval()
