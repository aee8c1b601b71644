"""Feature networks of distribution metrics, by name: uint8 images (B, 3, H, W) to rows (B, D)."""

from collections.abc import Callable

from torch import nn

from sendvae.metrics.features.inception import InceptionFeatures, InceptionOutputs, load_inception
from sendvae.metrics.features.mobilenet_v2 import MobileNetV2Features, load_mobilenet_v2
from sendvae.registry import Registry

# Every network has `name` and `dim`, and gives an image the same features in any batch.
FEATURES: Registry[Callable[..., nn.Module]] = Registry(
    "feature network", {"MobileNetV2": load_mobilenet_v2, "Inception": load_inception}
)

__all__ = [
    "FEATURES",
    "InceptionFeatures",
    "InceptionOutputs",
    "MobileNetV2Features",
    "load_inception",
    "load_mobilenet_v2",
]
