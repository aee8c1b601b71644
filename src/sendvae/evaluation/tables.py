"""Results as tables to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from sendvae.evaluation.findings import describe
from sendvae.evaluation.results import Number, Result, check_comparable


def print_result(result: Result, console: Console) -> None:
    """Every number of every subject, with its interval."""
    names = _metric_names([result])
    header = ["", *(subject.name for subject in result.subjects)]
    table = Table(*header, box=None, header_style="bold")
    for name in names:
        table.add_row(name, *(show(subject.numbers.get(name)) for subject in result.subjects))
    console.print(table)
    for subject in result.subjects:
        for key, value in subject.details.items():
            if key.startswith("no "):
                console.print(f"{subject.name}: {key}: {value}", style="dim")
    for score, found in result.findings.get("correlations", {}).items():
        console.print(f"{score} and gFID: {describe(found)}", highlight=False)
    for name, found in result.findings.get("predictions", {}).items():
        console.print(f"gFID of {name} by its {found['from']}: {_predicted(found)}", highlight=False)
    counts = {subject.input.images for subject in result.subjects}
    for count in sorted(count for count in counts if count is not None):
        console.print(f"{count:,} images; intervals of 95 %", style="dim")


def print_comparison(results: Sequence[Result], names: Sequence[str], console: Console) -> None:
    """Results side by side, with the difference from the first.

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
    table = Table("", *(name for name, _ in columns), box=None, header_style="bold")
    for metric in _metric_names(results):
        first = columns[0][1].numbers.get(metric)
        cells = [show(first)]
        for _, subject in columns[1:]:
            number = subject.numbers.get(metric)
            difference = f"  ({number.value - first.value:+.4g})" if number and first else ""
            cells.append(show(number) + difference)
        table.add_row(metric, *cells)
    console.print(table)


def show(number: Number | None) -> str:
    """A number to four or five digits, and its interval."""
    if number is None:
        return "-"
    text = _digits(number.value)
    if number.interval is None:
        return text
    return f"{text} [{_digits(number.interval[0])}, {_digits(number.interval[1])}]".replace("[", r"\[")


def _predicted(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"none ({found['reason']})"
    if found["interval"] is None:
        return f"{found['value']:.2f}, of {found['n']} points: no interval"
    low, high = found["interval"]
    return f"{found['value']:.2f}, 95 %: {low:.2f} to {high:.2f} ({found['n']} points)"


def _digits(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 100 else f"{value:.4g}"


def _metric_names(results: Sequence[Result]) -> list[str]:
    """In the order in which they first come up."""
    return list(dict.fromkeys(name for r in results for subject in r.subjects for name in subject.numbers))
