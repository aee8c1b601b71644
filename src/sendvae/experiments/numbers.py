"""The numbers of an experiment's rows and columns, and what scores say of generation over its rows."""

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

GENERATION = "generation"  # group of quantities


def values_of(row: Row, column: Column, scale: Scale, numbers: Mapping[Place, Kept]) -> dict[int, float]:
    """Return the numbers of a row and column by seed."""
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
    """Numbers by row, means over seeds.

    Attributes:
        rows: by name: every score, every target, and the channels of the latent.
        scores: names of what may predict.
        targets: columns of generation by the name that they have in `rows`.
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
    """Return all numbers of the rows that have any."""
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
    """Return, for every number of generation, what all other numbers say of it."""
    given = [CHANNELS, RECONSTRUCTION]
    return [analyse(table.rows, table.scores, target, given) for target in table.targets]
