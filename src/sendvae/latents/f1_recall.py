"""F1 averages and recall of the highest scores, of images that may have any number of attributes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from sendvae.latents.bootstrap import Bootstrap, weighted_mean, weighted_ratio

BEST = 50  # attributes that mmfashion's recall averages over


def f1_scores(predicted: Bool[Tensor, "N A"], attributes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return F1 (per attribute (A,), micro, mean over images); it is 0 where nothing is predicted and nothing present."""
    hits, errors = (table.double() for table in _tables(predicted, attributes))
    per_image = _f1(hits.sum(1), errors.sum(1))
    return _f1(hits.sum(0), errors.sum(0)), _f1(hits.sum(), errors.sum()), per_image.mean()


def f1_averages(
    probabilities: Float[Tensor, "N A"], attributes: Tensor, threshold: float
) -> tuple[float, float, float]:
    """Return F1 averaged over attributes, pooled, and averaged over images: macro, micro, samples.

    Args:
        threshold: above which a probability predicts the attribute.
    """
    per_attribute, micro, samples = f1_scores(probabilities > threshold, attributes)
    return float(per_attribute.mean()), float(micro), float(samples)


def recall_at(scores: Float[Tensor, "N A"], attributes: Tensor, top: int) -> float:
    """Return the positives among each image's `top` highest scores, over all positives; 0 without positives."""
    positives = attributes.double()
    return float((positives * _highest(scores, top)).sum() / positives.sum().clamp_min(1.0))


def recall_variants(scores: Float[Tensor, "N A"], attributes: Tensor, top: int) -> tuple[float, float, float]:
    """Return the means of the hits of `recall_at` over images, attributes and the 50 best attributes.

    Images and attributes without a positive do not count; 0 where none has any.
    """
    positives = attributes.double()
    hits = positives * _highest(scores, top)

    def shares(dim: int) -> Tensor:
        total = positives.sum(dim)
        return (hits.sum(dim) / total)[total > 0]

    images, by_attribute = shares(1), shares(0)
    best = by_attribute.sort(descending=True).values[:BEST]
    values = [float(share.mean()) if len(share) else 0.0 for share in (images, by_attribute, best)]
    return values[0], values[1], values[2]


def resampled_scores(
    probabilities: Float[Tensor, "M A"],
    attributes: Bool[Tensor, "M A"],
    threshold: float,
    top: int,
    bootstrap: Bootstrap,
) -> dict[str, Float64[Tensor, " R"]]:
    """Return `f1_macro`, `f1_micro`, `f1_samples` and `recall_at_TOP` of every resample of the images."""
    hits, errors = (table.float() for table in _tables(probabilities > threshold, attributes))
    positives, absent = attributes.float(), ~attributes.any(0)
    found = (attributes & _highest(probabilities, top)).sum(1)
    hits_of_image, errors_of_image = hits.sum(1), errors.sum(1)

    def macro(weights: Tensor) -> Tensor:
        # An attribute whose positives a resample happens to lack would count as 0 there: it is left out.
        counted = ((weights @ positives > 0) | absent).float()
        return (_f1(weights @ hits, weights @ errors) * counted).sum(1) / counted.sum(1).clamp_min(1.0)

    return bootstrap.scores(
        len(attributes),
        {
            "f1_macro": macro,
            "f1_micro": lambda weights: _f1(weights @ hits_of_image, weights @ errors_of_image),
            "f1_samples": weighted_mean(_f1(hits_of_image, errors_of_image)),
            f"recall_at_{top}": weighted_ratio(found, attributes.sum(1)),
        },
    )


def _tables(predicted: Bool[Tensor, "N A"], attributes: Tensor) -> tuple[Tensor, Tensor]:
    """True positives, and false ones of both kinds: all that F1 needs."""
    truth = attributes.bool()
    return truth & predicted, truth ^ predicted


def _f1(hits: Tensor, errors: Tensor) -> Tensor:
    return 2 * hits / (2 * hits + errors).clamp_min(1.0)


def _highest(scores: Float[Tensor, "N A"], top: int) -> Bool[Tensor, "N A"]:
    """Which are among their image's `top` highest."""
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    return chosen.scatter_(1, scores.topk(min(top, scores.shape[1]), dim=1).indices, value=True)
