"""Prints results as tables in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sendvae.evaluation import wording
from sendvae.evaluation.results import Number, Result, check_comparable
from sendvae.quantities import Quantity


def print_result(result: Result, console: Console) -> None:
    """Print every number of every subject, with its interval."""
    known = result.quantities
    below = len(result.subjects) > 1
    rows = [
        (
            *_named(name, known),
            *(show(subject.numbers.get(name), known.get(name), below=below) for subject in result.subjects),
        )
        for name in wording.metric_names([result])
    ]
    _print_table("", [subject.name for subject in result.subjects], rows, console)
    for remark in wording.remarks(result):
        console.print(remark, style="dim", markup=False)
    if differences := result.findings.get("differences"):
        print_differences(result.subjects[0].name, differences, known, console)
    for score, found in result.findings.get("correlations", {}).items():
        console.print(f"{score} and gFID: {wording.correlation(found)}", highlight=False)
    for name, found in result.findings.get("predictions", {}).items():
        console.print(f"gFID of {name} by its {found['from']}: {wording.prediction(found)}", highlight=False)
    for line in wording.standing(result.findings.get("standing")):
        console.print(line, highlight=False, markup=False)
    counts = {subject.input.images for subject in result.subjects}
    images = [f"{count:,} images; " for count in sorted(count for count in counts if count is not None)]
    for count in images or [""]:
        console.print(f"{count}arrows point where better is; intervals of 95 %", style="dim")


def print_differences(
    first: str, differences: dict[str, dict[str, Any]], known: Mapping[str, Quantity], console: Console
) -> None:
    """Print, for every tokenizer but the first, the difference of each score from the first's, with its interval."""
    rows = []
    for score in dict.fromkeys(score for scores in differences.values() for score in scores):
        # Tokens without a grid have no score of one.
        found = [Number(**scores[score]) if score in scores else None for scores in differences.values()]
        rows.append(
            (*_named(score, known), *(show(number, known.get(score), "+", below=True) for number in found))
        )
    console.print()
    _print_table(f"minus {first}", list(differences), rows, console)


def print_comparison(results: Sequence[Result], names: Sequence[str], console: Console) -> None:
    """Print results side by side, with the differences from the first.

    Raises:
        UserError: they were measured differently.
    """
    for name, result in zip(names[1:], results[1:], strict=True):
        check_comparable(results[0], result, (names[0], name))
    columns = [
        (subject.name if len(result.subjects) > 1 else name, subject)
        for name, result in zip(names, results, strict=True)
        for subject in result.subjects
    ]
    known = wording.quantities_of(results)
    rows = []
    for metric in wording.metric_names(results):
        first, quantity = columns[0][1].numbers.get(metric), known.get(metric)
        cells = [show(first, quantity)]
        for _, subject in columns[1:]:
            number = subject.numbers.get(metric)
            difference = ""
            if number and first:
                difference = f"  ({wording.figure(number.value - first.value, quantity, '+')})"
            cells.append(show(number, quantity) + difference)
        rows.append((*_named(metric, known), *cells))
    _print_table("", [name for name, _ in columns], rows, console)


def show(number: Number | None, quantity: Quantity | None, sign: str = "", below: bool = False) -> str:
    """Format a number and its interval, with `below` on the next line.

    Args:
        sign: "+" shows that of positive numbers too.
    """
    if number is None:
        return "-"
    text = wording.figure(number.value, quantity, sign)
    around = wording.interval(number, quantity, sign)
    return text + (("\n" if below else " ") + escape(around) if around else "")


def _named(name: str, known: Mapping[str, Quantity]) -> tuple[str, str]:
    """Return label and direction of a number, and its name in files and options."""
    return wording.heading(name, known.get(name)), name if name in known else ""


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows of a label, a name and a cell for every column, which are never cut.

    Columns for which there is no room beside the others stand below, in a table with the same names.
    """
    label, name, *widths = (_width([row[i] for row in rows]) for i in range(2 + len(columns)))
    names = max(label, len(title) + 2) + name
    parts: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        used = names + sum(widths[j] for j in parts[-1])
        if parts[-1] and used + width > console.width:
            parts.append([])
        parts[-1].append(i)
    for number, part in enumerate(parts):
        table = Table(box=None, header_style="bold")
        table.add_column(title, no_wrap=True)
        table.add_column("", no_wrap=True, style="dim")
        for i in part:
            table.add_column(columns[i])
        for heading, key, *cells in rows:
            table.add_row(heading, key, *(cells[i] for i in part))
        if number:
            console.print()
        console.print(table)


def _width(cells: Sequence[str]) -> int:
    """Return how wide a column of these is, with the spaces beside it."""
    lines = (line for cell in cells for line in Text.from_markup(cell).plain.splitlines())
    return max(map(len, lines), default=0) + 2
