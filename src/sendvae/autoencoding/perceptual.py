"""The perceptual networks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn

from sendvae.autoencoding import efficientnet_perceptual, lpips
from sendvae.autoencoding.efficientnet_perceptual import EfficientNetPerceptual
from sendvae.autoencoding.lpips import LPIPS
from sendvae.errors import UserError
from sendvae.registry import Registry
from sendvae.weights import Weights

OFFLINE = "effnet-lite1-perceptual"  # its weights come as a package

PERCEPTUAL: Registry[Callable[..., nn.Module]] = Registry(
    "perceptual network",
    {
        "lpips-vgg": LPIPS,
        "lpips-vgg-legacy-range": partial(LPIPS, legacy_range=True),
        OFFLINE: EfficientNetPerceptual,
    },
)

# What each network needs.
PERCEPTUAL_WEIGHTS: dict[str, tuple[Weights, ...]] = {
    "lpips-vgg": (lpips.TRUNK, lpips.HEADS),
    "lpips-vgg-legacy-range": (lpips.TRUNK, lpips.HEADS),
    OFFLINE: (efficientnet_perceptual.WEIGHTS,),
}


def pull_perceptual(name: str) -> None:
    """Find, or fetch, the weights of a perceptual network.

    Raises:
        UserError: they cannot be had; says which file to put where.
    """
    with _alternative_named(name):
        for weights in PERCEPTUAL_WEIGHTS[name]:
            weights.pull()


def load_perceptual(name: str, pretrained: bool = True) -> nn.Module:
    """Return a frozen module: (reconstruction, images), both (B, 3, H, W) in [-1, 1], to distances (B,).

    Raises:
        UserError: unknown name, or weights that cannot be had.
    """
    build = PERCEPTUAL[name]
    with _alternative_named(name):
        return build(pretrained=pretrained)


@contextmanager
def _alternative_named(name: str) -> Iterator[None]:
    """Let errors about the weights of a network name the one that needs no download."""
    try:
        yield
    except UserError as error:
        if name == OFFLINE:
            raise
        raise error.or_else(f"choose {OFFLINE}, which is no LPIPS") from None
