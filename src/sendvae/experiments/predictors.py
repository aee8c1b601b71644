"""The experiment on which score of a latent space predicts generation, over many tokenizers that differ widely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sendvae.experiments.declaration import GUIDED, Column, Correlates, Experiment, Row
from sendvae.latents import (
    Correlation,
    LeaveOneOut,
    StrengthDifference,
    leave_one_out,
    partial_correlation,
    pearson,
    spearman,
    strength_difference,
)

RESAMPLES = 2000  # of the bootstrap over tokenizers
FEWEST = 10  # tokenizers; with fewer the bootstrap's intervals are too narrow to be of use
CHANNELS, RECONSTRUCTION = "channels", "psnr"  # a useful score predicts more than these two do

TOKENIZERS = (
    # Methods of alignment.
    "base", "invae", "vavae", "no-noise", "depth-0", "depth-2", "send-vae", "e2e-vae",
    # Weights, lengths and starting points of the alignment.
    "weight-1", "weight-10", "vavae-0.3", "send-vae-short", "invae-short", "from-vavae", "early-base",
    # Other regularisers of the latent space.
    "kl-high", "kl-higher", "l2", "equivariant", "equivariant-send",
    # Numbers of channels.
    "base-4", "f16d16", "f16d16-align", "base-32", "f16d64", "f16d64-align",
    # Controls without an autoencoder.
    "pca", "pixels",
)  # fmt: skip

PLAIN, WITH_GUIDANCE = Column("fid"), Column("fid", GUIDED)
LOSS = Column("velocity-loss")  # of the SiT, on images that it was not trained on
F1 = Column("f1")

EXPERIMENT = Experiment(
    name="predictors",
    title="Which score of a latent space predicts generation?",
    rows=[Row(name) for name in TOKENIZERS],
    columns=[F1, PLAIN, WITH_GUIDANCE, LOSS],
    claims=[
        Correlates("Attribute separability goes with a lower distance of samples", F1, PLAIN, -1),
        Correlates("It does so with guidance, too", F1, WITH_GUIDANCE, -1),
    ],
    drawn="predictors",
    remark="Beyond the paper, whose hypothesis rests on six tokenizers.",
)


@dataclass(frozen=True)
class Predictor:
    """The correlation of a score with generation over tokenizers.

    Attributes:
        pearson, spearman: the correlations, with intervals of the bootstrap over tokenizers.
        partial: the partial correlation, given the quantities `Analysis.given`.
        left_out: the error of the fitted straight line on tokenizers left out; None where it is undefined.
    """

    score: str
    pearson: Correlation
    spearman: Correlation
    partial: Correlation
    left_out: LeaveOneOut | None


@dataclass(frozen=True)
class Comparison:
    """The difference in how strongly two scores correlate with generation, by ranks, where both are known."""

    first: str
    second: str
    difference: StrengthDifference


@dataclass(frozen=True)
class Analysis:
    """An analysis of how well scores predict a metric of generation.

    Attributes:
        target: the name of the metric.
        given: the numbers whose effect is taken out for partial correlations.
        predictors: the scores, with the smallest error on tokenizers left out first. The error counts as a share of
            that of the mean, since not all scores are known of the same tokenizers.
        comparisons: the first predictor compared with every other.
        few: the scores that too few tokenizers have, with the number of those that do. They are not judged.
    """

    target: str
    given: Sequence[str]
    predictors: Sequence[Predictor]
    comparisons: Sequence[Comparison]
    few: Mapping[str, int] = field(default_factory=dict)


def analyse(
    table: Mapping[str, Mapping[str, float]],
    scores: Sequence[str],
    target: str,
    given: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> Analysis:
    """Correlate every score with a metric of generation.

    Args:
        table: the numbers by tokenizer. Each score is taken over the tokenizers that have it and the target, and its
            partial correlation over those that also have the given numbers. An infinite number (the PSNR of pixels)
            counts as missing.
        scores: the names of the scores.
        target: the name of the metric of generation.
        given: the names of numbers that may explain both. A score that is one of them has no partial correlation.
        resamples: the number of resamples of the bootstrap over tokenizers.
    """
    known = [row for row in table.values() if _finite(row, [target])]
    found, few = [], {}
    for score in scores:
        rows = [row for row in known if _finite(row, [score])]
        if len(rows) < FEWEST:
            few[score] = len(rows)
            continue
        x, y = [row[score] for row in rows], [row[target] for row in rows]
        whole = [row for row in rows if _finite(row, given)]
        others = [[row[name] for row in whole] for name in given]
        found.append(
            Predictor(
                score,
                pearson(x, y, resamples),
                spearman(x, y, resamples),
                partial_correlation([row[score] for row in whole], [row[target] for row in whole], others),
                leave_one_out(x, y),
            )
        )
    defined = sorted(
        (one for one in found if one.pearson.r is not None),
        key=lambda one: one.left_out.share if one.left_out is not None else math.inf,
    )
    comparisons = [
        comparison
        for other in defined[1:]
        if (comparison := _compare(known, defined[0].score, other.score, target, resamples)) is not None
    ]
    return Analysis(target, list(given), defined, comparisons, few)


def _finite(row: Mapping[str, float], names: Sequence[str]) -> bool:
    """Return whether a tokenizer has all of the named numbers, and all are finite."""
    return all(math.isfinite(row.get(name, math.nan)) for name in names)


def _compare(
    rows: Sequence[Mapping[str, float]], first: str, second: str, target: str, resamples: int
) -> Comparison | None:
    both = [row for row in rows if _finite(row, [first, second])]
    a, b, y = ([row[name] for row in both] for name in (first, second, target))
    difference = strength_difference(a, b, y, resamples, ranks=True)
    return None if difference is None else Comparison(first, second, difference)
