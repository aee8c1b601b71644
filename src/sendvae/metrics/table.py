"""The metrics by name: what each needs, how it is computed, and how its number is read.

A new metric is a function and a row here. Evaluations compute the rows that their protocol names, and tables and
reports read labels and directions from the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sendvae.metrics.frechet import Gaussian, frechet_distance, gaussian_of
from sendvae.metrics.inception_score import inception_score
from sendvae.metrics.kernel_distance import kernel_distance
from sendvae.metrics.precision_recall import coverage
from sendvae.metrics.psnr_ssim import psnr, ssim, ssim_signed
from sendvae.metrics.uncertainty import bootstrap_mean, chunk_interval, frechet_interval
from sendvae.quantities import Estimate, Quantity
from sendvae.registry import Registry

CPU = torch.device("cpu")
SetNeed = Literal["features", "spatial", "logits", "reference features", "class hits"]
ImageNeed = Literal["pixels", "pairs"]


@dataclass(frozen=True)
class Settings:
    """The choices of a protocol that metrics read.

    Attributes:
        bootstrap: the number of resamples of images; 0 for no interval.
        jackknife: the number of groups that are left out one by one for distances; 0 for no interval.
        seed: the seed of the bootstrap.
        neighbours: k of precision and recall.
        half: whether their distances are rounded as ADM's evaluator does.
        score_chunk: images of a chunk of the inception score.
        signed_ssim: SSIM of floats on [-1, 1] in place of 8-bit images on [0, 1].
        perceptual_clamped: whether reconstructions are clamped for the perceptual network.
        device: where what takes long is computed; evidence lies on the CPU.
    """

    bootstrap: int = 1000
    jackknife: int = 10
    seed: int = 0
    neighbours: int = 3
    half: bool = False
    score_chunk: int = 5000
    signed_ssim: bool = False
    perceptual_clamped: bool = True
    device: torch.device = CPU


@dataclass(frozen=True)
class SetEvidence:
    """Features of a set of images and of its reference.

    Attributes:
        features, spatial, logits: (N, D), (N, S) and (N, K) of the set, in its order; None where there are none.
        reference, reference_spatial: Gaussians of the other set's features.
        reference_features: (M, D) of the other set's images; None where only its statistics are known.
        class_hits: (N,), whether a probe trained on real images finds the class of each image; None without one.
        shared: what several metrics compute from the same evidence, once.
    """

    features: Float[Tensor, "N D"]
    spatial: Float[Tensor, "N S"] | None = None
    logits: Float[Tensor, "N K"] | None = None
    reference: Gaussian | None = None
    reference_spatial: Gaussian | None = None
    reference_features: Float[Tensor, "M D"] | None = None
    class_hits: Bool[Tensor, " N"] | None = None
    shared: dict[Any, Any] = field(default_factory=dict)

    def missing(self, need: SetNeed) -> str | None:
        """Return why this evidence is missing; None if it is there."""
        if need in ("spatial", "logits") and getattr(self, need) is None:
            return "the feature network gives none"
        statistics = {"features": self.reference, "spatial": self.reference_spatial}
        if need in statistics and statistics[need] is None:
            return "the reference has no statistics of these features"
        if need == "reference features" and self.reference_features is None:
            return "the reference has no images"
        if need == "class hits" and self.class_hits is None:
            return "no classes of the samples, or no labelled real images to train a probe on"
        return None


@dataclass(frozen=True)
class ImageEvidence:
    """A batch of images, with their originals if they are reconstructions.

    Attributes:
        images: the images as they are shown.
        exact: the images before rounding, float in [-1, 1] or beyond.
        originals, originals_exact: the originals of the same images; None where there are none.
        perceptual: the perceptual distance of two float batches, (B,).
    """

    images: UInt8[Tensor, "B 3 H W"]
    exact: Float[Tensor, "B 3 H W"] | None = None
    originals: UInt8[Tensor, "B 3 H W"] | None = None
    originals_exact: Float[Tensor, "B 3 H W"] | None = None
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class SetMetric:
    """A number of a whole set.

    Attributes:
        name: the name of its number, with the fields {distance}, {kernel} and {suffix} of the feature network.
        needs: the evidence without which it cannot be computed, besides `features`.
        compute: the function of evidence and settings that computes it.
        quantity: its label, direction and digits, with fields that `sendvae.evaluation` fills: {network}, {reference}.
    """

    name: str
    needs: SetNeed
    compute: Callable[[SetEvidence, Settings], Estimate]
    quantity: Quantity


@dataclass(frozen=True)
class ImageMetric:
    """A number of every image, whose mean over images is reported.

    Attributes:
        name: the name of its number; {perceptual} is the perceptual network's name.
        needs: "pixels" for images by themselves, "pairs" for originals and reconstructions.
        compute: a batch to (B,).
        quantity: how it is read.
    """

    name: str
    needs: ImageNeed
    compute: Callable[[ImageEvidence, Settings], Tensor]
    quantity: Quantity


def mean_estimate(values: Tensor, settings: Settings) -> Estimate:
    """Return the mean over images with its bootstrap interval."""
    interval = bootstrap_mean(values, settings.bootstrap, settings.seed)
    return Estimate(
        float(values.double().mean()), interval, "bootstrap over images" if interval is not None else None
    )


def _frechet(reference: Gaussian | None, features: Tensor | None, settings: Settings) -> Estimate:
    assert reference is not None
    assert features is not None
    own = gaussian_of(features)
    groups = settings.jackknife
    interval = frechet_interval(reference.mean, reference.cov, features, groups)
    return Estimate(
        frechet_distance(reference.mean, reference.cov, own.mean, own.cov),
        interval,
        f"jackknife over {groups} groups of images" if interval is not None else None,
    )


def _inception_score(evidence: SetEvidence, settings: Settings) -> Estimate:
    assert evidence.logits is not None
    mean, std = inception_score(evidence.logits, chunk=settings.score_chunk)
    chunks = -(-len(evidence.logits) // settings.score_chunk)
    interval = chunk_interval(mean, std, chunks)
    return Estimate(mean, interval, f"spread of {chunks} chunks" if chunks > 1 else None)


def _kernel(evidence: SetEvidence, _: Settings) -> Estimate:
    assert evidence.reference_features is not None
    return Estimate(kernel_distance(evidence.reference_features, evidence.features))


def _covered(evidence: SetEvidence, settings: Settings) -> tuple[Bool[Tensor, " N"], Bool[Tensor, " M"]]:
    """Which images lie near the reference, and which of the reference near an image."""
    key = "coverage", settings.neighbours, settings.half
    if key not in evidence.shared:
        assert evidence.reference_features is not None
        evidence.shared[key] = coverage(
            evidence.reference_features.to(settings.device),
            evidence.features.to(settings.device),
            settings.neighbours,
            half=settings.half,
        )
    return evidence.shared[key]


def _share(inside: Tensor, settings: Settings, fixed: str) -> Estimate:
    interval = bootstrap_mean(inside, settings.bootstrap, settings.seed)
    method = f"bootstrap over images, {fixed} fixed" if interval is not None else None
    return Estimate(float(inside.double().mean()), interval, method)


def _class_accuracy(evidence: SetEvidence, settings: Settings) -> Estimate:
    assert evidence.class_hits is not None
    return _share(evidence.class_hits, settings, "probe")


def _pairs(evidence: ImageEvidence) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reconstructions and originals, 8-bit and exact."""
    assert evidence.exact is not None
    assert evidence.originals is not None
    assert evidence.originals_exact is not None
    return evidence.images, evidence.originals, evidence.exact, evidence.originals_exact


