"""Linear probes of binary attributes: how linearly separable a latent space is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sendvae.latents.logistic import Design, Linear, fit_logistic, scores_of, standardise
from sendvae.latents.ridge import StreamingRidge

THRESHOLD = 0.5  # on the predicted probability
THRESHOLDS = tuple(step / 20 for step in range(1, 20))  # tried on the validation split
TOP = 5
# Ridge penalties tried on the validation split, beside a mean loss and on standardised features; the default
# without a validation split is the middle one.
WEIGHT_DECAYS = {"logistic": (1e-4, 1e-3, 1e-2), "ridge": (1e-2, 1e-1, 1.0)}


@dataclass(frozen=True)
class AttributeProbeResult:
    """Test scores of a probe; every F1 average comes from one table of counts, and 0 / 0 is 0.

    Attributes:
        f1_macro: mean over all attributes, those without a positive in the test split included.
        f1_micro: of the counts pooled over attributes.
        f1_samples: mean over images.
        recall_at_5: share of all positives that are among their image's five highest scores.
        f1: per attribute, (A,).
        threshold: on the predicted probability, of all of the above.
        tuned_threshold: the one with the best macro F1 on the validation split; None without a split.
        f1_macro_tuned, f1_micro_tuned, f1_samples_tuned: at that threshold.
        absent: attributes without a positive in the test split.
        method, weight_decay: of the fit; the latter chosen on the validation split where there is one.
        dims, n_train, n_test: features of a latent, images.
    """

    f1_macro: float
    f1_micro: float
    f1_samples: float
    recall_at_5: float
    f1: Float[Tensor, " A"]
    threshold: float
    tuned_threshold: float | None
    f1_macro_tuned: float | None
    f1_micro_tuned: float | None
    f1_samples_tuned: float | None
    absent: int
    method: str
    weight_decay: float
    dims: int
    n_train: int
    n_test: int

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {**asdict(self), "f1": self.f1.tolist()}


def attribute_probe(
    train_latents: Float[Tensor, "N ..."],
    train_attributes: Tensor,
    test_latents: Float[Tensor, "M ..."],
    test_attributes: Tensor,
    *,
    val_latents: Float[Tensor, "V ..."] | None = None,
    val_attributes: Tensor | None = None,
    method: Literal["logistic", "ridge"] = "logistic",
    weight_decay: float | None = None,
) -> AttributeProbeResult:
    """One linear layer on the flattened latent, standardised with the statistics of the training split.

    "logistic" minimises binary cross-entropy to convergence, "ridge" the squared error of the 0/1 targets. Both
    are convex and deterministic.

    Args:
        train_latents, test_latents: posterior means, (N, C, h, w) or (N, F).
        train_attributes, test_attributes: (N, A) in {0, 1}.
        val_latents, val_attributes: where given, they choose weight decay and the tuned threshold by macro F1.
        weight_decay: fixes the penalty instead.

    Raises:
        ValueError: shapes that do not match, NaN, or attributes other than 0 and 1.
    """
    if method not in WEIGHT_DECAYS:
        raise ValueError(f"method must be one of {', '.join(WEIGHT_DECAYS)}, got '{method}'")
    if (val_latents is None) != (val_attributes is None):
        raise ValueError("val_latents and val_attributes come together")
    train, test = _split(train_latents, train_attributes), _split(test_latents, test_attributes)
    val = None if val_latents is None or val_attributes is None else _split(val_latents, val_attributes)
    for x, y in (test,) if val is None else (test, val):
        if x.shape[1] != train[0].shape[1] or y.shape[1] != train[1].shape[1]:
            shapes = [tuple(part.shape) for part in (*train, x, y)]
            raise ValueError(f"splits differ in features or attributes: {shapes}")
    train_x, test_x = standardise(train[0], test[0])

    grid = WEIGHT_DECAYS[method]
    if weight_decay is not None:
        grid = (weight_decay,)
    elif val is None:
        grid = grid[1:2]
    fits = _FITS[method](train_x, train[1], grid)
    chosen, tuned_threshold, tuned = 0, None, (None, None, None)
    if val is not None:
        _, val_x = standardise(train[0], val[0])
        predictions = [_probabilities(fit, val_x, method) for fit in fits]
        chosen = max(range(len(fits)), key=lambda i: _averages(predictions[i], val[1], THRESHOLD)[0])
        tuned_threshold = max(THRESHOLDS, key=lambda t: _averages(predictions[chosen], val[1], t)[0])
    probabilities = _probabilities(fits[chosen], test_x, method)
    macro, micro, samples = _averages(probabilities, test[1], THRESHOLD)
    if tuned_threshold is not None:
        tuned = _averages(probabilities, test[1], tuned_threshold)
    return AttributeProbeResult(
        f1_macro=macro,
        f1_micro=micro,
        f1_samples=samples,
        recall_at_5=recall_at(probabilities, test[1], TOP),
        f1=f1_scores(probabilities > THRESHOLD, test[1])[0],
        threshold=THRESHOLD,
        tuned_threshold=tuned_threshold,
        f1_macro_tuned=tuned[0],
        f1_micro_tuned=tuned[1],
        f1_samples_tuned=tuned[2],
        absent=int((test[1].sum(0) == 0).sum()),
        method=method,
        weight_decay=grid[chosen],
        dims=train_x.shape[1],
        n_train=len(train_x),
        n_test=len(test_x),
    )


def f1_scores(predicted: Bool[Tensor, "N A"], attributes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(per attribute (A,), micro, mean over images); 0 where nothing is predicted and nothing present."""
    truth = attributes.bool()
    hits, errors = (truth & predicted).double(), (truth ^ predicted).double()

    def f1(hit: Tensor, error: Tensor) -> Tensor:
        return 2 * hit / (2 * hit + error).clamp_min(1.0)

    return f1(hits.sum(0), errors.sum(0)), f1(hits.sum(), errors.sum()), f1(hits.sum(1), errors.sum(1)).mean()


