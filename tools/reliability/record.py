"""What the harness has tried, and what came of it: docs/results/reliability.json."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import machine

from sendvae import __version__
from sendvae.files import write_text

RECORD = Path(__file__).parents[2] / "docs/results/reliability.json"
FACTS = ("processor", "cores", "memory_gib", "python", "torch")  # of the machine


@dataclass(frozen=True)
class Row:
    """One mishap to one stage, or one kind of damaged input.

    Attributes:
        what: the mishap, or the kind of input.
        stage: that it befell; empty for an input.
        cases: that were tried.
        good: of a mishap, the cases that left finished parts to go on from; of an input, those that were refused.
        files: that were compared with the undisturbed ones after each case.
        failures: cases in which what is promised did not hold.
        date, version: when, and of which version.
    """

    what: str
    stage: str
    cases: int
    good: int
    files: int
    failures: int
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    version: str = __version__


class Record:
    """The rows so far; several threads may add some.

    Raises:
        ValueError: they were made on another machine.
    """

    def __init__(self, path: Path = RECORD, anew: bool = False) -> None:
        self.path, self._lock = path, threading.Lock()
        self.machine = {name: machine()[name] for name in FACTS}
        self.rows: dict[tuple[str, str], Row] = {}
        if path.is_file() and not anew:
            found = json.loads(path.read_text())
            if found["machine"] != self.machine:
                raise ValueError(f"{path} was made on another machine, {found['machine']}: begin --anew")
            self.rows = {(row["what"], row["stage"]): Row(**row) for row in found["rows"]}

    def holds(self, what: str, stage: str, cases: int) -> bool:
        """Whether so many cases were tried, and none failed."""
        row = self.rows.get((what, stage))
        return row is not None and row.cases >= cases and not row.failures

    def add(self, row: Row) -> None:
        """Keep a row, in place of an older one, on the disk at once."""
        with self._lock:
            self.rows[row.what, row.stage] = row
            rows = [asdict(self.rows[key]) for key in sorted(self.rows)]
            document = {"machine": self.machine, "rows": rows}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self.path, json.dumps(document, indent=1) + "\n")
