"""An experiment at a scale, with the results that are there, beside the paper's numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev

from sendvae.evaluation.wording import figure, heading
from sendvae.experiments.cell import Cell
from sendvae.experiments.declaration import Column, Experiment, Row
from sendvae.experiments.kept import Digests, Kept, find_kept
from sendvae.experiments.numbers import analyses_of, seen_from, table_of, values_of
from sendvae.experiments.predictors import Analysis
from sendvae.experiments.printed import Printed, printed_table
from sendvae.experiments.sample_pictures import Picture, pictured, pictures_of
from sendvae.experiments.scale import Place, Scale
from sendvae.experiments.verdicts import Verdict, Word, judge
from sendvae.published import TABLES, PublishedTable
from sendvae.quantities import Quantity

SCATTERED = {"scatter", "predictors"}  # kinds of drawing in which rows are points
OUTCOMES: dict[Word, tuple[str, str]] = {  # the verb for one claim, and for several
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
}


@dataclass(frozen=True)
class Heading:
    """The heading of a column: its label, with the view in brackets, and an explanation."""

    label: str
    explanation: str


@dataclass(frozen=True)
class Line:
    """A row of our table.

    Attributes:
        label: the label in the paper's table with our name in brackets, or our name alone.
        entries: the mean over seeds in each column, with "±" the standard deviation over several; "–" for nothing.
        seeds: the largest number of seeds that a column has.
        note: how the row differs from the paper's.
    """

    label: str
    entries: Sequence[str]
    seeds: int
    note: str


@dataclass(frozen=True)
class MeanCurve:
    """The curve of a row: means over seeds against the share of the training."""

    label: str
    shares: Sequence[float]
    means: Sequence[float]


@dataclass(frozen=True)
class Reproduction:
    """An experiment at a scale, with its results so far.

    Attributes:
        headings, lines: the headings of the columns and the rows of our table.
        printed: the paper's table; None: it prints none.
        done, wanted: the number of cells that have a result, and the number of all cells.
        missing: the rows that the scale does not have, each with the reason.
        refused: the fields that differ of each cell whose kept result has another declaration, by name of the cell.
        curves: the curves of a figure of curves.
        points: the name of every row and its means by label of the column, for a figure of points.
        pictures: the pictures of a figure of samples.
        analyses: an analysis of every metric of generation among the columns, for the predictors.
        devices: the number of results by the device that computed them.
    """

    experiment: Experiment
    scale: Scale
    headings: Sequence[Heading]
    lines: Sequence[Line]
    verdicts: Sequence[Verdict]
    printed: Printed | None
    done: int
    wanted: int
    missing: Sequence[str] = ()
    refused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    curves: Sequence[MeanCurve] = ()
    points: Sequence[tuple[str, Mapping[str, float]]] = ()
    pictures: Sequence[Picture] = ()
    analyses: Sequence[Analysis] = ()
    devices: Mapping[str, int] = field(default_factory=dict)

    @property
    def machines(self) -> str:
        """Return the devices that computed the cells in a sentence; empty without any results."""
        if not self.devices:
            return ""
        said = ", ".join(f"{count} on {device}" for device, count in self.devices.items())
        mixed = "; equal seeds draw equal noise on one kind of device only" if len(self.devices) > 1 else ""
        return f"Cells computed: {said}{mixed}."

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return pairs of labels, x and y: every column with the last one; for predictors, F1 with every other one."""
        labels = [heading.label for heading in self.headings]
        if self.experiment.drawn == "predictors":
            return [(labels[0], label) for label in labels[1:]]
        return [(label, labels[-1]) for label in labels[:-1]]

    @property
    def summary(self) -> str:
        """Return in a sentence how many claims hold at this scale; empty without claims."""
        return f"{outcome(self.verdicts)} at this scale." if self.verdicts else ""

    def count(self, word: Word) -> int:
        """Return the number of claims whose verdict is `word`."""
        return [verdict.word for verdict in self.verdicts].count(word)

    @property
    def label(self) -> str:
        """Return the experiment's name for people, such as "Table 3"."""
        return re.sub(r"^(table|figure)(?=\d)", r"\1 ", self.experiment.name).capitalize()

    @property
    def heading(self) -> str:
        """Return the label and the question."""
        return f"{self.label}: {self.experiment.title}"

    @property
    def command(self) -> str:
        """Return the command that computes the experiment."""
        return f"sendvae reproduce {self.experiment.name} --scale {self.scale.config.title}"


