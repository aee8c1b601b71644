"""How well few modes describe the latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from sendvae.latents.discrimination import mixture_scores
from sendvae.latents.score import Evidence, Found, Measured, Score, quantity


def score_discrimination(
    evidence: Evidence,
    components: Sequence[int],
    headline: int,
    dimensions: int,
    covariance: Literal["diag", "full"],
    repeats: int,
) -> Found:
    """Fit Gaussian mixtures to training latents: held-out nats per dimension.

    The headline mixture gives `discrimination_nll`; of several, each is also named by its number of Gaussians.
    """
    seeds = [evidence.seed + i for i in range(repeats)]
    found = mixture_scores(
        evidence.rows["train"],
        evidence.rows["test"],
        components,
        dimensions,
        seeds,
        covariance,
        evidence.bootstrap,
    )
    details = asdict(found)
    for mixture in details["mixtures"]:
        del mixture["resampled"]
    mixtures = {"discrimination_nll": next(one for one in found.mixtures if one.components == headline)}
    if len(found.mixtures) > 1:
        mixtures |= {f"discrimination_nll_{one.components}": one for one in found.mixtures}
    numbers = {name: Measured(one.nll, one.resampled) for name, one in mixtures.items()}
    return Found(numbers, {"discrimination": details})


SCORE = Score(
    score_discrimination,
    {
        "discrimination_nll": quantity(
            "GMM NLL", False, "held-out nats per dimension of a Gaussian mixture on principal components"
        ),
        "discrimination_nll_*": quantity("GMM NLL, {}", False, "the same with another number of Gaussians"),
    },
    cost="seconds a mixture for 10,000 images",
    source="MAETok, Section 3",
)
