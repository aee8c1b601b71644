"""Numbers in words, as tables and reports show them: labels, directions and digits are those of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendvae.evaluation.results import Number, Result
from sendvae.quantities import Quantity


def metric_names(results: Sequence[Result]) -> list[str]:
    """The numbers of all subjects, in the order in which they first come up."""
    return list(dict.fromkeys(name for r in results for subject in r.subjects for name in subject.numbers))


def quantities_of(results: Sequence[Result]) -> dict[str, Quantity]:
    """How the numbers of results are read; those of results that do not say so are missing."""
    return {name: quantity for result in results for name, quantity in result.quantities.items()}


def heading(name: str, quantity: Quantity | None) -> str:
    """Label and direction; the name itself where nothing more is known."""
    return name if quantity is None else f"{quantity.label} {quantity.arrow}"


def figure(value: float, quantity: Quantity | None, sign: str = "") -> str:
    """A value with its digits; a difference (with a sign) with one more.

    Without a row: four significant digits, of differences four decimals, since most are close to 0.
    """
    if quantity is not None:
        return f"{value:{sign}.{quantity.digits + bool(sign)}f}"
    return f"{value:{sign}.2f}" if abs(value) >= 100 else f"{value:{sign}.4{'f' if sign else 'g'}}"


def interval(number: Number, quantity: Quantity | None, sign: str = "") -> str:
    """The interval in brackets, or nothing."""
    if number.interval is None:
        return ""
    low, high = (figure(bound, quantity, sign) for bound in number.interval)
    return f"[{low}, {high}]"


def correlation(found: dict[str, Any]) -> str:
    """Pearson's r with n, p and interval, Spearman's, and the error of predictions of points left out."""
    if found["r"] is None:
        return f"no r: {found['reason']}"
    text = f"r = {found['r']:.3f}, n = {found['n']}, p = {found['p']:.3g}"
    if found["interval"] is not None:
        low, high = found["interval"]
        text += f", 95 %: {low:.2f} to {high:.2f}"
    if (ranks := found.get("spearman")) and ranks["r"] is not None:
        text += f"; ranks: {ranks['r']:.3f}"
    if left_out := found.get("leave_one_out"):
        text += f"; left out: off by {left_out['error']:.2f} ({left_out['of_mean']:.2f} by the mean alone)"
    return text


def prediction(found: dict[str, Any]) -> str:
    """A predicted gFID with its interval, or why there is none."""
    if found["value"] is None:
        return f"none ({found['reason']})"
    if found["interval"] is None:
        return f"{found['value']:.2f}, of {found['n']} points: no interval"
    low, high = found["interval"]
    return f"{found['value']:.2f}, 95 %: {low:.2f} to {high:.2f} ({found['n']} points)"


def standing(found: dict[str, Any] | None) -> list[str]:
    """What a study says of each tokenizer, in lines; nothing without one."""
    if not found:
        return []
    lines = [
        f"Among the {found['tokenizers']} tokenizers of the study '{found['study']}' ({found['limits']})"
    ]
    return lines + [f"  {name}: {one['said']}" for name, ones in found["of"].items() for one in ones]


def remarks(result: Result) -> list[str]:
    """Which numbers are missing, and why; what to know of those that are there."""
    return [
        f"{subject.name}: {key}: {value}"
        for subject in result.subjects
        for key, value in subject.details.items()
        if key.startswith(("no ", "note "))
    ]
