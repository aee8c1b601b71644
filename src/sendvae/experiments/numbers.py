"""The numbers of an experiment's rows and columns, and how scores predict generation over its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sendvae.experiments.cell import Cell
from sendvae.experiments.costs import latent_channels
from sendvae.experiments.declaration import WHOLE, Column, Experiment, Row, View
from sendvae.experiments.kept import Kept
from sendvae.experiments.predictors import CHANNELS, RECONSTRUCTION, Analysis, analyse
from sendvae.experiments.scale import Place, Scale
from sendvae.quantities import Quantity

GENERATION = "generation"  # the group of quantities that are targets


def values_of(row: Row, column: Column, scale: Scale, numbers: Mapping[Place, Kept]) -> dict[int, float]:
    """Return the numbers of a row in a column by seed, from kept results by place."""
    name = scale.metric(column.metric)
    return {
        place.seed: kept.numbers[name].value
        for place, kept in numbers.items()
        if (place.row, place.view) == (row, column.view) and name in kept.numbers
    }


def seen_from(view: View) -> str:
    """Return, in brackets, the settings of a view that are not the defaults; empty if all are."""
    parts = [view.sampling] if view.sampling != WHOLE.sampling else []
    parts += [f"after {view.at:.1%}"] if view.at != WHOLE.at else []
    parts += [view.probe] if view.probe is not None else []
    return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Table:
    """The numbers of the rows, averaged over seeds.

    Attributes:
        rows: the scores, the targets and the number of latent channels of each row, by name of the row.
        scores: the names of the numbers that may predict a target.
        targets: the columns of generation, by their names in `rows`.
    """

    rows: Mapping[str, Mapping[str, float]]
    scores: Sequence[str]
    targets: Mapping[str, Column]


def table_of(
    experiment: Experiment,
    scale: Scale,
    cells: Mapping[Place, Cell],
    numbers: Mapping[Place, Kept],
    quantities: Mapping[str, Quantity],
) -> Table:
    """Return all numbers of the rows that have any.

    Args:
        experiment: the experiment, whose columns of generation are the targets.
        scale: the scale at which its numbers were measured.
        cells: its cells by place.
        numbers: the kept results by place.
        quantities: the quantities of the numbers by name. Those of other groups than generation are the scores.
    """
    scores = [name for name, quantity in quantities.items() if quantity.group != GENERATION]
    targets = {
        scale.metric(column.metric) + seen_from(column.view): column
        for column in experiment.columns
        if scale.metric(column.metric) in quantities and scale.metric(column.metric) not in scores
    }
    rows: dict[str, dict[str, float]] = {}
    for row in dict.fromkeys(place.row for place in numbers):
        own = {name: values_of(row, Column(name), scale, numbers) for name in scores}
        own |= {name: values_of(row, column, scale, numbers) for name, column in targets.items()}
        rows[row.name] = {name: fmean(found.values()) for name, found in own.items() if found}
        cell = next(cell for place, cell in cells.items() if place.row == row)
        rows[row.name][CHANNELS] = latent_channels(cell)
    return Table(rows, [CHANNELS, *scores], targets)


def analyses_of(table: Table) -> list[Analysis]:
    """Return an analysis for every target: how all scores predict it."""
    given = [CHANNELS, RECONSTRUCTION]
    return [analyse(table.rows, table.scores, target, given) for target in table.targets]
