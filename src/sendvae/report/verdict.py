"""The sentence on the contender of an experiment against its control, whichever of them is better."""

from __future__ import annotations

from statistics import fmean

from sendvae.experiments.findings import Difference, differences
from sendvae.report.cells import Experiment


def verdict(experiment: Experiment) -> str:
    """Return the sentence; empty without a headline, a contender and a control, or if nothing is measured yet."""
    about = experiment.about
    if about.headline is None or about.contender is None or about.control is None:
        return ""
    score, distance = about.headline
    parts = [_separability(experiment, score), _samples(experiment, distance)]
    if about.trained is not None:
        parts.append(_before_and_after(experiment, score, *about.trained))
    said = "; ".join(filter(None, parts))
    return f"This run: {said}." if said else ""


def _separability(experiment: Experiment, score: str) -> str:
    contender, control = str(experiment.about.contender), str(experiment.about.control)
    found = [d for d in experiment.differences(score) if d.method == contender]
    if not found:
        return ""
    names = experiment.labels
    relation = _relation(found[0], "is more separable than", "is less separable than", "separates like")
    return f"the latent space of {names[contender]} {relation} that of {names[control]} ({_figures(experiment, score, found[0])})"


def _samples(experiment: Experiment, distance: str) -> str:
    pair = [str(experiment.about.contender), str(experiment.about.control)]
    values = [experiment.values(distance, method) for method in pair]
    if not all(values):
        return ""
    quantity = experiment.quantities[distance]
    own, other = (fmean(one) for one in values)
    word = "nearer to" if own < other else "farther from"
    texts = [f"{value:.{quantity.digits}f}" for value in (own, other)]
    count = f"one generator each{', no interval' if len(values[0]) == 1 else ''}"
    return f"its samples lie {word} real images ({quantity.label} {texts[0]} against {texts[1]}, {count})"


def _before_and_after(experiment: Experiment, score: str, before: str, after: str) -> str:
    found = [d for d in differences(experiment.cells, score, before) if d.method == after]
    if not found:
        return ""
    relation = _relation(found[0], "raised", "lowered", "did not move")
    return f"a short training {relation} separability ({_figures(experiment, score, found[0])})"


def _relation(difference: Difference, above: str, below: str, neither: str) -> str:
    low, high = difference.interval
    return above if low > 0 else below if high < 0 else neither


def _figures(experiment: Experiment, score: str, difference: Difference) -> str:
    quantity = experiment.quantities[score]
    value, low, high = (f"{x:+.{quantity.digits}f}" for x in (difference.value, *difference.interval))
    return f"{quantity.label} {value} [{low}, {high}]"
