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
    table = _table(header)
    below = len(result.subjects) > 1
    for name in names:
        table.add_row(name, *(show(subject.numbers.get(name), below=below) for subject in result.subjects))
    console.print(table)
    for subject in result.subjects:
        for key, value in subject.details.items():
            if key.startswith("no "):
                console.print(f"{subject.name}: {key}: {value}", style="dim")
    if differences := result.findings.get("differences"):
        print_differences(result.subjects[0].name, differences, console)
    for score, found in result.findings.get("correlations", {}).items():
        console.print(f"{score} and gFID: {describe(found)}", highlight=False)
    for name, found in result.findings.get("predictions", {}).items():
        console.print(f"gFID of {name} by its {found['from']}: {_predicted(found)}", highlight=False)
    counts = {subject.input.images for subject in result.subjects}
    images = [f"{count:,} images; " for count in sorted(count for count in counts if count is not None)]
    for count in images or [""]:
        console.print(f"{count}intervals of 95 %", style="dim")


def print_differences(first: str, differences: dict[str, dict[str, Any]], console: Console) -> None:
    """Of every other tokenizer from the first, each score with the interval of the difference."""
    table = _table([f"minus {first}", *differences])
    for score in next(iter(differences.values())):
        found = [Number(**scores[score]) for scores in differences.values()]
        table.add_row(score, *(show(number, "+", below=True) for number in found))
    console.print()
    console.print(table)


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
    table = _table(["", *(name for name, _ in columns)])
    for metric in _metric_names(results):
        first = columns[0][1].numbers.get(metric)
        cells = [show(first)]
        for _, subject in columns[1:]:
            number = subject.numbers.get(metric)
            difference = f"  ({number.value - first.value:+.4g})" if number and first else ""
            cells.append(show(number) + difference)
        table.add_row(metric, *cells)
    console.print(table)


def _table(header: Sequence[str]) -> Table:
    """The first column names scores, and is never cut."""
    table = Table(box=None, header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, no_wrap=i == 0)
    return table


def show(number: Number | None, sign: str = "", below: bool = False) -> str:
    """A number to four or five digits, and its interval (`below` it).

    Args:
        sign: "+" shows that of positive numbers too.
    """
    if number is None:
        return "-"
    text = _digits(number.value, sign)
    if number.interval is None:
        return text
    low, high = (_digits(bound, sign) for bound in number.interval)
    return text + ("\n" if below else " ") + rf"\[{low}, {high}]"


def _predicted(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return f"none ({found['reason']})"
    if found["interval"] is None:
        return f"{found['value']:.2f}, of {found['n']} points: no interval"
    low, high = found["interval"]
    return f"{found['value']:.2f}, 95 %: {low:.2f} to {high:.2f} ({found['n']} points)"


def _digits(value: float, sign: str = "") -> str:
    """Four significant digits; of differences (with a sign) four decimals, since most are close to 0."""
    return f"{value:{sign}.2f}" if abs(value) >= 100 else f"{value:{sign}.4{'f' if sign else 'g'}}"


def _metric_names(results: Sequence[Result]) -> list[str]:
    """In the order in which they first come up."""
    return list(dict.fromkeys(name for r in results for subject in r.subjects for name in subject.numbers))
