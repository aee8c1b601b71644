"""Experiments beside the paper's numbers, as a page and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sendvae.experiments.predictor_words import ScoreCosts, advise, conclusion, sentences
from sendvae.experiments.predictors import F1, Analysis
from sendvae.experiments.reproduction import OUTCOMES, Reproduction, outcome
from sendvae.files import write_text
from sendvae.latents import Correlation
from sendvae.report.figures import draw_figures
from sendvae.report.page import data_uri, write_page
from sendvae.report.plots import COLOURS, Series, legend, lines, scatter


def write_reproduction(found: Sequence[Reproduction], output: Path, live: bool = False) -> Path:
    """Draw one page of several experiments at a scale, and return `output`.

    Args:
        found: the experiments with their results so far, at least one.
        output: the file to write.
        live: whether cells still run; the page then loads itself again every few seconds.
    """
    return write_page(
        "reproduction.html",
        output,
        live,
        found=found,
        scale=found[0].scale.config,
        drawings={one.experiment.name: _drawings(one) for one in found},
        pictures={
            one.experiment.name: [(picture.label, data_uri(picture.path)) for picture in one.pictures]
            for one in found
        },
        predictor_headings=predictor_headings,
        predictor_rows=predictor_rows,
        sentences=lambda one, analysis: sentences(analysis, one.scale.metric(F1.metric)),
        conclusion=conclusion,
    )


Figures = Mapping[tuple[str, str], Sequence[tuple[str, str]]]  # captions and paths, by experiment and scale


def reproduction_markdown(
    found: Sequence[Sequence[Reproduction]],
    title: str,
    lead: str,
    figures: Figures | None = None,
    costs: ScoreCosts | None = None,
) -> str:
    """Return a document with a section for every experiment, which has our numbers at every scale.

    Args:
        found: the reproductions of each experiment at all scales.
        title: the title of the document.
        lead: the text after the title.
        figures: the captions and paths of the figures beside the document.
        costs: the costs of scores, for the advice on predictors.
    """
    environment = Environment(
        loader=PackageLoader("sendvae.report"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("reproduction.md").render(
        found=found,
        title=title,
        lead=lead,
        figures=figures or {},
        costs=costs,
        predictor_headings=predictor_headings,
        predictor_rows=predictor_rows,
        sentences=lambda one, analysis: sentences(analysis, one.scale.metric(F1.metric)),
        conclusion=conclusion,
        advice_headings=advice_headings,
        advice_rows=lambda analyses: advice_rows(analyses, costs),
        overview=overview,
    )


def overview(found: Sequence[Sequence[Reproduction]]) -> list[str]:
    """Return the outcomes of all claims as lines of Markdown, with a sentence and a table for every scale."""
    lines = []
    for ours in zip(*found, strict=True):
        verdicts = [verdict for one in ours for verdict in one.verdicts]
        lines += [
            f"**{outcome(verdicts)} at scale {ours[0].scale.config.title}.**",
            "",
            "| | question | hold | do not hold | undecided | cells with a result |",
            "|---|---|---|---|---|---|",
        ]
        for one in ours:
            counts = " | ".join(str(one.count(word)) for word in OUTCOMES)
            lines.append(f"| {one.label} | {one.experiment.title} | {counts} | {one.done} of {one.wanted} |")
        lines.append("")
    return lines


def write_markdown(
    found: Sequence[Sequence[Reproduction]],
    output: Path,
    title: str,
    lead: str,
    costs: ScoreCosts | None = None,
) -> Path:
    """Write the document of `reproduction_markdown` with its figures beside it, and return `output`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        (one.experiment.name, one.scale.config.title): draw_figures(one, output.parent)
        for scales in found
        for one in scales
    }
    write_text(output, reproduction_markdown(found, title, lead, figures, costs))
    return output


def advice_headings(analyses: Sequence[Analysis]) -> list[str]:
    """Return the headings of the table of advice."""
    return ["what", "what it takes", "seconds", *(f"its best for {one.target}" for one in analyses)]


def advice_rows(analyses: Sequence[Analysis], costs: ScoreCosts | None) -> list[list[str]]:
    """Return a row for each family of scores: what it takes, and its best score with its share of the mean's error."""
    rows = []
    for one in advise(analyses, costs.seconds if costs else None):
        best = [one.best.get(analysis.target) for analysis in analyses]
        shares = ["–" if found is None else f"{found[0]} ({found[1]:.0%})" for found in best]
        rows.append([one.family, one.cost, "–" if one.seconds is None else f"{one.seconds:.3g}", *shares])
    return rows


def predictor_headings(analysis: Analysis) -> list[str]:
    """Return the headings of the table of an analysis."""
    return [
        "score",
        "tokenizers",
        "Pearson",
        "Spearman",
        f"given {' and '.join(analysis.given)}",
        "error, left out",
        "by the mean alone",
        f"size of Spearman's r, {analysis.predictors[0].score} minus this"
        if analysis.predictors
        else "minus",
    ]


def predictor_rows(analysis: Analysis) -> list[list[str]]:
    """Return a row for each score, the one with the smallest error first."""
    differences = {one.second: one.difference for one in analysis.comparisons}
    rows = []
    for one in analysis.predictors:
        left_out, difference = one.left_out, differences.get(one.score)
        errors = ["–", "–"] if left_out is None else [f"{left_out.error:.4g}", f"{left_out.of_mean:.4g}"]
        compared = "–" if difference is None else f"{difference.value:+.2f}{_interval(difference.interval)}"
        rows.append(
            [
                one.score,
                str(one.pearson.n),
                _correlation(one.pearson),
                _correlation(one.spearman),
                _correlation(one.partial),
                *errors,
                compared,
            ]
        )
    return rows


def _correlation(found: Correlation) -> str:
    return "–" if found.r is None else f"{found.r:+.2f}{_interval(found.interval)}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:+.2f}, {interval[1]:+.2f}]"


def _drawings(one: Reproduction) -> list[Markup]:
    """Return a chart of the curves over the training, or a cloud of points for every pair of columns."""
    if one.curves:
        series = [
            Series(
                curve.label, COLOURS[i % len(COLOURS)], [100 * share for share in curve.shares], curve.means
            )
            for i, curve in enumerate(one.curves)
        ]
        chart = lines(series, "% of the training", one.headings[0].label.partition(" (")[0])
        return [chart + legend({s.label: s.colour for s in series})]
    if not one.points:
        return []
    drawn = []
    for x, y in one.pairs:
        known = [(name, means) for name, means in one.points if {x, y} <= means.keys()]
        if known:
            series = [
                Series(name, COLOURS[i % len(COLOURS)], [means[x]], [means[y]])
                for i, (name, means) in enumerate(known)
            ]
            drawn.append(scatter(series, x, y))
    return drawn
