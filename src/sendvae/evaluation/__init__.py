"""Models -> numbers: streams images and latents into the metrics."""

from sendvae.evaluation.features import extract_features, image_batches
from sendvae.evaluation.generate import evaluate_generation
from sendvae.evaluation.latents import LatentScores, evaluate_latents
from sendvae.evaluation.preview import Preview
from sendvae.evaluation.reconstruct import evaluate_reconstruction, reconstruct
from sendvae.evaluation.sampling import generate

__all__ = [
    "LatentScores",
    "Preview",
    "evaluate_generation",
    "evaluate_latents",
    "evaluate_reconstruction",
    "extract_features",
    "generate",
    "image_batches",
    "reconstruct",
]
