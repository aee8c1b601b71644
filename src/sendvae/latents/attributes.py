"""Linear probes of binary attributes: how linearly separable a latent space is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.latents.logistic import Design, fit_logistic, scores_of, standardise

THRESHOLD = 0.5  # on the sigmoid
TOP = 5
# Ridge strengths tried on the validation split (beside a mean loss, on standardised features).
STRENGTHS = (1e-4, 1e-3, 1e-2)


@dataclass(frozen=True)
class AttributeProbe:
    """Test scores of a probe; every F1 average comes from one table of counts.

    Attributes:
        f1_macro: mean over attributes, 0 for one never predicted and never present.
        f1_micro: of the pooled counts.
        f1_samples: mean over images.
        recall_at_5: share of all positives among their image's five highest scores.
        f1: per attribute, (A,).
        strength: the ridge strength, chosen on the validation split where one was given.
    """

    f1_macro: float
    f1_micro: float
    f1_samples: float
    recall_at_5: float
    f1: Float[Tensor, " A"]
    strength: float
    features: int
    train_images: int
    test_images: int


def attribute_probe(
    train_latents: Float[Tensor, "N *F"],
    train_attributes: Tensor,
    test_latents: Float[Tensor, "M *F"],
    test_attributes: Tensor,
    *,
    val_latents: Float[Tensor, "V *F"] | None = None,
    val_attributes: Tensor | None = None,
    strength: float = 1e-3,
) -> AttributeProbe:
    """One linear layer on the flattened, standardised latent, trained with binary cross-entropy.

    Args:
        train_latents, test_latents: posterior means, (N, C, h, w) or (N, F).
        train_attributes, test_attributes: (N, A) in {0, 1}.
        val_latents, val_attributes: where given, the ridge strength with the best macro F1 there is used.
        strength: the ridge strength without a validation split.

    Raises:
        ValueError: shapes that do not match, or values other than 0 and 1.
    """
    train_x, test_x = train_latents.flatten(1), test_latents.flatten(1)
    train_y, test_y = _binary(train_attributes), _binary(test_attributes)
    if len(train_x) != len(train_y) or len(test_x) != len(test_y) or train_y.shape[1] != test_y.shape[1]:
        raise ValueError(f"latents and attributes do not match: {train_y.shape}, {test_y.shape}")
    train_s, test_s = standardise(train_x, test_x)
    design = Design(train_s)
    if val_latents is not None and val_attributes is not None:
        _, val_s = standardise(train_x, val_latents.flatten(1))
        fits = {candidate: fit_logistic(design, train_y, candidate) for candidate in STRENGTHS}
        val_y = _binary(val_attributes)
        macro = {c: float(f1_scores(scores_of(fit, val_s) > 0, val_y)[0].mean()) for c, fit in fits.items()}
        strength = max(STRENGTHS, key=lambda candidate: macro[candidate])
        fit = fits[strength]
    else:
        fit = fit_logistic(design, train_y, strength)
    scores = scores_of(fit, test_s)
    f1, f1_micro, f1_samples = f1_scores(scores > _logit(THRESHOLD), test_y)
    return AttributeProbe(
        f1_macro=float(f1.mean()),
        f1_micro=float(f1_micro),
        f1_samples=float(f1_samples),
        recall_at_5=recall_at(scores, test_y, TOP),
        f1=f1,
        strength=strength,
        features=train_x.shape[1],
        train_images=len(train_x),
        test_images=len(test_x),
    )


def f1_scores(predicted: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(per attribute (A,), micro, mean over images) of boolean predictions; 0 where undefined."""
    truth, guess = attributes.bool(), predicted.bool()
    hits, errors = (truth & guess).double(), (truth ^ guess).double()

    def f1(hit: Tensor, error: Tensor) -> Tensor:
        return torch.where(hit + error > 0, 2 * hit / (2 * hit + error).clamp_min(1.0), 0.0)

    return f1(hits.sum(0), errors.sum(0)), f1(hits.sum(), errors.sum()), f1(hits.sum(1), errors.sum(1)).mean()


def recall_at(scores: Float[Tensor, "N A"], attributes: Tensor, top: int) -> float:
    """Positives among each image's `top` highest scores, over all positives (pooled)."""
    chosen = scores.topk(min(top, scores.shape[1]), dim=1).indices
    positives = attributes.double()
    return float(positives.gather(1, chosen).sum() / positives.sum().clamp_min(1.0))


def _binary(attributes: Tensor) -> Float[Tensor, "N A"]:
    values = torch.as_tensor(attributes).float()
    if values.ndim != 2 or not bool(((values == 0) | (values == 1)).all()):
        raise ValueError("attributes must be (N, A) with values 0 and 1")
    return values


def _logit(probability: float) -> float:
    return float(torch.logit(torch.tensor(probability)))
