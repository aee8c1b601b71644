"""Semantic gap: the accuracy of a linear probe of the class on latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from sendvae.latents.bootstrap import Bootstrap, weighted_mean
from sendvae.latents.logistic import STD_FLOOR, Design, fit_softmax, standardise
from sendvae.latents.minibatch import MinibatchFit, fit_minibatch
from sendvae.latents.rows import (
    Centred,
    Fitted,
    LatentRows,
    as_rows,
    gathered,
    not_converged,
    scores_of_rows,
)

WEIGHT_DECAY = 1e-2  # ours: the published protocol states no regulariser


@dataclass(frozen=True)
class ClassProbeResult:
    """Share of test images whose label is predicted, also on every resample if there is a bootstrap.

    Attributes:
        hits: whether the label of each test image is predicted.
        method, fit: how the probe was fitted, and how near it lies to its optimum.
    """

    accuracy: float
    hits: Bool[Tensor, " M"]
    resampled: Float64[Tensor, " R"] | None
    method: str
    fit: Fitted

    @property
    def notes(self) -> list[str]:
        """Return what a reader of the accuracy has to know about the fit; empty if there is nothing."""
        return [] if self.fit.converged else [not_converged(self.method, self.fit.excess)]


def semantic_gap(
    train_latents: Float[Tensor, "N C *n"] | LatentRows,
    train_labels: Int64[Tensor, " N"],
    test_latents: Float[Tensor, "M C *n"] | LatentRows,
    test_labels: Int64[Tensor, " M"],
    pool: str = "mean",
    weight_decay: float = WEIGHT_DECAY,
    top: int = 1,
    method: str = "full-batch",
    minibatch: MinibatchFit | None = None,
) -> float:
    """Return the test accuracy of `class_probe`."""
    splits = train_latents, train_labels, test_latents, test_labels
    return class_probe(*splits, pool, weight_decay, top, method, minibatch).accuracy


def class_probe(
    train_latents: Float[Tensor, "N C *n"] | LatentRows,
    train_labels: Int64[Tensor, " N"],
    test_latents: Float[Tensor, "M C *n"] | LatentRows,
    test_labels: Int64[Tensor, " M"],
    pool: str = "mean",
    weight_decay: float = WEIGHT_DECAY,
    top: int = 1,
    method: str = "full-batch",
    minibatch: MinibatchFit | None = None,
    bootstrap: Bootstrap | None = None,
) -> ClassProbeResult:
    """Fit and test a softmax regression on standardised latents (affine-free BatchNorm and linear layer).

    Args:
        train_latents, test_latents: posterior means, or rows of them read in batches.
        pool: "mean" averages positions, as REPA's probes do, and leaves C features; "flatten" keeps all.
        weight_decay: the factor of the penalty weight_decay / 2 |w|^2 beside the mean cross-entropy; positive, or 0
            with "minibatch".
        top: counts a hit where the label is among this many highest scores.
        method: "full-batch" solves to the optimum (`fit_softmax`) with all (pooled) latents in memory;
            "minibatch" reads them in batches, and says how far it came.
        bootstrap: the resamples of the test images.

    Raises:
        ValueError: unknown pool or method, a single class, fewer classes than `top`, or NaN.
    """
    if pool not in ("mean", "flatten"):
        raise ValueError(f"pool must be 'mean' or 'flatten', got '{pool}'")
    if method not in ("full-batch", "minibatch"):
        raise ValueError(f"method must be 'full-batch' or 'minibatch', got '{method}'")
    if len(train_labels.unique()) < 2:
        raise ValueError("a probe needs two classes or more")
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    if not 1 <= top <= classes:
        raise ValueError(f"top must be in 1..{classes}, got {top}")
    train, test = (Pooled(as_rows(z), pool) for z in (train_latents, test_latents))
    if method == "minibatch":
        (fit,) = fit_minibatch(train, train_labels, [weight_decay], minibatch or MinibatchFit(), "softmax")
    else:
        fit = _fit_full_batch(train, train_labels, classes, weight_decay)
    scores = scores_of_rows([fit.map], test)[0]
    if scores.shape[1] < classes:  # classes that only the test split has are never guessed
        scores = torch.nn.functional.pad(scores, (0, classes - scores.shape[1]), value=-torch.inf)
    guesses = scores.topk(top, dim=1).indices
    hits = (guesses == test_labels[:, None]).any(1)
    resampled = bootstrap.scores(len(hits), {"accuracy": weighted_mean(hits)}) if bootstrap else {}
    return ClassProbeResult(float(hits.double().mean()), hits, resampled.get("accuracy"), method, fit)


class Pooled:
    """The inputs of the probe: latents averaged over positions, or flattened."""

    def __init__(self, rows: LatentRows, pool: str) -> None:
        self.rows, self.pool = rows, pool

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: np.ndarray) -> Float[Tensor, "B F"]:
        """Return the features at `positions`: F is C with "mean", C * h * w with "flatten"."""
        values = self.rows.batch(positions)
        return values.mean(dim=tuple(range(2, values.ndim))) if self.pool == "mean" else values.flatten(1)


def _fit_full_batch(train: Pooled, labels: Tensor, classes: int, weight_decay: float) -> Fitted:
    x = gathered(train)
    (standardised,) = standardise(x)
    fit = fit_softmax(Design(standardised), labels, classes, weight_decay)
    std, mean = torch.std_mean(x, dim=0)
    scale = 1.0 / std.where(std > STD_FLOOR, torch.inf)
    return Fitted(
        Centred(fit.weight * scale[:, None], fit.bias, mean),
        fit.iterations,
        float(fit.gradient_norm.max()),
        float(fit.excess.max()),
        fit.converged,
    )
