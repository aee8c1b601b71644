"""Sentences on an analysis of predictors, and advice on which scores to compute first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.experiments.predictors import CHANNELS, FEWEST, Analysis, Predictor
from sendvae.latents import SCORES, Correlation

CHANCE = 0.05  # the share of intervals of 95 % that exclude zero by chance
MOST_NAMED = 8  # scores that a sentence names
FREE, RECONSTRUCTION = "channels of the latent", "reconstruction"
COSTS = {FREE: "none", RECONSTRUCTION: "a decoding of every test image, and a feature pass of each"}


SECONDS_FILE = "score_costs.json"  # in a folder of committed results


class ScoreCosts(BaseModel):
    """The time that each family of scores takes for one tokenizer.

    Attributes:
        machine: the machine on which it was measured.
        data: the images, and their number.
        seconds: the seconds by row of the table of scores; "encoding" is that of all images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str
    data: str
    seconds: dict[str, float]


def load_score_costs(folder: Path) -> ScoreCosts | None:
    """Return the costs in a folder of committed results; None if it has none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / SECONDS_FILE
    if not path.is_file():
        return None
    try:
        return ScoreCosts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(f"{path} is damaged", given=first_fault(error)) from None


@dataclass(frozen=True)
class Advice:
    """The use and the cost of a family of scores.

    Attributes:
        family: the name of a row of the table of scores, `RECONSTRUCTION` or `FREE`.
        cost: what computing it takes, in words.
        seconds: the measured seconds for one tokenizer; None: not measured.
        best: the score of the family with the smallest error on tokenizers left out, and that error as a share of the
            error of the mean alone, by target.
    """

    family: str
    cost: str
    seconds: float | None
    best: Mapping[str, tuple[str, float]]


def sentences(analysis: Analysis, focus: str) -> list[str]:
    """Return sentences on how well scores predict a metric of generation.

    Args:
        analysis: the analysis of that metric.
        focus: the score of the paper's claim.
    """
    if not analysis.predictors:
        return [f"Nothing can be said about {analysis.target}: too few tokenizers have been measured."]
    said = [_going(analysis), _predicting(analysis), _differing(analysis), _focus(analysis, focus)]
    if known := {score: count for score, count in analysis.few.items() if count}:
        names = _listed([f"{score} ({count})" for score, count in known.items()])
        said.append(f"Not judged, since fewer than {FEWEST} tokenizers have them: {names}.")
    return said


def tells(one: Predictor) -> bool:
    """Return whether the interval of a score's rank correlation excludes zero and its line is better than the mean."""
    left_out = one.left_out
    helps = left_out is not None and left_out.share < 1.0
    return helps and _excludes_zero(one.spearman)


def advise(analyses: Sequence[Analysis], seconds: Mapping[str, float] | None = None) -> list[Advice]:
    """Return the advice on each family of scores, the cheapest first; families of unknown seconds are last.

    Args:
        analyses: an analysis for every metric of generation.
        seconds: the seconds that a family takes for one tokenizer.
    """
    seconds = seconds or {}
    families: dict[str, dict[str, tuple[str, float]]] = {}
    for analysis in analyses:
        for one in analysis.predictors:  # the smallest error first
            if one.left_out is not None:
                best = families.setdefault(family_of(one.score), {})
                best.setdefault(analysis.target, (one.score, one.left_out.share))
    found = [Advice(name, _cost(name), seconds.get(name), best) for name, best in families.items()]
    return sorted(found, key=lambda one: (one.seconds is None, one.seconds or 0.0, one.family))


