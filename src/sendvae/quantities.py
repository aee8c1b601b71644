"""A measured number and what is to be known to read it, whichever room measured it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Estimate(NamedTuple):
    """A number with its interval of 95 % and how that came about; None where there is no interval."""

    value: float
    interval: tuple[float, float] | None = None
    method: str | None = None


@dataclass(frozen=True)
class Quantity:
    """How a number is shown: every table and report reads it here.

    Attributes:
        label: the label of a column; may hold fields in braces, which `fill` replaces.
        group: what it is a property of: "reconstruction", "latent space" or "generation".
        higher_is_better: the direction of better.
        digits: after the point.
        explanation: one line; may hold fields too.
    """

    label: str
    group: str
    higher_is_better: bool
    digits: int
    explanation: str

    @property
    def arrow(self) -> str:
        """Points where better is."""
        return "↑" if self.higher_is_better else "↓"

    def fill(self, prefix: str = "", **fields: str) -> Quantity:
        """The same with its fields filled in, and something before the label."""
        return replace(
            self,
            label=prefix + self.label.format(**fields),
            explanation=self.explanation.format(**fields),
        )