def recall_at(scores: Float[Tensor, "N A"], attributes: Tensor, top: int) -> float:
    """Positives among each image's `top` highest scores, over all positives (pooled); 0 without positives."""
    chosen = scores.topk(min(top, scores.shape[1]), dim=1).indices
    positives = attributes.double()
    return float(positives.gather(1, chosen).sum() / positives.sum().clamp_min(1.0))


def _fit_logistic(x: Tensor, y: Tensor, grid: tuple[float, ...]) -> list[Linear]:
    design = Design(x)
    return [fit_logistic(design, y, weight_decay) for weight_decay in grid]


def _fit_ridge(x: Tensor, y: Tensor, grid: tuple[float, ...]) -> list[Linear]:
    ridge = StreamingRidge()
    ridge.update(x, y)
    return ridge.solve(grid)


_FITS = {"logistic": _fit_logistic, "ridge": _fit_ridge}


def _probabilities(fit: Linear, x: Tensor, method: str) -> Float[Tensor, "N A"]:
    scores = scores_of(fit, x)
    return scores.sigmoid() if method == "logistic" else scores


def _averages(probabilities: Tensor, attributes: Tensor, threshold: float) -> tuple[float, float, float]:
    """F1 macro, micro, samples."""
    per_attribute, micro, samples = f1_scores(probabilities > threshold, attributes)
    return float(per_attribute.mean()), float(micro), float(samples)


def _split(latents: Tensor, attributes: Tensor) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N A"]]:
    """Flattened latents and attributes as float, checked."""
    x, y = latents.flatten(1).float(), torch.as_tensor(attributes).float()
    if y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"attributes must be ({len(x)}, A), got {tuple(y.shape)}")
    if not bool(((y == 0) | (y == 1)).all()):
        raise ValueError("attributes must be 0 and 1 only")
    if not bool(x.isfinite().all()):
        raise ValueError("latents contain NaN or infinity")
    return x, y.to(x.device)
