"""Linear probes of binary attributes, which measure how linearly separable a latent space is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.latents.bootstrap import Bootstrap
from sendvae.latents.f1_recall import f1_averages, f1_scores, recall_at, recall_variants, resampled_scores
from sendvae.latents.fitting import (
    WEIGHT_DECAYS,
    Fitter,
    LogisticFitter,
    MinibatchFitter,
    RidgeFitter,
    choose,
)
from sendvae.latents.minibatch import MinibatchFit
from sendvae.latents.rows import Centred, Fitted, LatentRows, as_rows, not_converged, scores_of_rows

Method = Literal["logistic", "ridge", "minibatch"]
THRESHOLD = 0.5  # on the predicted probability; ours, since the paper states none
THRESHOLDS = tuple(step / 20 for step in range(1, 20))  # tried on the validation split
TOP = 5


@dataclass(frozen=True)
class AttributeProbeResult:
    """Test scores of a probe; every F1 average comes from one table of counts, and 0 / 0 is 0.

    Attributes:
        f1_macro: mean over all attributes, those without a positive in the test split included.
        f1_micro: the F1 of the counts pooled over attributes.
        f1_samples: mean over images.
        recall_at_5: share of all positives that are among their image's five highest scores.
        recall_at_5_images: mean of that share over images that have a positive.
        recall_at_5_attributes: mean of that share over attributes that have a positive.
        recall_at_5_best: mean over the 50 attributes where it is highest, as mmfashion reports it.
        f1: per attribute, (A,).
        threshold: the threshold on the predicted probability for all of the above.
        tuned_threshold: the one with the best macro F1 on the validation split; None without a split.
        f1_macro_tuned, f1_micro_tuned, f1_samples_tuned: the same at that threshold.
        absent: attributes without a positive in the test split.
        method, weight_decay: those of the fit; the latter was chosen on the validation split where there is one.
        tried: the weight decays tried, rising, with their macro F1 on the validation split; None where none was
            chosen.
        interior: whether both a weaker and a stronger one did worse; where not, `notes` says so.
        iterations, gradient_norm, excess, converged: those of the fit (`Fitted`).
        dims, n_train, n_test: features of a latent, images.
        resampled: `f1_macro`, `f1_micro`, `f1_samples` and `recall_at_5` of every resample of the test split, (R,)
            each; empty without a bootstrap.
        map: the probe itself, from raw flattened latents to scores, (F, A): of "ridge" the predicted target, else
            its logit.
    """

    f1_macro: float
    f1_micro: float
    f1_samples: float
    recall_at_5: float
    recall_at_5_images: float
    recall_at_5_attributes: float
    recall_at_5_best: float
    f1: Float[Tensor, " A"]
    threshold: float
    tuned_threshold: float | None
    f1_macro_tuned: float | None
    f1_micro_tuned: float | None
    f1_samples_tuned: float | None
    absent: int
    method: str
    weight_decay: float
    tried: dict[float, float] | None
    interior: bool | None
    iterations: int
    gradient_norm: float | None
    excess: float | None
    converged: bool
    dims: int
    n_train: int
    n_test: int
    resampled: dict[str, Float64[Tensor, " R"]]
    map: Centred

    @property
    def notes(self) -> list[str]:
        """Return what a reader of the scores has to know about the fit; empty if there is nothing."""
        notes = [] if self.converged else [not_converged(self.method, self.excess)]
        if self.interior is False and self.tried is not None:
            end = "strongest" if self.weight_decay == max(self.tried) else "weakest"
            notes.append(
                f"weight_decay {self.weight_decay:g} is the {end} of those tried: a better one may lie beyond"
            )
        return notes

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except the resampled scores and the map, with the notes, ready for JSON."""
        tried = None if self.tried is None else {f"{decay:g}": f1 for decay, f1 in self.tried.items()}
        fields = {**asdict(self), "f1": self.f1.tolist(), "tried": tried, "notes": self.notes}
        del fields["resampled"], fields["map"]
        return fields


