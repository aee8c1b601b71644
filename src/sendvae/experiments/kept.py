"""Results of finished cells as files of a few kilobytes, which a repository can hold. Pages are drawn from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sendvae.documents import first_fault
from sendvae.errors import UserError
from sendvae.evaluation.results import Number, differing_fields
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.record import CellResult
from sendvae.experiments.stages import STAGES, config_of
from sendvae.files import update_file
from sendvae.quantities import Quantity
from sendvae.runs import describe_environment, locked

Digests = Mapping[str, Mapping[str, str]]  # digests of stages (`Node.digest`), by name of the cell and role

DIGITS = 7  # significant digits of a number in a file
SUFFIX = ".json"
FORMAT = 1  # of a file
QUANTITIES = "quantities.json"  # beside the results: the quantities of their numbers, once for all of them
Table = dict[str, Quantity]
TABLE = TypeAdapter(Table)


class KeptStage(BaseModel):
    """The digest of a finished stage (`Node.digest`), and the seconds that it took."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    seconds: float


class Kept(BaseModel):
    """The kept result of a finished cell.

    Attributes:
        declaration: every choice that the numbers depend on. A result with another declaration is of another cell.
        stages: the finished stages by role.
        numbers: the values by name, with an interval where there is one.
        quantities: the label, direction and digits of each number, in the order of the numbers. The file of the result
            holds only the entries that `QUANTITIES` lacks or has otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    cell: str
    method: str
    seed: int
    declaration: dict[str, Any]
    stages: dict[str, KeptStage]
    numbers: dict[str, Number]
    quantities: Table
    environment: dict[str, str | int]

    @property
    def values(self) -> dict[str, float]:
        """Return the numbers without their intervals."""
        return {name: number.value for name, number in self.numbers.items()}


def declaration_of(cell: Cell) -> dict[str, Any]:
    """Return every choice that a cell's numbers depend on, except the content of files, ready for JSON."""
    roles = {id(stage): role for role, stage in cell.stages.items()}

    def declared(stage: Stage) -> dict[str, Any]:
        return {
            "kind": stage.kind,
            "version": STAGES[stage.kind].version,
            "config": config_of(stage.config, stage.inputs),
            "inputs": {name: named(given) for name, given in stage.inputs.items()},
        }

    def named(given: Stage | str) -> Any:
        if isinstance(given, str):
            return given
        return f"the cell's {roles[id(given)]}" if id(given) in roles else declared(given)

    return json.loads(json.dumps({role: declared(stage) for role, stage in cell.stages.items()}))


def keep(folder: Path, cell: Cell, result: CellResult, digests: Mapping[str, str]) -> Path | None:
    """Write a cell's result into a folder and return the file. If a stage is not finished, write nothing, return None.

    Args:
        folder: the folder of results, which is made if it does not exist.
        cell: the cell as it is declared.
        result: the cell's numbers.
        digests: the digests of the cell's stages (`Node.digest`), by role.
    """
    if any(state != "finished" for state in result.states.values()):
        return None
    kept = Kept(
        cell=cell.name,
        method=cell.method,
        seed=cell.seed,
        declaration=declaration_of(cell),
        stages={role: KeptStage(digest=digests[role], seconds=result.seconds[role]) for role in cell.stages},
        numbers={name: _rounded(number) for name, number in result.metrics.items()},
        quantities=result.quantities,
        environment=describe_environment(),
    )
    path = folder / f"{cell.name}{SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    table = _add_to_table(folder / QUANTITIES, kept.quantities)
    content = kept.model_dump() | {
        "numbers": {name: number.model_dump(exclude_none=True) for name, number in kept.numbers.items()},
        "quantities": _texts_of({name: one for name, one in kept.quantities.items() if table[name] != one}),
    }
    _write(path, content)
    return path


