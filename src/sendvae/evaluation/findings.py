"""Correlation of scores with gFID over tokenizers, and predictions of unknown gFIDs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.evaluation import wording
from sendvae.evaluation.results import Subject
from sendvae.latents import leave_one_out, pearson, percentile_interval, predict_linear, spearman
from sendvae.metrics import jackknife_interval, mean_interval

PANEL = 3.2  # inches
COLUMNS = 3


def correlate_and_predict(
    subjects: Sequence[Subject],
    known: Sequence[float | None],
    scores: Sequence[str] | None,
    predictor: str,
) -> dict[str, Any]:
    """Return known gFIDs, every score's correlation with them, and predictions for the others; empty without any.

    Correlations are Pearson's and Spearman's; each score also has its leave-one-out prediction error.

    Args:
        scores: names of the scores to correlate with gFID; None: all that every tokenizer of known gFID has.

    Raises:
        UserError: another number of gFIDs than of tokenizers.
    """
    if not any(value is not None for value in known):
        return {}
    if len(known) != len(subjects):
        raise UserError(
            "a gFID belongs to each tokenizer",
            given=f"{len(known)} for {len(subjects)} tokenizers",
            next_step="give them in the same order, '-' where unknown",
        )
    points = [(s, value) for s, value in zip(subjects, known, strict=True) if value is not None]
    others = [s for s, value in zip(subjects, known, strict=True) if value is None]
    gfid = [value for _, value in points]
    correlations = {}
    computed = dict.fromkeys(name for s, _ in points for name in s.numbers)
    for score in computed if scores is None else scores:
        values = [s.numbers[score].value for s, _ in points if score in s.numbers]
        if len(values) == len(points):
            found = pearson(values, gfid)
            left_out = leave_one_out(values, gfid)
            correlations[score] = asdict(found) | {
                "reason": found.reason,
                "spearman": asdict(spearman(values, gfid)),
                "leave_one_out": asdict(left_out) if left_out else None,
            }
    findings: dict[str, Any] = {
        "known_gfid": {s.name: value for s, value in points},
        "correlations": correlations,
    }
    if others:
        findings["predictions"] = {s.name: _predicted(predictor, points, s) for s in others}
    return findings


def _predicted(score: str, points: Sequence[tuple[Subject, float]], new: Subject) -> dict[str, Any]:
    """Predict a gFID; if that is impossible return the reason, since everything else is computed by then."""
    subjects = [*(s for s, _ in points), new]
    if any(score not in s.numbers for s in subjects):
        computed = ", ".join(new.numbers)
        return {"from": score, "value": None, "reason": f"it was not computed; predict=... one of {computed}"}
    *x, at = (s.numbers[score].value for s in subjects)
    found = predict_linear(x, [gfid for _, gfid in points], at)
    if found is None:
        reason = "fewer than two known gFIDs, or the score does not vary"
        return {"from": score, "value": None, "reason": reason}
    return {"from": score, **asdict(found)}


def differences_from_first(subjects: Sequence[Subject]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by tokenizer and score, the difference from the first tokenizer's score with its interval.

    Both are taken on the same resamples of the test split, or without the same parts of it, or in repeats with the
    same draws, so what makes images hard for both cancels: the interval is narrower than those of the two scores suggest.
    """
    first, *others = subjects
    found = {
        subject.name: {
            name: {"value": value, "interval": interval, "method": subject.numbers[name].method}
            for name in subject.numbers
            if name in first.numbers
            for value in [subject.numbers[name].value - first.numbers[name].value]
            if (interval := _paired_interval(first, subject, name, value))
        }
        for subject in others
    }
    return {name: differences for name, differences in found.items() if differences}


def _paired_interval(
    first: Subject, second: Subject, name: str, difference: float
) -> tuple[float, float] | None:
    """Return the interval of the second minus the first; None for a score without paired values."""
    if name in first.resampled and name in second.resampled:
        return percentile_interval(_minus(second.resampled[name], first.resampled[name]))
    if name in first.without and name in second.without:
        return jackknife_interval(difference, _minus(second.without[name], first.without[name]).tolist())
    if name in first.repeats and name in second.repeats:
        return mean_interval(_minus(second.repeats[name], first.repeats[name]).tolist())
    return None


def _minus(values: Sequence[float], others: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64) - torch.tensor(others, dtype=torch.float64)


def draw_scatter(
    subjects: Sequence[Subject], known: Sequence[float | None], findings: dict[str, Any], path: Path
) -> None:
    """Draw a panel for each score with the tokenizers of known gFID and a caption with r, p and interval."""
    import matplotlib
    from matplotlib.figure import Figure

    scores = list(findings["correlations"])
    columns = min(COLUMNS, len(scores))
    rows = -(-len(scores) // columns)
    with matplotlib.rc_context({"font.size": 8}):
        figure = Figure(figsize=(PANEL * columns, PANEL * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axis in axes[len(scores) :]:
            axis.set_axis_off()
        for score, axis in zip(scores, axes, strict=False):
            points = [(s, g) for s, g in zip(subjects, known, strict=True) if g is not None]
            x = [s.numbers[score].value for s, _ in points]
            axis.scatter(x, [g for _, g in points], s=18)
            for value, (subject, gfid) in zip(x, points, strict=True):
                short = subject.name.rstrip("/").rpartition("/")[2]
                label = axis.annotate(short, (value, gfid), (3, 3), textcoords="offset points", fontsize=7)
                label.set_in_layout(False)  # a long name must not squeeze the panels
            axis.set_xlabel(score)
            axis.set_ylabel("gFID")
            axis.set_title(wording.correlation(findings["correlations"][score]), fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", dpi=150)
