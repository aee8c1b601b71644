"""The document `cells.json`, which says which stages belong to which cell, and the results of these stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sendvae.config import Expected
from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.evaluation.results import RESULTS, Number, Result
from sendvae.experiments.about import About
from sendvae.experiments.cell import Cell
from sendvae.experiments.graph import DONE, FAILED, TIMES, Node
from sendvae.experiments.measures import load_resampled
from sendvae.files import write_text
from sendvae.quantities import Quantity
from sendvae.runs import JOURNAL, describe_environment, read_journal, whole_lines

CELLS = "cells.json"
State = Literal["finished", "failed", "missing"]


class StageRecord(BaseModel):
    """The kind of a stage, and its folder relative to that of the experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    folder: str


class CellRecord(BaseModel):
    """A cell with its stages by role, and the numbers that somebody reports for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    method: str
    seed: int
    stages: dict[str, StageRecord]
    expected: list[Expected] = []


class Record(BaseModel):
    """The content of `cells.json`.

    Attributes:
        created: the time (UTC, ISO 8601) at which the cells were last run.
        environment: the versions and the machine of that run.
        about: the texts and choices of the page.
        cells: the cells that were last run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    created: str
    environment: dict[str, str | int]
    about: About
    cells: list[CellRecord]


@dataclass(frozen=True)
class TrainingCurve:
    """Scalars against images seen. An entry is None where a line of the journal lacks the scalar."""

    images: list[int]
    series: dict[str, list[float | None]]


@dataclass(frozen=True)
class CellResult:
    """The results that a cell has so far.

    Attributes:
        expected: the numbers that somebody reports for the cell.
        states: the states of the stages by role.
        errors: the reasons why stages failed, by role.
        metrics: the numbers of all finished stages by name, with their intervals.
        quantities: the label, direction and digits of each number.
        curves: the curves of trainings, begun or finished, by role.
        pictures: the paths of pictures by name ("reconstructions", "latents", "samples", ...).
        attribute_f1: the F1 of the probe by attribute.
        resampled: the values of each score on every resample of the test images, by name of the score.
        seconds: the seconds that finished stages took, by role.
        peak_memory_gib: the largest peak memory of any finished stage, in GiB.
    """

    name: str
    method: str
    seed: int
    expected: list[Expected]
    states: dict[str, State] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    curves: dict[str, TrainingCurve] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    attribute_f1: dict[str, float] = field(default_factory=dict)
    resampled: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_gib: float = 0.0


def save_record(
    folder: Path, cells: Sequence[Cell], nodes: Sequence[Mapping[str, Node]], about: About | None
) -> None:
    """Write `cells.json` into the folder of an experiment.

    Args:
        folder: the folder of the experiment.
        cells: the cells that are run.
        nodes: the nodes of each cell by role.
        about: the texts and choices of the page; None: the defaults.
    """
    record = Record(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe_environment(),
        about=about or About(),
        cells=[_record_of(cell, stages, folder) for cell, stages in zip(cells, nodes, strict=True)],
    )
    write_text(folder / CELLS, record.model_dump_json(indent=1) + "\n")


def _record_of(cell: Cell, nodes: Mapping[str, Node], folder: Path) -> CellRecord:
    return CellRecord(
        name=cell.name,
        method=cell.method,
        seed=cell.seed,
        stages={
            role: StageRecord(kind=node.kind, folder=node.folder.relative_to(folder).as_posix())
            for role, node in nodes.items()
        },
        expected=list(cell.expected),
    )


def result_of(cell: Cell, nodes: Mapping[str, Node], folder: Path) -> CellResult:
    """Return the results that one cell has so far, whichever cells were run last.

    Args:
        cell: the cell.
        nodes: the nodes of its stages by role.
        folder: the folder of the experiment.

    Raises:
        UserError: the result of a finished stage is damaged.
    """
    return _result_of(_record_of(cell, nodes, folder), folder)


def load_record(folder: Path) -> Record:
    """Return the content of `cells.json` in a folder.

    Raises:
        UserError: the folder has no `cells.json`, or it is damaged.
    """
    path = folder / CELLS
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError("no experiment", given=f"no {CELLS} in {folder}") from None
    except ValidationError as error:
        raise UserError(
            f"{path} is damaged",
            given=first_fault(error),
            next_step="run the experiment's command again, which writes it anew and keeps what is finished",
        ) from None


def load_cells(folder: Path) -> list[CellResult]:
    """Return the results that the cells of an experiment have so far; they need not be finished, nor have begun.

    Raises:
        UserError: as in `load_record`, or if the result of a finished stage is damaged.
    """
    return [_result_of(cell, folder) for cell in load_record(folder).cells]


def _result_of(cell: CellRecord, folder: Path) -> CellResult:
    result = CellResult(cell.name, cell.method, cell.seed, cell.expected)
    peaks = [0.0]
    for role, stage in cell.stages.items():
        place = folder / stage.folder
        if (place / JOURNAL).is_file():
            result.curves[role] = read_curve(place / JOURNAL)
        result.states[role] = "finished" if (place / DONE).is_file() else "missing"
        if result.states[role] == "finished":
            done = _read(place / DONE)
            result.seconds[role] = done["seconds"]
            peaks.append(done["peak_memory_gib"])
            _add_results(result, place)
        elif (place / FAILED).is_file():
            result.states[role] = "failed"
            result.errors[role] = _read(place / FAILED)["error"]
    return replace(result, peak_memory_gib=max(peaks))


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file in the folder of a stage.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise UserError(
            f"{path} is damaged",
            given="not JSON: cut short, or changed",
            next_step=f"remove its folder, {path.parent}, and run the experiment's command again, which computes this stage anew",
        ) from None


def _add_results(result: CellResult, place: Path) -> None:
    """Add the results of a finished stage, which lie in folders of their own, and the pictures beside them."""
    for path in sorted(place.glob(f"*/{RESULTS}")):
        found = Result.load(path)
        (subject,) = found.subjects
        result.metrics.update(subject.numbers)
        result.quantities.update(found.quantities)
        result.attribute_f1.update(subject.details.get("f1", {}))
    result.pictures.update({path.stem: path for path in sorted(place.glob("*.png"))})
    result.resampled.update(load_resampled(place))


def load_times(folder: Path) -> dict[str, float]:
    """Return the seconds of work by kind of stage, summed over all attempts of all stages."""
    path = folder / TIMES
    totals: dict[str, float] = {}
    for entry in whole_lines(path) if path.is_file() else []:
        totals[entry["kind"]] = totals.get(entry["kind"], 0.0) + entry["seconds"]
    return totals


def read_curve(journal: Path) -> TrainingCurve:
    """Return the scalars of a training from its journal."""
    columns = read_journal(journal)
    images = [int(value) for value in columns.pop("images", []) if value is not None]
    columns.pop("step", None)
    return TrainingCurve(images, columns)