def _add_to_table(path: Path, quantities: Table) -> Table:
    """Add the quantities that the table in a file lacks, and return the table. Entries that it has stay as they are."""
    with locked(path):  # several processes keep results in one folder
        table = load_table(path)
        if quantities.keys() - table.keys():
            table = quantities | table
            _write(path, _texts_of(table))
    return table


def _texts_of(quantities: Table) -> dict[str, Any]:
    return {name: asdict(quantity) for name, quantity in quantities.items()}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with a line for each part and each number, so that diffs are short. Leave an equal file alone."""
    lines = [f' "{key}": {_text(value)}' for key, value in content.items()]
    update_file(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _text(value: Any) -> str:
    if isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values()):
        return "{\n" + ",\n".join(f'  "{key}": {json.dumps(inner)}' for key, inner in value.items()) + "\n }"
    return json.dumps(value)


def _rounded(number: Number) -> Number:
    def short(value: float) -> float:
        return float(f"{value:.{DIGITS}g}")

    interval = None if number.interval is None else (short(number.interval[0]), short(number.interval[1]))
    return Number(value=short(number.value), interval=interval, method=number.method)


@dataclass(frozen=True)
class Found:
    """The kept results of some cells that a folder has.

    Attributes:
        results: the results with the same declaration as the cell, by name of the cell.
        others: the fields in which a result's declaration differs from the cell's, by name of the cell.
    """

    results: dict[str, Kept]
    others: dict[str, list[str]]


def find_kept(folder: Path, cells: Sequence[Cell], digests: Digests | None = None) -> Found:
    """Return the kept results of cells. Results of another declaration or of other files are named, but never used.

    Args:
        folder: the folder of results.
        cells: the cells to look for.
        digests: the digests that the stages have on this machine, where they are known.

    Raises:
        UserError: a file is no kept result.
    """
    results, others = {}, {}
    table = load_table(folder / QUANTITIES)
    for cell in {cell.name: cell for cell in cells}.values():
        path = folder / f"{cell.name}{SUFFIX}"
        if not path.is_file():
            continue
        kept = load_kept(path, table)
        differing = differing_fields(kept.declaration, declaration_of(cell))
        if not differing and digests is not None and cell.name in digests:
            theirs = {role: stage.digest for role, stage in kept.stages.items()}
            differing = [
                f"images or weights that it was made from: {line}"
                for line in differing_fields(theirs, digests[cell.name])
            ]
        if differing:
            others[cell.name] = differing
        else:
            results[cell.name] = kept
    return Found(results, others)


def load_kept(path: Path, table: Table) -> Kept:
    """Return a kept result.

    Args:
        path: the file of the result.
        table: the quantities of numbers for which the file itself has none.

    Raises:
        UserError: the file is no kept result, or one of its numbers has no quantity.
    """
    try:
        kept = Kept.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["loc"] == ("format",) and fault["type"] == "literal_error":
            raise UserError(
                f"{path} was written by another version of sendvae",
                given=f"format: {fault['input']}",
                expected=f"format: {FORMAT}",
                next_step="use that version, or move the file away; the cell is then computed anew",
            ) from None
        raise UserError(
            f"{path} is no result of a cell",
            given=first_fault(error),
            next_step="remove the file, or restore it; the cell is then computed anew",
        ) from None
    known = table | kept.quantities
    if unknown := [name for name in kept.numbers if name not in known]:
        raise UserError(
            f"nothing says how numbers of {path} are read",
            given=", ".join(unknown),
            expected=f"an entry for each in {path.parent / QUANTITIES}",
            next_step="restore that file, which lies beside the results that it belongs to",
        )
    return kept.model_copy(update={"quantities": {name: known[name] for name in kept.numbers}})


def load_table(path: Path) -> Table:
    """Return the quantities in a file by name of the number; an empty table if the file does not exist.

    Raises:
        UserError: the file is no table of quantities.
    """
    if not path.is_file():
        return {}
    try:
        return TABLE.validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path} does not say how numbers are read",
            given=first_fault(error),
            next_step="restore the file; or remove it with the results beside it, which are then computed anew",
        ) from None
