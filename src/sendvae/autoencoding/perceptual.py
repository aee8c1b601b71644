"""The perceptual networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from sendvae.autoencoding import efficientnet_perceptual, lpips
from sendvae.autoencoding.efficientnet_perceptual import EfficientNetPerceptual
from sendvae.autoencoding.lpips import LPIPS
from sendvae.registry import Registry
from sendvae.weights import Weights

PERCEPTUAL: Registry[Callable[..., nn.Module]] = Registry(
    "perceptual network",
    {
        "lpips-vgg": LPIPS,
        "lpips-vgg-legacy-range": partial(LPIPS, legacy_range=True),
        "effnet-lite1-perceptual": EfficientNetPerceptual,
    },
)

# What each network needs.
PERCEPTUAL_WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "lpips-vgg": (lpips.TRUNK, lpips.HEADS),
    "lpips-vgg-legacy-range": (lpips.TRUNK, lpips.HEADS),
    "effnet-lite1-perceptual": (efficientnet_perceptual.WEIGHTS,),
}


def load_perceptual(name: str, pretrained: bool = True) -> nn.Module:
    """Return a frozen module: (reconstruction, images), both (B, 3, H, W) in [-1, 1], to distances (B,)."""
    return PERCEPTUAL[name](pretrained=pretrained)
