"""A feature network of three projections, whose every number can be computed another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sendvae.evaluation.networks import FeatureNetwork, FeatureRows

DIM, SPATIAL, CLASSES = 6, 4, 5


class Pooling(nn.Module):
    """A network whose features are random projections of an image's mean colours and colour spreads."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        for name, width in (("pool", DIM), ("spatial", SPATIAL), ("logits", CLASSES)):
            self.register_buffer(name, torch.randn(6, width, generator=generator))
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        x = images.float() / 255.0
        return torch.cat([x.mean(dim=(2, 3)), 4.0 * x.std(dim=(2, 3))], dim=1)

    def rows(self, images: Tensor) -> FeatureRows:
        x = self(images)
        return FeatureRows(x @ self.pool, x @ self.spatial, 9.0 * x @ self.logits)


def small_network(name: str = "inception") -> FeatureNetwork:
    module = Pooling()
    return FeatureNetwork(name, module, module.rows)


def pictures(count: int, seed: int = 0, size: int = 16) -> np.ndarray:
    """Return uint8 images (N, H, W, 3) that differ in brightness and contrast."""
    rng = np.random.default_rng(seed)
    centre, contrast = rng.uniform(60, 200, (count, 1, 1, 3)), rng.uniform(5, 50, (count, 1, 1, 3))
    noise = rng.normal(size=(count, size, size, 3))
    return (centre + contrast * noise).clip(0, 255).astype(np.uint8)


def save_npz(path: Path, images: np.ndarray, compressed: bool = False, **more: np.ndarray) -> str:
    (np.savez_compressed if compressed else np.savez)(path, arr_0=images, **more)
    return str(path)