def attribute_probe(
    train_latents: Float[Tensor, "N ..."] | LatentRows,
    train_attributes: Tensor,
    test_latents: Float[Tensor, "M ..."] | LatentRows,
    test_attributes: Tensor,
    *,
    val_latents: Float[Tensor, "V ..."] | LatentRows | None = None,
    val_attributes: Tensor | None = None,
    method: Method = "logistic",
    weight_decay: float | None = None,
    threshold: float = THRESHOLD,
    minibatch: MinibatchFit | None = None,
    bootstrap: Bootstrap | None = None,
) -> AttributeProbeResult:
    """Fit and test a linear layer on flattened latents, standardised with the training split's statistics.

    All minimise a mean loss + weight_decay / 2 |w|^2, with a bias that is not penalised. "logistic" solves binary
    cross-entropy to the optimum, which its gradient certifies (`fit_logistic`), with all latents in memory.
    "ridge" solves half the squared error of the 0/1 targets and reads every latent once. "minibatch" is
    "logistic" by Adam, for latents that do not fit into memory, and says how far it came. All are deterministic.

    The weight decay is the one with the best macro F1 on the validation split; of three, and of more where the
    best is the weakest or strongest of them ("minibatch", which is slow, tries three).

    Args:
        train_latents, test_latents: posterior means, (N, C, h, w) or (N, F), or rows read in batches.
        train_attributes, test_attributes: (N, A) in {0, 1}.
        val_latents, val_attributes: the validation split; where given, it chooses weight decay and the tuned
            threshold by macro F1.
        weight_decay: fixes the penalty instead.
        threshold: the threshold on the predicted probability (with "ridge" the predicted target), in (0, 1).
        minibatch: epochs, batch size, rate and seed of that method.
        bootstrap: the resamples of the test images.

    Raises:
        ValueError: shapes that do not match, NaN, attributes other than 0 and 1, or a weight decay that is not
            positive where the method needs one ("logistic", "ridge").
    """
    if method not in WEIGHT_DECAYS:
        raise ValueError(f"method must be one of {', '.join(WEIGHT_DECAYS)}, got '{method}'")
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold must be in (0, 1), got {threshold}")
    if (val_latents is None) != (val_attributes is None):
        raise ValueError("val_latents and val_attributes come together")
    train, test = _split(train_latents, train_attributes), _split(test_latents, test_attributes)
    val = None if val_latents is None or val_attributes is None else _split(val_latents, val_attributes)
    for part in (test,) if val is None else (test, val):
        if part.shape != train.shape:
            raise ValueError(f"splits differ in features or attributes: {train.shape} and {part.shape}")

    fitter = _fitter(train, method, minibatch or MinibatchFit())
    chosen, tuned_threshold, tuned = None, None, (None, None, None)
    if val is not None and weight_decay is None:
        chosen = choose(
            fitter,
            WEIGHT_DECAYS[method],
            lambda fits: [
                f1_averages(p, val.attributes, threshold)[0] for p in _probabilities(fits, val, method)
            ],
        )
        weight_decay, fit = chosen.weight_decay, chosen.fit
    else:
        weight_decay = WEIGHT_DECAYS[method][1] if weight_decay is None else weight_decay
        (fit,) = fitter([weight_decay])
    if val is not None:
        (prediction,) = _probabilities([fit], val, method)
        tuned_threshold = max(THRESHOLDS, key=lambda t: f1_averages(prediction, val.attributes, t)[0])
    probabilities = _probabilities([fit], test, method)[0]
    macro, micro, samples = f1_averages(probabilities, test.attributes, threshold)
    if tuned_threshold is not None:
        tuned = f1_averages(probabilities, test.attributes, tuned_threshold)
    recalls = recall_variants(probabilities, test.attributes, TOP)
    return AttributeProbeResult(
        f1_macro=macro,
        f1_micro=micro,
        f1_samples=samples,
        recall_at_5=recall_at(probabilities, test.attributes, TOP),
        recall_at_5_images=recalls[0],
        recall_at_5_attributes=recalls[1],
        recall_at_5_best=recalls[2],
        f1=f1_scores(probabilities > threshold, test.attributes)[0],
        threshold=threshold,
        tuned_threshold=tuned_threshold,
        f1_macro_tuned=tuned[0],
        f1_micro_tuned=tuned[1],
        f1_samples_tuned=tuned[2],
        absent=int((test.attributes.sum(0) == 0).sum()),
        method=method,
        weight_decay=weight_decay,
        tried=chosen.tried if chosen else None,
        interior=chosen.interior if chosen else None,
        iterations=fit.iterations,
        gradient_norm=fit.gradient_norm,
        excess=fit.excess,
        converged=fit.converged,
        dims=train.shape[0],
        n_train=len(train.rows),
        n_test=len(test.rows),
        resampled=resampled_scores(probabilities, test.attributes, threshold, TOP, bootstrap)
        if bootstrap
        else {},
        map=fit.map,
    )


class _Split(NamedTuple):
    """Rows of latents with their attributes (N, A), bool, and the sizes (features, attributes)."""

    rows: LatentRows
    attributes: Tensor
    shape: tuple[int, int]


def _fitter(train: _Split, method: Method, minibatch: MinibatchFit) -> Fitter:
    if method == "minibatch":
        return MinibatchFitter(train.rows, train.attributes, minibatch)
    return (LogisticFitter if method == "logistic" else RidgeFitter)(train.rows, train.attributes)


def _probabilities(fits: list[Fitted], split: _Split, method: str) -> list[Float[Tensor, "N A"]]:
    scores = scores_of_rows([fit.map for fit in fits], split.rows)
    return scores if method == "ridge" else [score.sigmoid() for score in scores]


def _split(latents: Tensor | LatentRows, attributes: Tensor) -> _Split:
    """Return latents and attributes after checks; attributes become bool to save memory."""
    rows, y = as_rows(latents), torch.as_tensor(attributes)
    if y.ndim != 2 or len(rows) != len(y):
        raise ValueError(f"attributes must be ({len(rows)}, A), got {tuple(y.shape)}")
    if y.dtype != torch.bool and not bool(((y == 0) | (y == 1)).all()):
        raise ValueError("attributes must be 0 and 1 only")
    features = rows.batch(np.arange(min(1, len(rows)))).flatten(1).shape[1]
    return _Split(rows, y.bool(), (features, y.shape[1]))
