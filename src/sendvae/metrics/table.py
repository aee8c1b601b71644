"""The metrics by name: what each needs and how it is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sendvae.metrics.frechet import FeatureStatistics, frechet_distance_of
from sendvae.metrics.inception_score import inception_score
from sendvae.metrics.kernel_distance import kernel_distance
from sendvae.metrics.precision_recall import precision_recall
from sendvae.metrics.psnr_ssim import psnr, ssim
from sendvae.registry import Registry

Needs = Literal["features", "spatial", "logits", "images"]


@dataclass(frozen=True)
class Metric:
    """A row of the table.

    Attributes:
        needs: what `compute` is given of both sets: pooled features (N, D), spatial features (N, S) or logits
            (N, K) of a feature network, or the images themselves in pairs, uint8 (N, 3, H, W).
        compute: (reference, generated) to named numbers, means over images where there is one per image.
    """

    needs: Needs
    compute: Callable[[Tensor, Tensor], dict[str, float]]


def _frechet(reference: Tensor, generated: Tensor) -> float:
    a, b = FeatureStatistics(), FeatureStatistics()
    a.update(reference)
    b.update(generated)
    return frechet_distance_of(a, b)


def _precision_recall(reference: Tensor, generated: Tensor) -> dict[str, float]:
    precision, recall = precision_recall(reference, generated)
    return {"precision": precision, "recall": recall}


METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "frechet": Metric("features", lambda r, g: {"frechet": _frechet(r, g)}),
        "frechet-spatial": Metric("spatial", lambda r, g: {"frechet-spatial": _frechet(r, g)}),
        "kernel": Metric("features", lambda r, g: {"kernel": kernel_distance(r, g)}),
        "precision-recall": Metric("features", _precision_recall),
        "inception-score": Metric("logits", lambda _, g: {"inception-score": inception_score(g)[0]}),
        "psnr": Metric("images", lambda r, g: {"psnr": float(psnr(g, r).mean())}),
        "ssim": Metric("images", lambda r, g: {"ssim": float(ssim(g, r).mean())}),
    },
)
