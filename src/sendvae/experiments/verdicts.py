"""Verdicts on claims of the paper by the numbers of one scale: a claim holds, does not hold, or is undecided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from sendvae.experiments.declaration import Better, Claim, Column, Correlates, Experiment, Row, Strongest
from sendvae.latents import pearson, strength_difference
from sendvae.metrics import mean_interval
from sendvae.published import PUBLISHED, published_figure

Word = Literal["holds", "does not hold", "undecided"]
ENOUGH_TO_RESAMPLE, RESAMPLES = (
    10,
    2000,
)  # the rows that a bootstrap needs; with fewer, Fisher's interval is more honest

# The values of a row in a column by seed.
Values = Mapping[tuple[Row, Column], Mapping[int, float]]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    Attributes:
        claim: the claim in a sentence.
        word: the verdict.
        ours: our numbers that the verdict rests on, in words.
        paper: the paper's numbers, in words; empty where it reports none.
    """

    claim: str
    word: Word
    ours: str
    paper: str


def judge(claim: Claim, experiment: Experiment, values: Values) -> Verdict:
    """Judge a claim by the numbers that are there. It is undecided where there are too few."""
    rows = {row.name: row for row in experiment.rows}
    if isinstance(claim, Better):
        return _judge_better(claim, rows, values)
    if isinstance(claim, Correlates):
        return _judge_correlation(claim, experiment.rows, values)
    return _judge_strongest(claim, experiment.rows, values)


def _judge_better(claim: Better, rows: Mapping[str, Row], values: Values) -> Verdict:
    """Judge by the interval of the mean difference of equal seeds."""
    better, worse = (rows[name] for name in (claim.better, claim.worse))
    paper = _reported(claim, better, worse)
    own, other = (values.get((row, claim.column), {}) for row in (better, worse))
    seeds = sorted(own.keys() & other.keys())
    if not seeds:
        return Verdict(claim.text, "undecided", "no pair has been measured", paper)
    differences = [own[seed] - other[seed] for seed in seeds]
    text = f"{better.name} minus {worse.name}: {fmean(differences):+.4g}"
    interval = mean_interval(differences)
    if interval is None:
        return Verdict(claim.text, "undecided", f"{text}, a single pair, so without an interval", paper)
    text += f" [{interval[0]:+.4g}, {interval[1]:+.4g}], {len(seeds)} pairs"
    low, high = interval if claim.lower_is_better else (-interval[1], -interval[0])
    return Verdict(claim.text, _word(low, high), text, paper)


def _word(low: float, high: float) -> Word:
    """Return the verdict for an interval that lies below zero if the claim holds."""
    return "holds" if high < 0 else "does not hold" if low > 0 else "undecided"


def _reported(claim: Better, better: Row, worse: Row) -> str:
    """Return the paper's numbers of both rows in words, under one protocol; empty where one is not reported."""
    protocol, metric = claim.column.protocol, claim.column.metric
    if protocol is None:
        return ""
    rows = PUBLISHED[protocol].rows
    found = [
        rows[row.published_row].values.get(metric) if row.published_row in rows else None
        for row in (better, worse)
    ]
    if None in found:
        return ""
    return " against ".join(published_figure(metric, value) for value in found if value is not None)


def _points(columns: Sequence[Column], rows: Sequence[Row], values: Values) -> list[list[float]]:
    """Return, for every column, the means over seeds of the rows that have numbers in all columns."""
    complete = [row for row in rows if all(values.get((row, column)) for column in columns)]
    return [[fmean(values[row, column].values()) for row in complete] for column in columns]


def _judge_correlation(claim: Correlates, rows: Sequence[Row], values: Values) -> Verdict:
    """Judge by the interval of Pearson's r over the rows, of the bootstrap if there are enough rows, else Fisher's."""
    paper = f"r = {claim.published}" if claim.published is not None else _published_correlation(claim, rows)
    x, y = _points([claim.score, claim.against], rows, values)
    found = pearson(x, y, RESAMPLES if len(x) >= ENOUGH_TO_RESAMPLE else 0)
    if found.r is None:
        return Verdict(claim.text, "undecided", f"no correlation: {found.reason}", paper)
    text = f"r = {found.r:+.3f} over {found.n} tokenizers"
    if found.interval is None:
        return Verdict(claim.text, "undecided", f"{text}, too few for an interval", paper)
    low, high = found.interval
    text += f" [{low:+.2f}, {high:+.2f}]"
    wanted = (low, high) if claim.sign < 0 else (-high, -low)
    return Verdict(claim.text, _word(*wanted), text, paper)


def _published_correlation(claim: Correlates, rows: Sequence[Row]) -> str:
    """Return in words Pearson's r of the numbers that the paper's tables print; empty where they print too few."""
    protocols = (claim.score.protocol, claim.against.protocol)
    if None in protocols:
        return ""
    tables = [PUBLISHED[str(protocol)].rows for protocol in protocols]
    shared = [row.published_row for row in rows if all(row.published_row in table for table in tables)]
    x, y = (
        [table[row].values[column.metric] for row in shared]
        for table, column in zip(tables, (claim.score, claim.against), strict=True)
    )
    found = pearson(x, y)
    return "" if found.r is None else f"r = {found.r:+.3f} over {found.n} tokenizers, of its printed numbers"


def _judge_strongest(claim: Strongest, rows: Sequence[Row], values: Values) -> Verdict:
    """Judge by the intervals, over resampled rows, of |r| minus that of every other score: all must lie above zero."""
    texts, words = [], []
    for other in claim.others:
        a, b, y = _points([claim.score, other, claim.against], rows, values)
        found = strength_difference(a, b, y)
        if found is None or found.interval is None:
            return Verdict(claim.text, "undecided", f"{len(y)} tokenizers are too few", "")
        low, high = found.interval
        texts.append(f"size of r minus that of {other.metric}: {found.value:+.2f} [{low:+.2f}, {high:+.2f}]")
        words.append(_word(-high, -low))
    word: Word = (
        "holds" if set(words) == {"holds"} else "does not hold" if "does not hold" in words else "undecided"
    )
    return Verdict(claim.text, word, "; ".join(texts), "")
