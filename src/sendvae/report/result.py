"""The page of an evaluation: its numbers with their intervals, and the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sendvae.evaluation import wording
from sendvae.evaluation.results import Number, Result, Subject
from sendvae.quantities import Quantity
from sendvae.report.page import data_uri, flat, write_page
from sendvae.report.plots import COLOURS, Series, scatter

TITLES = {
    "generation": "How close samples are to the reference",
    "reconstruction": "What the tokenizer loses",
    "latents": "What the latent space holds",
}
PICTURES = {"worst.png": "The worst images: original, reconstruction, difference"}
ATTRIBUTES_SHOWN = 20  # those on which subjects differ most, or the best ones of a single subject


@dataclass(frozen=True)
class Cell:
    """A number of the table, its interval, and whether it is the best of its row."""

    text: str
    interval: str
    best: bool


@dataclass(frozen=True)
class Row:
    """The row of a metric: heading, name, group, explanation, and a cell for each subject."""

    heading: str
    name: str
    group: str
    explanation: str
    cells: list[Cell]


def write_result(result: Result, folder: Path, output: Path) -> Path:
    """Draw the page of a result with the pictures in `folder`, and return `output`."""
    subjects = result.subjects
    rows = [_row(name, result) for name in wording.metric_names([result])]
    methods = {number.method for subject in subjects for number in subject.numbers.values() if number.method}
    return write_page(
        "result.html",
        output,
        r=result,
        title=TITLES[result.kind],
        groups=_groups(rows),
        methods=sorted(methods),
        remarks=wording.remarks(result),
        differences=_differences(result),
        correlations=_correlations(result),
        legend=_colours(result),
        predictions={
            name: wording.prediction(found) for name, found in result.findings.get("predictions", {}).items()
        },
        standing=wording.standing(result.findings.get("standing")),
        attributes=_attributes(subjects),
        pictures={
            caption: data_uri(folder / name)
            for name, caption in PICTURES.items()
            if (folder / name).is_file()
        },
        protocol=flat(result.protocol),
    )


def _row(name: str, result: Result) -> Row:
    quantity = result.quantities.get(name)
    numbers = [subject.numbers.get(name) for subject in result.subjects]
    best = _best(numbers, quantity)
    return Row(
        wording.heading(name, quantity),
        name,
        quantity.group if quantity else "",
        quantity.explanation if quantity else "",
        [_cell(number, quantity, i == best) for i, number in enumerate(numbers)],
    )


def _cell(number: Number | None, quantity: Quantity | None, best: bool) -> Cell:
    if number is None:
        return Cell("–", "", False)
    return Cell(wording.figure(number.value, quantity), wording.interval(number, quantity), best)


def _best(numbers: Sequence[Number | None], quantity: Quantity | None) -> int | None:
    """Return the position of the best of several values; None for a single one or an unknown direction."""
    known = {i: number.value for i, number in enumerate(numbers) if number is not None}
    if quantity is None or len(known) < 2:
        return None
    return (max if quantity.higher_is_better else min)(known, key=lambda i: known[i])


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {
        group: [row for row in rows if row.group == group] for group in dict.fromkeys(r.group for r in rows)
    }


def _differences(result: Result) -> list[tuple[str, list[Cell]]]:
    """Return a row for each score: the difference of every other subject from the first, with its interval."""
    found: dict[str, dict[str, Any]] = result.findings.get("differences", {})
    if not found:
        return []
    rows = []
    for score in next(iter(found.values())):
        quantity = result.quantities.get(score)
        cells = []
        for subject in result.subjects[1:]:
            number = Number(**found[subject.name][score])
            text = wording.figure(number.value, quantity, "+")
            cells.append(Cell(text, wording.interval(number, quantity, "+"), False))
        rows.append((wording.heading(score, quantity), cells))
    return rows


def _colours(result: Result) -> dict[str, str]:
    """Return the colour of each subject whose gFID is known."""
    known = result.findings.get("known_gfid", {})
    names = [subject.name for subject in result.subjects if subject.name in known]
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def _correlations(result: Result) -> list[tuple[str, Markup]]:
    """Return a caption and a chart for every score that was correlated with known gFIDs."""
    known: dict[str, float] = result.findings.get("known_gfid", {})
    colours = _colours(result)
    subjects = [subject for subject in result.subjects if subject.name in colours]
    charts = []
    for score, found in result.findings.get("correlations", {}).items():
        quantity = result.quantities.get(score)
        label = quantity.label if quantity else score
        series = [
            Series(s.name, colours[s.name], [s.numbers[score].value], [known[s.name]]) for s in subjects
        ]
        charts.append((f"{label}: {wording.correlation(found)}", scatter(series, label, "gFID")))
    return charts


def _attributes(subjects: Sequence[Subject]) -> list[tuple[str, list[float]]]:
    """Return the attributes on which the subjects' F1 differs most, or, of a single subject, those with the highest."""
    tables = [subject.details.get("f1", {}) for subject in subjects]
    shared = [name for name in tables[0] if all(name in table for table in tables)]
    values = {name: [table[name] for table in tables] for name in shared}

    def rank(name: str) -> float:
        row = values[name]
        return max(row) - min(row) if len(row) > 1 else row[0]

    return [(name, values[name]) for name in sorted(shared, key=rank, reverse=True)[:ATTRIBUTES_SHOWN]]
