"""Features -> statistics -> number."""

from sendvae.metrics.features import (
    FEATURES,
    InceptionFeatures,
    InceptionOutputs,
    MobileNetV2Features,
    load_inception,
    load_mobilenet_v2,
)
from sendvae.metrics.frechet import FeatureStatistics, frechet_distance, frechet_distance_of
from sendvae.metrics.inception_score import inception_score
from sendvae.metrics.kernel_distance import kernel_distance, kernel_distance_subsets
from sendvae.metrics.precision_recall import precision_recall
from sendvae.metrics.psnr_ssim import psnr, ssim
from sendvae.metrics.table import METRICS, Metric

__all__ = [
    "FEATURES",
    "METRICS",
    "FeatureStatistics",
    "InceptionFeatures",
    "InceptionOutputs",
    "Metric",
    "MobileNetV2Features",
    "frechet_distance",
    "frechet_distance_of",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "load_inception",
    "load_mobilenet_v2",
    "precision_recall",
    "psnr",
    "ssim",
]
