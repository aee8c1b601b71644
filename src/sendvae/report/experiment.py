"""The page of an experiment: its cells side by side, finished or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from sendvae.evaluation import wording
from sendvae.evaluation.latents import unique_names
from sendvae.experiments.record import CellResult, load_cells, load_record, load_times
from sendvae.report.cells import Experiment
from sendvae.report.learning import learning_curves
from sendvae.report.page import data_uri, write_page
from sendvae.report.plots import Series, lines, scatter
from sendvae.report.together import together
from sendvae.report.verdict import verdict

TOKENIZER_CURVES = (("alignment", "alignment loss"), ("reconstruction", "reconstruction L1"))
DIFFUSION_CURVES = (("velocity", "velocity MSE"), ("repa", "REPA loss"))
PICTURES = ("samples", "reconstructions", "latents")
PICTURE_BYTES = 5_000_000  # the most bytes of all pictures on a page, before they are written as text
MOST_DIFFERENT = 14  # attributes shown
WORK = {
    "tokenizer": "training tokenizers",
    "diffusion": "training diffusion models",
    "tokenizer-scores": "scoring tokenizers",
    "samples": "sampling and measuring",
}


@dataclass(frozen=True)
class Entry:
    """An entry of the table: the mean over seeds, with the standard deviation over several of them."""

    text: str
    spread: str
    best: bool


def write_experiment(folders: Sequence[Path], output: Path, live: bool = False) -> Path:
    """Draw the page of the cells in one folder or several, and return `output`.

    Args:
        folders: the folders of experiments, each once.
        output: the file to write.
        live: whether the cells still run; the page then loads itself again every few seconds.

    Raises:
        UserError: a folder has no cells, or results are damaged.
    """
    names = unique_names([str(folder) for folder in folders])
    experiments = {
        name: Experiment(load_record(folder), load_cells(folder), load_times(folder))
        for name, folder in zip(names, folders, strict=True)
    }
    return draw(together(experiments), output, live)


def draw(experiment: Experiment, output: Path, live: bool = False) -> Path:
    """Draw the page of an experiment, and return `output`."""
    pictures, left_out = _pictures(experiment)
    return write_page(
        "experiment.html",
        output,
        live,
        e=experiment,
        about=experiment.about,
        sentences=[text for text in (verdict(experiment), *experiment.about.conclusions) if text],
        curves=learning_curves(experiment) if experiment.about.curves else None,
        missing=_missing(experiment),
        groups=_groups(experiment),
        table={
            method.name: [_entry(experiment, metric, method.name) for metric in experiment.quantities]
            for method in experiment.methods
        },
        scatter=_scatter(experiment),
        differences=_difference_texts(experiment),
        tokenizer_curves=_curves(experiment, "tokenizer", TOKENIZER_CURVES),
        diffusion_curves=_curves(experiment, "diffusion", DIFFUSION_CURVES),
        originals=_originals(experiment),
        pictures=pictures,
        left_out=left_out,
        attributes=_attributes(experiment),
        expected=_expected(experiment),
        config=json.dumps(experiment.about.config, indent=2),
        work={WORK.get(kind, kind): seconds for kind, seconds in experiment.seconds.items()},
        peak_memory=max((cell.peak_memory_gib for cell in experiment.cells), default=0.0),
    )


def _missing(experiment: Experiment) -> list[str]:
    """Return a line for every cell that is not finished."""
    found = []
    for cell in experiment.cells:
        parts = [f"{role} failed ({error})" for role, error in cell.errors.items()]
        absent = [role for role, state in cell.states.items() if state == "missing"]
        parts += [f"{', '.join(absent)} not done yet"] if absent else []
        found += [f"{cell.name}: {'; '.join(parts)}"] if parts else []
    return found


def _entry(experiment: Experiment, metric: str, method: str) -> Entry:
    values, digits = experiment.values(metric, method), experiment.quantities[metric].digits
    if not values:
        return Entry("–", "", False)
    spread = f"± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return Entry(f"{fmean(values):.{digits}f}", spread, experiment.best(metric) == method)


def _groups(experiment: Experiment) -> list[tuple[str, int]]:
    """Return the group headings of the table with their widths."""
    names = [quantity.group for quantity in experiment.quantities.values()]
    return [(name, names.count(name)) for name in dict.fromkeys(names)]


def _scatter(experiment: Experiment) -> str:
    """Draw a dot for each cell that has both headline numbers; empty if none has."""
    if experiment.about.headline is None:
        return ""
    x, y = experiment.about.headline
    series = []
    for method in experiment.methods:
        own = [c for c in experiment.cells if c.method == method.name and {x, y} <= c.metrics.keys()]
        points = ([c.metrics[metric].value for c in own] for metric in (x, y))
        series.append(Series(method.label, experiment.colours[method.name], *points))
    if not any(one.x for one in series):
        return ""
    return scatter(series, *(experiment.quantities[metric].label for metric in (x, y)))


def _difference_texts(experiment: Experiment) -> list[str]:
    """Return, for each score, a line with each method's difference from the control."""
    texts = []
    for metric in experiment.about.compared:
        found = experiment.differences(metric)
        if not found:
            continue
        quantity = experiment.quantities[metric]
        parts = [
            f"{experiment.labels[d.method]} {d.value:+.{quantity.digits}f} "
            f"[{d.interval[0]:+.{quantity.digits}f}, {d.interval[1]:+.{quantity.digits}f}]"
            for d in found
        ]
        control = experiment.labels[str(experiment.about.control)]
        texts.append(f"{quantity.label} minus that of {control}: " + ", ".join(parts) + ".")
    return texts


