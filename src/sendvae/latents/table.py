"""The scores of a latent space by name: what each needs, and how its numbers are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sendvae.quantities import Quantity
from sendvae.registry import Registry

Need = Literal["latents", "attributes", "labels"]
GROUP = "latent space"


@dataclass(frozen=True)
class Score:
    """A row of the table.

    Attributes:
        needs: what must be known of the images besides their latents.
        quantities: by the name of the number; one for every number the score can give. A name that ends in "*"
            stands for all that begin so.
    """

    needs: Need
    quantities: Mapping[str, Quantity]


def _quantity(label: str, higher_is_better: bool, explanation: str, digits: int = 3) -> Quantity:
    return Quantity(label, GROUP, higher_is_better, digits, explanation)


_ATTRIBUTES = {
    "f1_macro": _quantity(
        "Attribute F1",
        True,
        "linear probes of binary attributes on the flattened latent, mean over attributes",
    ),
    "f1_micro": _quantity("F1 micro", True, "the same probes, counts pooled over attributes"),
    "f1_samples": _quantity("F1 samples", True, "the same probes, mean over images"),
    "recall_at_5": _quantity(
        "Recall@5", True, "share of all positives among their image's five highest scores"
    ),
    "recall_at_5_images": _quantity("Recall@5, images", True, "mean of that share over images"),
    "recall_at_5_attributes": _quantity("Recall@5, attributes", True, "mean of that share over attributes"),
    "recall_at_5_best": _quantity(
        "Recall@5, best 50", True, "mean over the 50 attributes where it is highest (mmfashion)"
    ),
    "f1_macro_tuned": _quantity(
        "Attribute F1, tuned", True, "F1 at the threshold the validation split chose"
    ),
    "f1_micro_tuned": _quantity(
        "F1 micro, tuned", True, "F1 micro at the threshold the validation split chose"
    ),
    "f1_samples_tuned": _quantity(
        "F1 samples, tuned", True, "F1 over images at the threshold the validation split chose"
    ),
}
_GAP = {
    "gap_mean": _quantity(
        "Class accuracy, pooled", True, "linear probe of the class on the latent averaged over positions"
    ),
    "gap_flatten": _quantity(
        "Class accuracy", True, "linear probe of the class on the flattened latent (semantic gap)"
    ),
}
_UNIFORMITY = {
    "uniformity_density_std": _quantity(
        "Density std", False, "standard deviation of the latent density, in units of the projection", 5
    ),
    "uniformity_cv": _quantity("Density CV", False, "that deviation over the mean density"),
    "uniformity_gini": _quantity(
        "Gini", False, "inequality of the latent density in the plane; lower is more uniform"
    ),
    "uniformity_normalised_entropy": _quantity(
        "Entropy", True, "of the densities as shares, over its maximum; higher is more uniform"
    ),
}
_DISCRIMINATION = {
    "discrimination_nll": _quantity(
        "GMM NLL", False, "held-out nats per dimension of a Gaussian mixture on principal components"
    ),
    "discrimination_nll_*": _quantity("GMM NLL, {}", False, "the same with another number of Gaussians"),
}

SCORES: Registry[Score] = Registry(
    "score",
    {
        "attributes": Score("attributes", _ATTRIBUTES),
        "gap": Score("labels", _GAP),
        "uniformity": Score("latents", _UNIFORMITY),
        "discrimination": Score("latents", _DISCRIMINATION),
    },
)


def quantity_of(score: str, number: str) -> Quantity:
    """How a number of a score is read.

    Raises:
        KeyError: the score's row does not know it.
    """
    known = SCORES[score].quantities
    if number in known:
        return known[number]
    for name, quantity in known.items():
        if name.endswith("*") and number.startswith(name[:-1]):
            label = quantity.label.replace("{}", number[len(name) - 1 :])
            return replace(quantity, label=label)
    raise KeyError(f"{number} of {score} has no row in SCORES")
