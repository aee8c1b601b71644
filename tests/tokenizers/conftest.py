"""A small VAE with every kind of module the published ones have, on a machine without downloads."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from sendvae.tokenizers import Architecture, Autoencoder, LatentStats

# Three levels, a change of width, attention in the last level: f16's layout in small.
SMALL = Architecture(z_channels=4, ch=32, ch_mult=(1, 1, 2), num_res_blocks=2, attn_resolutions=(64,))


@pytest.fixture
def small() -> Autoencoder:
    stats = LatentStats(torch.tensor([0.1, 0.2, 0.3, -4.0]), torch.tensor([1.0, 2.0, 0.7, 5.5]))
    return Autoencoder(SMALL, stats).eval()


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the hub's cache, which is empty; so is the folder for files put by hand."""
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"
