"""The record of the harness's trials and their outcomes: docs/results/reliability.json."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import machine

from sendvae import __version__
from sendvae.files import write_text

RECORD = Path(__file__).parents[2] / "docs/results/reliability.json"
Machine = dict[str, str | int | float]
FACTS = ("processor", "cores", "memory_gib", "python", "torch")  # of the machine


@dataclass(frozen=True)
class Row:
    """The trials of one mishap with one stage, or of one kind of damaged input.

    Attributes:
        what: the mishap, or the kind of input.
        stage: the stage; empty for an input.
        cases: the number of cases that were tried.
        good: of a mishap, the cases that left finished parts to go on from; of an input, those that were refused.
        files: the number of files that were compared with the undisturbed ones after each case.
        failures: the number of cases in which a promise did not hold.
        date, version: the date of the trials, and the version of the package.
        machine: the number of the machine among those of the record.
    """

    what: str
    stage: str
    cases: int
    good: int
    files: int
    failures: int
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    version: str = __version__
    machine: int = 0


class Record:
    """The rows so far, to which several threads may add.

    Args:
        path: the path of the record.
        anew: whether to forget the rows that are there.
        beside: whether to keep the rows of other machines.

    Attributes:
        machines: the machines on which the rows were made.
        rows: the rows by mishap or kind of input, and stage.

    Raises:
        ValueError: there are rows of another machine, and neither `anew` nor `beside` is given.
    """

    def __init__(self, path: Path = RECORD, anew: bool = False, beside: bool = False) -> None:
        self.path, self._lock = path, threading.Lock()
        self.machines: list[Machine] = []
        self.rows: dict[tuple[str, str], Row] = {}
        here: Machine = {name: machine()[name] for name in FACTS}
        if path.is_file() and not anew:
            found = json.loads(path.read_text())
            self.machines = found["machines"]
            if not beside and (others := [one for one in self.machines if one != here]):
                raise ValueError(
                    f"{path} has rows of another machine, {others[0]}: begin --anew, or keep them with --beside"
                )
            self.rows = {(row["what"], row["stage"]): Row(**row) for row in found["rows"]}
        if here not in self.machines:
            self.machines.append(here)
        self._here = self.machines.index(here)

    def holds(self, what: str, stage: str, cases: int) -> bool:
        """Return whether at least so many cases were tried, and none failed."""
        row = self.rows.get((what, stage))
        return row is not None and row.cases >= cases and not row.failures

    def add(self, row: Row) -> None:
        """Add a row of this machine in place of an older one, and write the record at once."""
        with self._lock:
            self.rows[row.what, row.stage] = replace(row, machine=self._here)
            rows = [asdict(self.rows[key]) for key in sorted(self.rows)]
            document = {"machines": self.machines, "rows": rows}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps(document, indent=1) + "\n")
