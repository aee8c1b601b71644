"""Feature networks of distribution metrics: uint8 images (B, 3, H, W) to rows (B, D).

Each gives an image the same features in any batch. Their names are those of `sendvae.evaluation.networks`.
"""

from sendvae.metrics.features import inception, mobilenet_v2
from sendvae.metrics.features.inception import InceptionFeatures, InceptionOutputs, load_inception
from sendvae.metrics.features.mobilenet_v2 import MobileNetV2Features, load_mobilenet_v2
from sendvae.weights import Weights

FEATURE_WEIGHTS: dict[str, Weights] = {"mobilenet-v2": mobilenet_v2.WEIGHTS, "inception": inception.WEIGHTS}

__all__ = [
    "FEATURE_WEIGHTS",
    "InceptionFeatures",
    "InceptionOutputs",
    "MobileNetV2Features",
    "load_inception",
    "load_mobilenet_v2",
]