def _curves(experiment: Experiment, role: str, names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return a caption and a chart for each scalar of a training, with the cells of each method's smallest seed."""
    charts: list[tuple[str, str]] = []
    for key, label in names:
        series = []
        for cell in experiment.first:
            curve = cell.curves.get(role)
            if curve is None or key not in curve.series or cell.method == experiment.about.base:
                continue
            values = [float("nan") if v is None else v for v in curve.series[key]]
            name, colour = experiment.labels[cell.method], experiment.colours[cell.method]
            series.append(Series(name, colour, curve.images, values))
        if series:
            charts.append((label, lines(series, "images seen", label)))
    return charts


def _originals(experiment: Experiment) -> str | None:
    """Return the picture of the original test images, which are the same for every tokenizer, as a data URL."""
    paths = [cell.pictures["originals"] for cell in experiment.cells if "originals" in cell.pictures]
    return data_uri(paths[0]) if paths else None


def _pictures(experiment: Experiment) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return pictures as data URLs by kind and method, and the labels of the methods whose pictures found no room."""
    shown: dict[str, dict[str, str]] = {kind: {} for kind in PICTURES}
    left_out: list[str] = []
    room = PICTURE_BYTES
    for cell in experiment.first:
        paths = {kind: cell.pictures[kind] for kind in PICTURES if kind in cell.pictures}
        size = sum(path.stat().st_size for path in paths.values())
        if size > room:
            left_out.append(experiment.labels[cell.method])
            continue
        room -= size
        for kind, path in paths.items():
            shown[kind][cell.method] = data_uri(path)
    return shown, left_out


def _attributes(experiment: Experiment) -> list[tuple[str, dict[str, float]]]:
    """Return the attributes whose mean F1 over seeds differs most between methods, with the means of all methods."""
    probed = [cell for cell in experiment.cells if cell.attribute_f1]
    tables: dict[str, list[dict[str, float]]] = {}
    for cell in probed:
        tables.setdefault(cell.method, []).append(cell.attribute_f1)
    shared = [name for name in (probed[0].attribute_f1 if probed else {}) if _in_all(name, probed)]
    means = {
        attribute: {method: fmean(table[attribute] for table in own) for method, own in tables.items()}
        for attribute in shared
    }
    spread = {attribute: max(row.values()) - min(row.values()) for attribute, row in means.items()}
    chosen = sorted(means, key=lambda attribute: spread[attribute], reverse=True)[:MOST_DIFFERENT]
    return [(attribute, means[attribute]) for attribute in chosen]


def _in_all(attribute: str, cells: Sequence[CellResult]) -> bool:
    return all(attribute in cell.attribute_f1 for cell in cells)


def _expected(experiment: Experiment) -> list[tuple[str, str, str, str, str]]:
    """Return, for every number that somebody reports: cell, metric, reported value, our value, and source."""
    rows = []
    for cell in experiment.cells:
        for one in cell.expected:
            quantity = cell.quantities.get(one.metric)
            found = cell.metrics.get(one.metric)
            rows.append(
                (
                    cell.name,
                    wording.heading(one.metric, quantity),
                    wording.figure(one.value, quantity),
                    "–" if found is None else wording.figure(found.value, quantity),
                    one.source,
                )
            )
    return rows
