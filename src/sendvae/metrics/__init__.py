"""Features -> statistics -> number."""

from sendvae.metrics.features import FEATURES
from sendvae.metrics.frechet import FeatureStatistics, frechet_distance, frechet_distance_of
from sendvae.metrics.inception_score import inception_score
from sendvae.metrics.kernel_distance import kernel_distance
from sendvae.metrics.precision_recall import precision_recall
from sendvae.metrics.psnr_ssim import psnr, ssim

__all__ = [
    "FEATURES",
    "FeatureStatistics",
    "frechet_distance",
    "frechet_distance_of",
    "inception_score",
    "kernel_distance",
    "precision_recall",
    "psnr",
    "ssim",
]
