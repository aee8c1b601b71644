"""`cells.json`: which stages belong to which cell; and what is finished of them."""

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
from sendvae.runs import describe_environment, read_journal, whole_lines

CELLS = "cells.json"
JOURNAL = "metrics.jsonl"
State = Literal["finished", "failed", "missing"]


class StageRecord(BaseModel):
    """Where a stage of a cell lies, below the folder of the experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    folder: str


class CellRecord(BaseModel):
    """A cell, and its stages by role."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    method: str
    seed: int
    stages: dict[str, StageRecord]
    expected: list[Expected] = []


class Record(BaseModel):
    """The document.

    Attributes:
        created: when the cells were last run.
        environment: the machine and the versions with which they were run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    created: str
    environment: dict[str, str | int]
    about: About
    cells: list[CellRecord]


@dataclass(frozen=True)
class Curve:
    """Scalars against images seen; None where a line of the journal lacks one."""

    images: list[int]
    series: dict[str, list[float | None]]


@dataclass(frozen=True)
class CellResult:
    """What is there of a cell.

    Attributes:
        states: the state of each stage, by role.
        errors: the reason why a stage failed, by role.
        metrics: the numbers of all finished stages, with their intervals, by name.
        quantities: the label, direction and digits of each number, by name.
        curves: the curves of trainings that have begun, by role.
        pictures: the files of pictures by name ("reconstructions", "latents", "samples", ...).
        attribute_f1: the probe's F1 of each attribute.
        resampled: the scores of every resample of the test images, by name.
        seconds: the seconds that each finished stage took, by role.
        peak_memory_gib: the largest peak memory of a stage's process, in GiB.
    """

    name: str
    method: str
    seed: int
    expected: list[Expected]
    states: dict[str, State] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    quantities: dict[str, Quantity] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
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
        nodes: the nodes of the graph that each cell consists of, by role.
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
    """Return what is there of one cell, whichever cells were run last.

    Args:
        nodes: the nodes of its stages, by role.
        folder: the folder of the experiment.

    Raises:
        UserError: a finished stage whose result is damaged.
    """
    return _result_of(_record_of(cell, nodes, folder), folder)


def load_record(folder: Path) -> Record:
    """Return what `cells.json` in a folder says.

    Raises:
        UserError: there is none, or it is damaged.
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
    """Return what is there of the cells of an experiment, which need not be finished, nor have begun.

    Raises:
        UserError: as `load_record`; or a finished stage whose result is damaged.
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
    """Return what a file in the folder of a stage says.

    Raises:
        UserError: it is damaged.
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
    """Add what a finished stage found: results in folders of their own, pictures beside them."""
    for path in sorted(place.glob(f"*/{RESULTS}")):
        found = Result.load(path)
        (subject,) = found.subjects
        result.metrics.update(subject.numbers)
        result.quantities.update(found.quantities)
        result.attribute_f1.update(subject.details.get("f1", {}))
    result.pictures.update({path.stem: path for path in sorted(place.glob("*.png"))})
    result.resampled.update(load_resampled(place))


def load_times(folder: Path) -> dict[str, float]:
    """Return the seconds of work by kind of stage, of all attempts; the same stage may have had several."""
    path = folder / TIMES
    totals: dict[str, float] = {}
    for entry in whole_lines(path) if path.is_file() else []:
        totals[entry["kind"]] = totals.get(entry["kind"], 0.0) + entry["seconds"]
    return totals


def read_curve(journal: Path) -> Curve:
    """Return the scalars of a run."""
    columns = read_journal(journal)
    images = [int(value) for value in columns.pop("images", []) if value is not None]
    columns.pop("step", None)
    return Curve(images, columns)
