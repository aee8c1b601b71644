"""The perceptual networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from sendvae.autoencoding.efficientnet_perceptual import EfficientNetPerceptual
from sendvae.autoencoding.lpips import LPIPS
from sendvae.registry import Registry

PERCEPTUAL: Registry[Callable[..., nn.Module]] = Registry(
    "perceptual network",
    {
        "lpips-vgg": LPIPS,
        "lpips-vgg-legacy-range": partial(LPIPS, legacy_range=True),
        "effnet-lite1-perceptual": EfficientNetPerceptual,
    },
)


def load_perceptual(name: str, pretrained: bool = True) -> nn.Module:
    """A frozen module: (reconstruction, images), both (B, 3, H, W) in [-1, 1], to distances (B,)."""
    return PERCEPTUAL[name](pretrained=pretrained)
