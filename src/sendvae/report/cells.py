"""The cells of an experiment as a page shows them: by method, with labels, colours and the best of each metric."""

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
        record: the document `cells.json`, with the cells and the texts of the page.
        cells: the results of the cells so far, in the order of the record.
        seconds: the seconds of work by kind of stage.
    """

    record: Record
    cells: Sequence[CellResult]
    seconds: Mapping[str, float]

    @property
    def about(self) -> About:
        """Return the texts and choices of the page."""
        return self.record.about

    @cached_property
    def methods(self) -> list[Method]:
        """Return the methods that have cells: the described ones in their order, then the others."""
        names = dict.fromkeys(cell.method for cell in self.cells)
        described = {method.name: method for method in self.about.methods if method.name in names}
        others = [Method(name=name, label=name, description="") for name in names if name not in described]
        return [*described.values(), *others]

    @cached_property
    def labels(self) -> dict[str, str]:
        """Return the label of each method by name."""
        return {method.name: method.label for method in self.methods}

    @cached_property
    def colours(self) -> dict[str, str]:
        """Return the colour of each method by name, which is the same everywhere on the page."""
        return {method.name: COLOURS[i % len(COLOURS)] for i, method in enumerate(self.methods)}

    @cached_property
    def parts(self) -> dict[str, list[Method]]:
        """Return the methods of each part of the table."""
        return {
            part: [method for method in self.methods if method.part == part]
            for part in dict.fromkeys(method.part for method in self.methods)
        }

    @cached_property
    def rivals(self) -> list[str]:
        """Return the names of the methods in the control's part, without the base.

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
        """Return the seeds of the cells, without those of the base, in rising order."""
        return sorted({cell.seed for cell in self.cells if cell.method != self.about.base})

    @cached_property
    def first(self) -> list[CellResult]:
        """Return the cell of the smallest seed of every method."""
        seeds = {
            method.name: min(c.seed for c in self.cells if c.method == method.name) for method in self.methods
        }
        return [cell for cell in self.cells if cell.seed == seeds[cell.method]]

    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Return the quantities of the table's columns by name, for those numbers that some cell has."""
        known = {name: quantity for cell in self.cells for name, quantity in cell.quantities.items()}
        return {name: known[name] for name in (self.about.columns or known) if name in known}

    def values(self, metric: str, method: str) -> list[float]:
        """Return a metric of every cell of a method that has it."""
        own = [cell for cell in self.cells if cell.method == method and metric in cell.metrics]
        return [cell.metrics[metric].value for cell in own]

    def best(self, metric: str) -> str | None:
        """Return the method with the best mean among the rivals; None where none has the metric."""
        names = dict.fromkeys(cell.method for cell in self.competing)
        means = {name: fmean(values) for name in names if (values := self.values(metric, name))}
        if not means or metric not in self.quantities:
            return None
        choose = max if self.quantities[metric].higher_is_better else min
        return choose(means, key=lambda name: means[name])

    def differences(self, metric: str) -> list[Difference]:
        """Return the differences of the rivals from the control; an empty list without a control."""
        if self.about.control is None or metric not in self.quantities:
            return []
        return differences(self.competing, metric, self.about.control)
