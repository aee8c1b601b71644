"""The page of a demo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from sendvae.experiments.summary import CONTROL, Run, Summary
from sendvae.report.page import COLOURS, data_uri, write_page
from sendvae.report.plots import Series, lines, scatter

HEADLINE_LATENT, HEADLINE_GENERATION = "f1_macro", "fd-mobilenet-v2"
TOKENIZER_CURVES = (("alignment", "alignment loss"), ("reconstruction", "reconstruction L1"))
DIFFUSION_CURVES = (("velocity", "velocity MSE"), ("repa", "REPA loss"))
MOST_DIFFERENT = 14  # attributes shown


@dataclass(frozen=True)
class Cell:
    """A number of the table: mean and, with several seeds, spread."""

    text: str
    spread: str
    best: bool


def write_demo(summary: Summary, folder: Path, output: Path) -> Path:
    """Draws the page; pictures are read from `folder` and embedded. Returns `output`."""
    names = [method.name for method in summary.methods]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    return write_page(
        "demo.html",
        output,
        s=summary,
        colours=colours,
        verdict=verdict(summary),
        groups=_groups(summary),
        table={name: [_cell(summary, key, name) for key in summary.metrics] for name in names},
        scatter=_scatter(summary, colours),
        differences=_difference_texts(summary),
        correlations=[_correlation_text(summary, c.x, c.y) for c in summary.correlations],
        tokenizer_curves=_curves(summary, colours, "tokenizer_curve", TOKENIZER_CURVES),
        diffusion_curves=_curves(summary, colours, "diffusion_curve", DIFFUSION_CURVES),
        originals=data_uri(folder / summary.originals),
        pictures=_pictures(summary, folder),
        attributes=_attributes(summary),
        config=json.dumps(summary.config, indent=2),
        seconds=sum(summary.stages.values()),
    )


def verdict(summary: Summary) -> str:
    """One sentence that says which method is best on each side, whichever it is."""
    headlines = (HEADLINE_LATENT, HEADLINE_GENERATION)
    best = {key: _best(summary, key) for key in headlines if key in summary.metrics}
    if best.get(HEADLINE_LATENT) is None or best.get(HEADLINE_GENERATION) is None:
        return "No run has been sampled yet."
    labels = {method.name: method.label for method in summary.methods}
    parts = []
    for key in headlines:
        name, metric = best[key], summary.metrics[key]
        assert name is not None
        parts.append((labels[name], f"{fmean(_values(summary, key, name)):.{metric.digits}f}", metric.label))
    (first, f1, f1_label), (second, fd, fd_label) = parts
    doubt = ""
    lead = next(
        (d for d in summary.differences if (d.method, d.metric) == (best[HEADLINE_LATENT], HEADLINE_LATENT)),
        None,
    )
    if lead is not None and lead.interval[0] <= 0.0:
        doubt = (
            f" The choice of test images alone could explain its lead in {f1_label} over the unaligned one."
        )
    if first == second:
        return f"{first} has both the most separable latent space ({f1_label} {f1}) and the best samples ({fd_label} {fd}).{doubt}"
    return f"{first} has the most separable latent space ({f1_label} {f1}), but {second} the best samples ({fd_label} {fd}).{doubt}"


def _values(summary: Summary, key: str, method: str) -> list[float]:
    return [run.metrics[key] for run in summary.runs if run.method == method and key in run.metrics]


def _best(summary: Summary, key: str) -> str | None:
    """The method with the best mean, among those that were fine-tuned."""
    means = {
        method.name: fmean(values)
        for method in summary.methods
        if method.name != "base" and (values := _values(summary, key, method.name))
    }
    if not means:
        return None
    return (max if summary.metrics[key].higher_is_better else min)(means, key=lambda name: means[name])


def _cell(summary: Summary, key: str, method: str) -> Cell:
    values, digits = _values(summary, key, method), summary.metrics[key].digits
    if not values:
        return Cell("–", "", False)
    spread = f"± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return Cell(f"{fmean(values):.{digits}f}", spread, _best(summary, key) == method)


def _groups(summary: Summary) -> list[tuple[str, int]]:
    """Group headings of the table with their widths."""
    names = [metric.group for metric in summary.metrics.values()]
    return [(name, names.count(name)) for name in dict.fromkeys(names)]


def _scatter(summary: Summary, colours: Mapping[str, str]) -> str:
    series = []
    for method in summary.methods:
        runs = [r for r in summary.runs if r.method == method.name and HEADLINE_GENERATION in r.metrics]
        x, y = ([run.metrics[key] for run in runs] for key in (HEADLINE_LATENT, HEADLINE_GENERATION))
        series.append(Series(method.label, colours[method.name], x, y))
    labels = [summary.metrics[key].label for key in (HEADLINE_LATENT, HEADLINE_GENERATION)]
    return scatter(series, *labels)


def _correlation_text(summary: Summary, x: str, y: str) -> str:
    c = next(c for c in summary.correlations if (c.x, c.y) == (x, y))
    pair = f"{summary.metrics[x].label} against {summary.metrics[y].label}"
    if c.r is None:
        return f"{pair}: undefined for {c.n} runs."
    text = f"{pair}: Pearson r = {c.r:+.3f}, p = {c.p:.3g}, n = {c.n}"
    if c.interval is None:
        return f"{text}; too few runs for an interval."
    low, high = c.interval
    remark = (
        "the interval spans zero, so this alone shows no relation"
        if low < 0 < high
        else "the interval excludes zero"
    )
    note = (
        "; runs of several seeds share their method, so they are not independent"
        if len(summary.seeds) > 1
        else ""
    )
    return f"{text}, 95 % interval [{low:+.2f}, {high:+.2f}]: {remark}{note}."


def _difference_texts(summary: Summary) -> list[str]:
    """A line per metric: how far each method lies from the control."""
    labels = {method.name: method.label for method in summary.methods}
    texts = []
    for key in dict.fromkeys(difference.metric for difference in summary.differences):
        metric = summary.metrics[key]
        parts = [
            f"{labels[d.method]} {d.value:+.{metric.digits}f} "
            f"[{d.interval[0]:+.{metric.digits}f}, {d.interval[1]:+.{metric.digits}f}]"
            for d in summary.differences
            if d.metric == key
        ]
        texts.append(f"{metric.label} minus that of {labels[CONTROL]}: " + ", ".join(parts) + ".")
    return texts


def _curves(
    summary: Summary, colours: Mapping[str, str], which: str, names: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """(caption, chart) of each scalar, over the first seed's runs."""
    charts: list[tuple[str, str]] = []
    for key, label in names:
        series = []
        for run in summary.runs:
            curve = getattr(run, which)
            if curve is None or key not in curve.series or run.seed != summary.seeds[0]:
                continue
            values = [float("nan") if v is None else v for v in curve.series[key]]
            series.append(Series(_label(summary, run), colours[run.method], curve.images, values))
        if series:
            charts.append((label, lines(series, "images seen", label)))
    return charts


def _label(summary: Summary, run: Run) -> str:
    return next(method.label for method in summary.methods if method.name == run.method)


def _pictures(summary: Summary, folder: Path) -> dict[str, dict[str, str]]:
    """Kind -> method -> data URI, of the first seed."""
    shown = [run for run in summary.runs if run.method == "base" or run.seed == summary.seeds[0]]
    kinds = ("reconstructions", "latents", "samples")
    return {
        kind: {run.method: data_uri(folder / run.pictures[kind]) for run in shown if kind in run.pictures}
        for kind in kinds
    }


def _attributes(summary: Summary) -> list[tuple[str, dict[str, float]]]:
    """Attributes whose mean F1 differs most between methods, with every method's."""
    methods = [method.name for method in summary.methods]
    means = {
        attribute: {
            name: fmean(run.attribute_f1[attribute] for run in summary.runs if run.method == name)
            for name in methods
        }
        for attribute in summary.runs[0].attribute_f1
    }
    spread = {attribute: max(row.values()) - min(row.values()) for attribute, row in means.items()}
    chosen = sorted(means, key=lambda a: spread[a], reverse=True)[:MOST_DIFFERENT]
    return [(attribute, means[attribute]) for attribute in chosen]
