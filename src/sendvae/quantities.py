"""Measured numbers, and how tables and reports show them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Estimate(NamedTuple):
    """A number with its 95 % interval and the method of that interval; both are None where there is no interval."""

    value: float
    interval: tuple[float, float] | None = None
    method: str | None = None


@dataclass(frozen=True)
class Quantity:
    """How every table and report shows a number.

    Attributes:
        label: the title of its column; it may hold fields in braces, which `fill` replaces.
        group: what it is a property of: "reconstruction", "latent space" or "generation".
        higher_is_better: whether higher values are better.
        digits: the number of digits after the decimal point.
        explanation: one line for people; it may hold fields in braces, too.
    """

    label: str
    group: str
    higher_is_better: bool
    digits: int
    explanation: str

    @property
    def arrow(self) -> str:
        """Return an arrow in the direction of better values, "↑" or "↓"."""
        return "↑" if self.higher_is_better else "↓"

    def fill(self, prefix: str = "", **fields: str) -> Quantity:
        """Return the quantity with the fields in braces filled in and `prefix` before the label."""
        return replace(
            self,
            label=prefix + self.label.format(**fields),
            explanation=self.explanation.format(**fields),
        )
