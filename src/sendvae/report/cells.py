"""The cells of an experiment as a page sees them: by method, with labels, colours and who is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from sendvae.experiments.about import About, Method
from sendvae.experiments.findings import Difference, differences
from sendvae.experiments.record import CellResult, Record
from sendvae.quantities import Quantity
from sendvae.report.plots import COLOURS


@dataclass(frozen=True)
class Experiment:
    """The data of the page of an experiment.

    Attributes:
        record: which cells there are, and what is to be said of them.
        cells: what is there of each, in the order of the record.
        seconds: of work, by kind of stage.
    """

    record: Record
    cells: Sequence[CellResult]
    seconds: Mapping[str, float]

    @property
    def about(self) -> About:
        """Texts and choices."""
        return self.record.about

    @cached_property
    def methods(self) -> list[Method]:
        """Those that have cells: the described ones in their order, then the others."""
        names = dict.fromkeys(cell.method for cell in self.cells)
        described = {method.name: method for method in self.about.methods if method.name in names}
        others = [Method(name=name, label=name, description="") for name in names if name not in described]
        return [*described.values(), *others]

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each method is called."""
        return {method.name: method.label for method in self.methods}

    @cached_property
    def colours(self) -> dict[str, str]:
        """Of each method, the same everywhere."""
        return {method.name: COLOURS[i % len(COLOURS)] for i, method in enumerate(self.methods)}

    @cached_property
    def parts(self) -> dict[str, list[Method]]:
        """The methods of each part of the table."""
        return {
            part: [method for method in self.methods if method.part == part]
            for part in dict.fromkeys(method.part for method in self.methods)
        }

    @cached_property
    def rivals(self) -> list[str]:
        """The methods of the control's part, but not the base.

        Without a control these are all methods, or none if the table has several parts.
        """
        part = next((method.part for method in self.methods if method.name == self.about.control), None)
        if part is None and len(self.parts) > 1:
            return []
        own = self.methods if part is None else self.parts[part]
        return [method.name for method in own if method.name != self.about.base]

    @cached_property
    def competing(self) -> list[CellResult]:
        """Return the cells of the rivals."""
        return [cell for cell in self.cells if cell.method in self.rivals]

    @cached_property
    def seeds(self) -> list[int]:
        """Of the cells that are not the base's."""
        return sorted({cell.seed for cell in self.cells if cell.method != self.about.base})

    @cached_property
    def first(self) -> list[CellResult]:
        """Of every method the cell of the first seed."""
        seeds = {
            method.name: min(c.seed for c in self.cells if c.method == method.name) for method in self.methods
        }
        return [cell for cell in self.cells if cell.seed == seeds[cell.method]]

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """How the columns of the table are read, of those that some cell has."""
        known = {name: quantity for cell in self.cells for name, quantity in cell.quantities.items()}
        return {name: known[name] for name in (self.about.columns or known) if name in known}

    def values(self, metric: str, method: str) -> list[float]:
        """Return a number of every finished cell of a method."""
        own = [cell for cell in self.cells if cell.method == method and metric in cell.metrics]
        return [cell.metrics[metric].value for cell in own]

    def best(self, metric: str) -> str | None:
        """Return the method with the best mean, among those that compete; None where there is none."""
        names = dict.fromkeys(cell.method for cell in self.competing)
        means = {name: fmean(values) for name in names if (values := self.values(metric, name))}
        if not means or metric not in self.quantities:
            return None
        choose = max if self.quantities[metric].higher_is_better else min
        return choose(means, key=lambda name: means[name])

    def differences(self, metric: str) -> list[Difference]:
        """Return how far the methods lie from the control; nothing without one."""
        if self.about.control is None or metric not in self.quantities:
            return []
        return differences(self.competing, metric, self.about.control)
