"""Figures of documents: SVG files beside the text, whose bytes depend only on what they show."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sendvae.experiments.predictors import Analysis
from sendvae.experiments.reproduction import MeanCurve, Reproduction
from sendvae.files import new_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = "figures"  # beside a document
WIDTH, ROW, PANEL = 7.0, 0.19, 3.4  # inches
COLUMNS = 2
LABEL_MARGIN = 0.2  # the share of the axis that is left free for names beside dots
FAMILY = "sans-serif"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "sendvae", "font.size": 8, "font.family": FAMILY}


def draw_figures(found: Reproduction, folder: Path) -> list[tuple[str, str]]:
    """Draw the figures of an experiment into `FOLDER` of a folder. Their bytes depend only on what they show.

    Returns:
        A caption and a path, relative to `folder`, for each figure and for each picture of samples, where it lies.
    """
    import matplotlib

    placed = []
    with matplotlib.rc_context(STYLE):
        for kind, caption, figure in _drawn(found):
            path = f"{FOLDER}/{found.experiment.name}-{found.scale.config.title}-{kind}.svg"
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            with new_file(folder / path) as file:
                figure.savefig(file, format="svg", metadata={"Date": None})
            placed.append((caption, path))
    pictures = [
        (f"Samples of {picture.label}", Path(os.path.relpath(picture.path, folder)).as_posix())
        for picture in found.pictures
    ]
    return placed + pictures


def _drawn(found: Reproduction) -> Iterator[tuple[str, str, Figure]]:
    """Yield a kind, a caption and a figure for everything that an experiment has to show."""
    if found.curves:
        yield "curves", f"{found.headings[0].label.partition(' (')[0]} over the training", _curves(found)
    if found.points and found.pairs:
        yield "points", "Every tokenizer, by the means over its seeds", _points(found)
    for i, analysis in enumerate(found.analyses):
        if analysis.predictors:
            caption = f"How every score goes with {analysis.target} by ranks, with intervals of 95 % over tokenizers"
            yield f"ranks-{i + 1}", caption, _ranks(analysis)


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, axes[:count]


def _ranks(analysis: Analysis) -> Figure:
    """Return a figure of Spearman's r of every score with its interval, the largest |r| on top.

    Intervals that exclude zero are dark.
    """
    known = [(one.spearman.r, one) for one in analysis.predictors if one.spearman.r is not None]
    known.sort(key=lambda found: abs(found[0]))
    figure, (axis,) = _panels(1, 1, WIDTH, 0.8 + ROW * len(known))
    axis.axvline(0.0, color="#888888", linewidth=0.8)
    for y, (r, one) in enumerate(known):
        low, high = one.spearman.interval or (r, r)
        colour = "#1f4e9c" if low > 0 or high < 0 else "#a9b4c4"
        axis.plot([low, high], [y, y], color=colour, linewidth=1.6)
        axis.plot([r], [y], "o", color=colour, markersize=4)
    axis.set_yticks(range(len(known)), [one.score for _, one in known])
    axis.set_ylim(-0.7, len(known) - 0.3)
    axis.set_xlim(-1.0, 1.0)
    axis.set_xlabel(f"Spearman's r with {analysis.target}")
    return figure


def _points(found: Reproduction) -> Figure:
    """Return a figure with a panel for every pair of columns. The dots carry the names of their rows."""
    figure, axes = _panels(len(found.pairs), min(COLUMNS, len(found.pairs)), WIDTH, PANEL)
    for axis, (x, y) in zip(axes, found.pairs, strict=True):
        _named_dots(axis, found.points, x, y)
    return figure


def _named_dots(axis: Axes, points: Sequence[tuple[str, Mapping[str, float]]], x: str, y: str) -> None:
    for name, means in points:
        if all(math.isfinite(means.get(label, math.nan)) for label in (x, y)):
            axis.plot([means[x]], [means[y]], "o", color="#1f4e9c", markersize=4)
            label = axis.annotate(name, (means[x], means[y]), (4, 2), textcoords="offset points", fontsize=6)
            label.set_in_layout(False)
    axis.margins(x=LABEL_MARGIN)
    axis.set_xlabel(x)
    axis.set_ylabel(y)


def _curves(found: Reproduction) -> Figure:
    figure, (axis,) = _panels(1, 1, WIDTH, PANEL)
    for i, curve in enumerate(found.curves):
        _line(axis, curve, i)
    axis.set_xlabel("% of the training")
    axis.set_ylabel(found.headings[0].label.partition(" (")[0])
    axis.legend(frameon=False)
    return figure


def _line(axis: Axes, curve: MeanCurve, number: int) -> None:
    """Draw a curve with a marker of its own, so that curves are told apart without colours, too."""
    shares = [100 * share for share in curve.shares]
    axis.plot(shares, curve.means, marker="os^Dv"[number % 5], markersize=4, label=curve.label)