def _psnr(evidence: ImageEvidence, _settings: Settings) -> Tensor:
    copies, originals, _, _ = _pairs(evidence)
    return psnr(copies, originals)


def _ssim(evidence: ImageEvidence, settings: Settings) -> Tensor:
    copies, originals, exact, originals_exact = _pairs(evidence)
    return ssim_signed(exact, originals_exact) if settings.signed_ssim else ssim(copies, originals)


def _perceptual(evidence: ImageEvidence, settings: Settings) -> Tensor:
    _, _, exact, originals = _pairs(evidence)
    assert evidence.perceptual is not None
    shown = exact.clamp(-1.0, 1.0) if settings.perceptual_clamped else exact
    return evidence.perceptual(shown, originals)


METRICS: Registry[SetMetric | ImageMetric] = Registry(
    "metric",
    {
        "fd": SetMetric(
            "{distance}",
            "features",
            lambda e, s: _frechet(e.reference, e.features, s),
            Quantity(
                "{distance_label}", "generation", False, 2,
                "Frechet distance of {samples} to {reference} in {network} features{caveat}",
            ),
        ),
        "sfd": SetMetric(
            "s{distance}",
            "spatial",
            lambda e, s: _frechet(e.reference_spatial, e.spatial, s),
            Quantity(
                "s{distance_label}", "generation", False, 2,
                "the same in spatial features, which see the layout",
            ),
        ),
        "kd": SetMetric(
            "{kernel}",
            "reference features",
            _kernel,
            Quantity(
                "{kernel_label}", "generation", False, 4,
                "kernel distance (unbiased, cubic) in {network} features",
            ),
        ),
        "is": SetMetric(
            "is{suffix}",
            "logits",
            _inception_score,
            Quantity("IS", "generation", True, 1, "inception score: certain and varied classes"),
        ),
        "precision": SetMetric(
            "precision{suffix}",
            "reference features",
            lambda e, s: _share(_covered(e, s)[0], s, "balls"),
            Quantity(
                "Precision", "generation", True, 3, "share of {samples} near {reference}, in {network} features"
            ),
        ),
        "recall": SetMetric(
            "recall{suffix}",
            "reference features",
            lambda e, s: _share(_covered(e, s)[1], s, "balls"),
            Quantity(
                "Recall", "generation", True, 3, "share of {reference} near {samples}, in {network} features"
            ),
        ),
        "class": SetMetric(
            "class_accuracy{suffix}",
            "class hits",
            _class_accuracy,
            Quantity(
                "Class", "generation", True, 3,
                "share of {samples} whose class a linear probe finds, in {network} features; trained on real images",
            ),
        ),
        "psnr": ImageMetric(
            "psnr", "pairs", _psnr,
            Quantity("PSNR", "reconstruction", True, 2, "dB, per 8-bit image, then averaged"),
        ),
        "ssim": ImageMetric(
            "ssim", "pairs", _ssim,
            Quantity("SSIM", "reconstruction", True, 3, "structural similarity, Gaussian window of 11 pixels"),
        ),
        "perceptual": ImageMetric(
            "{perceptual}", "pairs", _perceptual,
            Quantity(
                "{perceptual_label}", "reconstruction", False, 3, "perceptual distance of {perceptual}, per image"
            ),
        ),
    },
)  # fmt: skip
