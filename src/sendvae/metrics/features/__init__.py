"""Feature networks of Frechet distances, by name."""

from collections.abc import Callable

from torch import nn

from sendvae.metrics.features.mobilenet_v2 import MobileNetV2Features
from sendvae.registry import Registry

FEATURES: Registry[Callable[[bool], nn.Module]] = Registry(
    "feature network", {"MobileNetV2": MobileNetV2Features}
)
