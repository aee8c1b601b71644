"""Feature networks of distribution metrics, by name: uint8 images (B, 3, H, W) to rows (B, D)."""

from collections.abc import Callable

from torch import nn

from sendvae.metrics.features import inception, mobilenet_v2
from sendvae.metrics.features.inception import InceptionFeatures, InceptionOutputs, load_inception
from sendvae.metrics.features.mobilenet_v2 import MobileNetV2Features, load_mobilenet_v2
from sendvae.registry import Registry
from sendvae.weights import Weights

# Every network has `name` and `dim`, and gives an image the same features in any batch.
FEATURES: Registry[Callable[..., nn.Module]] = Registry(
    "feature network", {"MobileNetV2": load_mobilenet_v2, "Inception": load_inception}
)

FEATURE_WEIGHTS: dict[str, Weights] = {"MobileNetV2": mobilenet_v2.WEIGHTS, "Inception": inception.WEIGHTS}

__all__ = [
    "FEATURES",
    "FEATURE_WEIGHTS",
    "InceptionFeatures",
    "InceptionOutputs",
    "MobileNetV2Features",
    "load_inception",
    "load_mobilenet_v2",
]