def conclusion(analyses: Sequence[Analysis]) -> str:
    """Return in words which scores to compute first: those that predict all metrics of generation in one direction."""
    targets = _listed([analysis.target for analysis in analyses])
    telling = [
        {(one.score, (one.spearman.r or 0.0) > 0) for one in analysis.predictors if tells(one)}
        for analysis in analyses
    ]
    shared = {score for score, _ in set.intersection(*telling)} if telling else set()
    if not shared:
        return (
            f"No score predicts all of {targets}: none correlates with each in the same direction, with intervals that "
            "exclude zero, and is better for each than the mean of the other tokenizers. Train a small generator on each "
            "candidate before choosing among them."
        )
    order = [one.score for one in analyses[0].predictors if one.score in shared]
    return (
        f"Compute first: {_listed(order)}. With {targets}, the intervals exclude zero on the same side, and a tokenizer "
        "left out is predicted better than by the mean of the others."
    )


def family_of(score: str) -> str:
    """Return the row of the table of scores that gives a score.

    The number of channels is of the family `FREE`; a number that no row gives is of `RECONSTRUCTION`.
    """
    for name, row in SCORES.items():
        try:
            row.quantity(score)
        except KeyError:
            continue
        return name
    return FREE if score == CHANNELS else RECONSTRUCTION


def _cost(family: str) -> str:
    return SCORES[family].cost if family in SCORES else COSTS[family]


def _going(analysis: Analysis) -> str:
    sure = [one for one in analysis.predictors if _excludes_zero(one.spearman)]
    sure.sort(key=lambda one: -abs(one.spearman.r or 0.0))
    count = len(analysis.predictors)
    named = _listed([f"{one.score} ({_figure(one.spearman)})" for one in sure])
    found = f"{len(sure)} of {count} scores go with {analysis.target} by ranks, with an interval that excludes zero"
    return f"{found}{': ' + named if sure else ''}. About {CHANCE * count:.0f} would by chance alone."


def _predicting(analysis: Analysis) -> str:
    shares = {one.score: one.left_out.share for one in analysis.predictors if one.left_out is not None}
    better = [f"{score} ({share:.0%} of its error)" for score, share in shares.items() if share < 1.0]
    if not better:
        return f"None predicts the {analysis.target} of a tokenizer left out better than the mean of the others does."
    verb = "predicts" if len(better) == 1 else "predict"
    return (
        f"{len(better)} {verb} the {analysis.target} of a tokenizer left out better than the mean of the others does: "
        f"{_listed(better)}."
    )


def _differing(analysis: Analysis) -> str:
    first = analysis.predictors[0].score
    real = [
        one.second
        for one in analysis.comparisons
        if one.difference.interval is not None and one.difference.interval[0] > 0
    ]
    if not real:
        return f"By ranks {first}, whose error is smallest, goes no more closely with it than any other: no difference is real."
    rest = len(analysis.comparisons) - len(real)
    return f"By ranks {first}, whose error is smallest, goes more closely with it than {_listed(real)}; {rest} others may do as well."


def _focus(analysis: Analysis, focus: str) -> str:
    scores = [one.score for one in analysis.predictors]
    if focus not in scores:
        return f"{focus} was not measured, or does not vary."
    one = analysis.predictors[scores.index(focus)]
    end = "the interval excludes zero" if _excludes_zero(one.spearman) else "the interval spans zero"
    return (
        f"{focus}, the paper's, stands at place {scores.index(focus) + 1} of {len(scores)} by its error, with a rank "
        f"correlation of {_figure(one.spearman)}: {end}."
    )


def _excludes_zero(found: Correlation) -> bool:
    return found.interval is not None and (found.interval[0] > 0 or found.interval[1] < 0)


def _figure(found: Correlation) -> str:
    if found.r is None:
        return "none"
    interval = f" [{found.interval[0]:+.2f}, {found.interval[1]:+.2f}]" if found.interval else ""
    return f"{found.r:+.2f}{interval}"


def _listed(names: Sequence[str]) -> str:
    """Return names as a list in words. Of more than `MOST_NAMED` the rest is counted."""
    shown, rest = list(names[:MOST_NAMED]), len(names) - MOST_NAMED
    if rest > 0:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
