"""Scores of a latent space."""

from sendvae.latents.attributes import AttributeProbeResult, attribute_probe
from sendvae.latents.bootstrap import Bootstrap, percentile_interval
from sendvae.latents.correlation import (
    Correlation,
    LeaveOneOut,
    Prediction,
    StrengthDifference,
    leave_one_out,
    partial_correlation,
    pearson,
    predict_linear,
    spearman,
    strength_difference,
)
from sendvae.latents.discrimination import Discrimination, MixtureScore, discrimination, mixture_scores
from sendvae.latents.f1_recall import f1_scores, recall_at, recall_variants
from sendvae.latents.gap import ClassProbeResult, class_probe, semantic_gap
from sendvae.latents.minibatch import MinibatchFit, fit_minibatch
from sendvae.latents.ridge import StreamingRidge
from sendvae.latents.rows import LatentRows, TensorRows
from sendvae.latents.score import MIRRORED, Distance, Evidence, Found, Measured, Score
from sendvae.latents.scores.equivariance import equivariance
from sendvae.latents.scores.spectrum import Spectrum, spectrum
from sendvae.latents.scores.structure import structure
from sendvae.latents.scores.velocity_floor import VelocityFloor, velocity_floor
from sendvae.latents.table import SCORES
from sendvae.latents.uniformity import (
    Uniformity,
    density_statistics,
    kernel_density,
    uniformity,
    uniformity_repeats,
)
from sendvae.nn import time_shift

__all__ = [
    "MIRRORED",
    "SCORES",
    "AttributeProbeResult",
    "Bootstrap",
    "ClassProbeResult",
    "Correlation",
    "Discrimination",
    "Distance",
    "Evidence",
    "Found",
    "LatentRows",
    "LeaveOneOut",
    "Measured",
    "MinibatchFit",
    "MixtureScore",
    "Prediction",
    "Score",
    "Spectrum",
    "StreamingRidge",
    "StrengthDifference",
    "TensorRows",
    "Uniformity",
    "VelocityFloor",
    "attribute_probe",
    "class_probe",
    "density_statistics",
    "discrimination",
    "equivariance",
    "f1_scores",
    "fit_minibatch",
    "kernel_density",
    "leave_one_out",
    "mixture_scores",
    "partial_correlation",
    "pearson",
    "percentile_interval",
    "predict_linear",
    "recall_at",
    "recall_variants",
    "semantic_gap",
    "spearman",
    "spectrum",
    "strength_difference",
    "structure",
    "time_shift",
    "uniformity",
    "uniformity_repeats",
    "velocity_floor",
]
