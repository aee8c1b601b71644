"""Features -> statistics -> number."""

from sendvae.metrics.features import (
    FEATURE_WEIGHTS,
    InceptionFeatures,
    InceptionOutputs,
    MobileNetV2Features,
    load_inception,
    load_mobilenet_v2,
)
from sendvae.metrics.frechet import (
    Gaussian,
    frechet_distance,
    frechet_distance_of,
    gaussian_of,
)
from sendvae.metrics.inception_score import inception_score
from sendvae.metrics.kernel_distance import kernel_distance, kernel_distance_subsets, kernel_distances
from sendvae.metrics.precision_recall import coverage, precision_recall
from sendvae.metrics.psnr_ssim import psnr, ssim, ssim_signed
from sendvae.metrics.table import (
    METRICS,
    ImageEvidence,
    ImageMetric,
    SetEvidence,
    SetMetric,
    Settings,
    mean_estimate,
)
from sendvae.metrics.uncertainty import (
    bootstrap_mean,
    chunk_interval,
    frechet_distances_without,
    frechet_interval,
    jackknife_interval,
    mean_interval,
)

__all__ = [
    "FEATURE_WEIGHTS",
    "METRICS",
    "Gaussian",
    "ImageEvidence",
    "ImageMetric",
    "InceptionFeatures",
    "InceptionOutputs",
    "MobileNetV2Features",
    "SetEvidence",
    "SetMetric",
    "Settings",
    "bootstrap_mean",
    "chunk_interval",
    "coverage",
    "frechet_distance",
    "frechet_distance_of",
    "frechet_distances_without",
    "frechet_interval",
    "gaussian_of",
    "inception_score",
    "jackknife_interval",
    "kernel_distance",
    "kernel_distance_subsets",
    "kernel_distances",
    "load_inception",
    "load_mobilenet_v2",
    "mean_estimate",
    "mean_interval",
    "precision_recall",
    "psnr",
    "ssim",
    "ssim_signed",
]
