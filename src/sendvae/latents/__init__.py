"""Scores of a latent space."""

from sendvae.latents.attributes import AttributeProbeResult, attribute_probe
from sendvae.latents.bootstrap import Bootstrap, percentile_interval
from sendvae.latents.correlation import Correlation, Prediction, pearson, predict_linear
from sendvae.latents.discrimination import Discrimination, MixtureScore, discrimination, mixture_scores
from sendvae.latents.f1_recall import f1_scores, recall_at, recall_variants
from sendvae.latents.gap import ClassProbeResult, class_probe, semantic_gap
from sendvae.latents.minibatch import MinibatchFit, fit_minibatch
from sendvae.latents.ridge import StreamingRidge
from sendvae.latents.rows import LatentRows, TensorRows
from sendvae.latents.table import SCORES, Score, quantity_of
from sendvae.latents.uniformity import (
    Uniformity,
    density_statistics,
    kernel_density,
    uniformity,
    uniformity_repeats,
)

__all__ = [
    "SCORES",
    "AttributeProbeResult",
    "Bootstrap",
    "ClassProbeResult",
    "Correlation",
    "Discrimination",
    "LatentRows",
    "MinibatchFit",
    "MixtureScore",
    "Prediction",
    "Score",
    "StreamingRidge",
    "TensorRows",
    "Uniformity",
    "attribute_probe",
    "class_probe",
    "density_statistics",
    "discrimination",
    "f1_scores",
    "fit_minibatch",
    "kernel_density",
    "mixture_scores",
    "pearson",
    "percentile_interval",
    "predict_linear",
    "quantity_of",
    "recall_at",
    "recall_variants",
    "semantic_gap",
    "uniformity",
    "uniformity_repeats",
]