def outcome(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims hold, how many do not, and how many are undecided, without a full stop."""
    words = [verdict.word for verdict in verdicts]
    if not words:
        return "There are no claims"
    if len(words) == 1:
        return f"The claim {OUTCOMES[words[0]][0]}"
    counts = {word: words.count(word) for word in OUTCOMES if word in words}
    if len(counts) == 1:
        return f"{'Both' if len(words) == 2 else f'All {len(words)}'} claims {OUTCOMES[words[0]][1]}"
    said = [f"{count} {OUTCOMES[word][count > 1]}" for word, count in counts.items()]
    return f"Of {len(words)} claims, {', '.join(said)}"


def reproduce(
    experiment: Experiment,
    scale: Scale,
    folders: Sequence[Path],
    digests: Digests | None = None,
    pictures: Mapping[str, Path] | None = None,
) -> Reproduction:
    """Return an experiment at a scale with the results that it has so far.

    Args:
        folders: the folders of kept results. For each cell the first folder that has its result counts.
        digests: the digests that stages have on this machine, by name of the cell and role, where they are known.
        pictures: the pictures of samples by name of the cell; where one is missing, that beside the kept result is shown.

    Raises:
        UserError: the scale is wrong, or a file is no kept result.
    """
    cells = scale.cells(experiment)
    results, refused = results_of(list(cells.values()), folders, digests)
    numbers = {place: results[cell.name] for place, cell in cells.items() if cell.name in results}
    columns = [column for column in experiment.columns if _has(column, experiment, scale, numbers)]
    values = {
        (row, column): values_of(row, column, scale, numbers)
        for row in experiment.rows
        for column in experiment.columns
    }
    quantities = {name: quantity for kept in results.values() for name, quantity in kept.quantities.items()}
    table = TABLES[experiment.table] if experiment.table is not None else None
    present = [row for row in experiment.rows if scale.lacks(row) is None]
    headings = [_heading(column, scale, quantities) for column in columns]
    return Reproduction(
        experiment,
        scale,
        headings,
        [_line(row, columns, values, quantities, table, scale) for row in present],
        [judge(claim, experiment, values) for claim in experiment.claims],
        printed_table(table) if table is not None else None,
        done=len({cell.name for cell in cells.values()} & results.keys()),
        wanted=len({cell.name for cell in cells.values()}),
        missing=[
            f"{row.name}: {reason} at this scale" for row in experiment.rows if (reason := scale.lacks(row))
        ],
        refused=refused,
        devices=Counter(str(kept.environment.get("device", "unknown")) for kept in results.values()),
        curves=_curves(present, columns, values, table) if experiment.drawn == "curves" else (),
        points=_points(present, columns, headings, values) if experiment.drawn in SCATTERED else (),
        analyses=analyses_of(table_of(experiment, scale, cells, numbers, quantities))
        if experiment.drawn == "predictors"
        else (),
        pictures=pictures_of(pictured(experiment, cells), results, folders, pictures or {}),
    )


def results_of(
    cells: Sequence[Cell], folders: Sequence[Path], digests: Digests | None = None
) -> tuple[dict[str, Kept], dict[str, list[str]]]:
    """Return the kept results of cells by name, and the fields in which results of another declaration differ.

    Raises:
        UserError: a file is no kept result.
    """
    results: dict[str, Kept] = {}
    refused: dict[str, list[str]] = {}
    for folder in folders:
        found = find_kept(folder, cells, digests)
        results = found.results | results
        refused = found.others | refused
    return results, {name: fields for name, fields in refused.items() if name not in results}


def _has(column: Column, experiment: Experiment, scale: Scale, numbers: Mapping[Place, Kept]) -> bool:
    """Return whether the scale has a column, and some result of its view has the number, if there are results yet."""
    if all(scale.lacks(row, column.view) for row in experiment.rows):
        return False
    name = scale.metric(column.metric)
    seen = [kept for place, kept in numbers.items() if place.view == column.view]
    return not seen or any(name in kept.numbers for kept in seen)


def _heading(column: Column, scale: Scale, quantities: Mapping[str, Quantity]) -> Heading:
    name = scale.metric(column.metric)
    quantity = quantities.get(name)
    label = heading(name, quantity) + seen_from(column.view)
    return Heading(label, quantity.explanation if quantity else "")


def _points(
    rows: Sequence[Row],
    columns: Sequence[Column],
    headings: Sequence[Heading],
    values: Mapping[tuple[Row, Column], Mapping[int, float]],
) -> list[tuple[str, dict[str, float]]]:
    """Return the names of the rows that have numbers, with their means over seeds by label of the column."""
    found = [
        (
            row.name,
            {
                shown.label: fmean(values[row, column].values())
                for column, shown in zip(columns, headings, strict=True)
                if values[row, column]
            },
        )
        for row in rows
    ]
    return [(name, means) for name, means in found if means]


def _line(
    row: Row,
    columns: Sequence[Column],
    values: Mapping[tuple[Row, Column], Mapping[int, float]],
    quantities: Mapping[str, Quantity],
    table: PublishedTable | None,
    scale: Scale,
) -> Line:
    entries = []
    for column in columns:
        found = list(values[row, column].values())
        quantity = quantities.get(scale.metric(column.metric))
        text = figure(fmean(found), quantity) if found else "–"
        entries.append(text + (f" ± {figure(stdev(found), quantity)}" if len(found) > 1 else ""))
    seeds = max((len(values[row, column]) for column in columns), default=0)
    return Line(_label(row, table), entries, seeds, scale.note(row))


def _label(row: Row, table: PublishedTable | None) -> str:
    """Return the label of a row in the paper's table with our name in brackets, or our name alone."""
    printed = table.rows.get(row.published_row) if table is not None else None
    return row.name if printed in (None, row.name) else f"{printed} ({row.name})"


def _curves(
    rows: Sequence[Row],
    columns: Sequence[Column],
    values: Mapping[tuple[Row, Column], Mapping[int, float]],
    table: PublishedTable | None,
) -> list[MeanCurve]:
    found = []
    for row in rows:
        known = [
            (column.view.at, fmean(values[row, column].values())) for column in columns if values[row, column]
        ]
        if known:
            found.append(
                MeanCurve(_label(row, table), [share for share, _ in known], [mean for _, mean in known])
            )
    return found
