"""Formats numbers for tables and reports, with the labels, directions and digits of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sendvae.evaluation.results import Number, Result
from sendvae.quantities import Quantity


def metric_names(results: Sequence[Result]) -> list[str]:
    """Return the names of all subjects' numbers, in the order of their first appearance."""
    return list(dict.fromkeys(name for r in results for subject in r.subjects for name in subject.numbers))


def quantities_of(results: Sequence[Result]) -> dict[str, Quantity]:
    """Return the quantities of the numbers of results, as far as the results hold them."""
    return {name: quantity for result in results for name, quantity in result.quantities.items()}


def heading(name: str, quantity: Quantity | None) -> str:
    """Return label and direction of a number; its name if no quantity is known."""
    return name if quantity is None else f"{quantity.label} {quantity.arrow}"


def figure(value: float, quantity: Quantity | None, sign: str = "") -> str:
    """Format a value with its digits; a difference gets a sign and one more digit.

    Without a row: four significant digits, of differences four decimals, since most are close to 0.
    """
    if quantity is not None:
        return f"{value:{sign}.{quantity.digits + bool(sign)}f}"
    return f"{value:{sign}.2f}" if abs(value) >= 100 else f"{value:{sign}.4{'f' if sign else 'g'}}"


def interval(number: Number, quantity: Quantity | None, sign: str = "") -> str:
    """Format the interval in brackets; empty without one."""
    if number.interval is None:
        return ""
    low, high = (figure(bound, quantity, sign) for bound in number.interval)
    return f"[{low}, {high}]"


def correlation(found: dict[str, Any]) -> str:
    """Format Pearson's r with n, p and interval, Spearman's, and the leave-one-out prediction error."""
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
    """Format a predicted gFID with its interval, or the reason why there is none."""
    if found["value"] is None:
        return f"none ({found['reason']})"
    if found["interval"] is None:
        return f"{found['value']:.2f}, of {found['n']} points: no interval"
    low, high = found["interval"]
    return f"{found['value']:.2f}, 95 %: {low:.2f} to {high:.2f} ({found['n']} points)"


def standing(found: dict[str, Any] | None) -> list[str]:
    """Return the lines that a study's standing gives each tokenizer; empty without a study."""
    if not found:
        return []
    lines = [
        f"Among the {found['tokenizers']} tokenizers of the study '{found['study']}' ({found['limits']})"
    ]
    return lines + [f"  {name}: {one['said']}" for name, ones in found["of"].items() for one in ones]


def remarks(result: Result) -> list[str]:
    """Return notes on numbers that are missing, with the reason, and on those that need a caution."""
    return [
        f"{subject.name}: {key}: {value}"
        for subject in result.subjects
        for key, value in subject.details.items()
        if key.startswith(("no ", "note "))
    ]
