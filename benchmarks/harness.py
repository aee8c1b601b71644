"""The parts that all benchmarks share: interleaved timing, the machine's facts and ceilings, a table and JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from rich.console import Console
from rich.table import Table

from sendvae.cores import cores
from sendvae.nn.precision import bf16_is_native
from sendvae.runs import describe_environment

RESULTS = Path(__file__).parent / "results"
REPEATS = 7
SIDE = {False: 2048, True: 256}  # the side of the matrices of the ceilings, by whether the benchmark is quick
GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """A comparison of our code with other code.

    Attributes:
        what: the computation, in words.
        against: the library or the straightforward code that it is compared with.
        seconds, theirs: the median seconds of our code and of the other, over interleaved repeats.
        note: how close the two results are, or under which conditions the comparison holds.
    """

    what: str
    against: str
    seconds: float
    theirs: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """Return how many times faster our code is."""
        return self.theirs / self.seconds


@dataclass(frozen=True)
class Figures:
    """A table of numbers that do not compare two sides.

    Attributes:
        title: what the numbers are, and how to read them.
        head: the headings of the columns.
        rows: the rows of cells, which are texts, or numbers of which three digits are shown.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | float]]

    def texts(self) -> list[list[str]]:
        """Return the cells as they are shown."""
        return [[cell if isinstance(cell, str) else f"{cell:.3g}" for cell in row] for row in self.rows]


@dataclass
class Report:
    """The answer of a benchmark to its question.

    Attributes:
        name: the name of the module.
        question: the first line of its docstring.
        quick: whether sizes are those of a test, whose times mean nothing.
        rows: the comparisons.
        figures: further tables.
    """

    name: str
    question: str
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    figures: list[Figures] = field(default_factory=list)

    def compare(
        self,
        what: str,
        ours: Callable[[], object],
        against: str,
        theirs: Callable[[], object],
        note: str = "",
        repeats: int = REPEATS,
    ) -> Row:
        """Time our code and the other in turns, and add a row."""
        taken = interleaved({"ours": ours, "theirs": theirs}, 1 if self.quick else repeats)
        row = Row(what, against, taken["ours"], taken["theirs"], note)
        self.rows.append(row)
        return row

    def save(self, folder: Path = RESULTS) -> Path:
        """Write NAME.json."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        rows = [asdict(row) | {"ratio": round(row.ratio, 3)} for row in self.rows]
        for row in rows:
            row |= {key: float(f"{row[key]:.4g}") for key in ("seconds", "theirs")}
        document = {
            "question": self.question,
            "machine": machine(),
            "ceilings": ceilings(self.quick),
            "rows": rows,
            "figures": [asdict(figures) for figures in self.figures],
        }
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path

    def show(self, console: Console) -> None:
        """Print the rows and figures."""
        head = ("what", "ours, s", "against", "theirs, s", "times faster", "note")
        cells = [
            [row.what, f"{row.seconds:.4g}", row.against, f"{row.theirs:.4g}", f"{row.ratio:.2f}", row.note]
            for row in self.rows
        ]
        if cells:
            console.print(_table(self.question, head, cells))
        for figures in self.figures:
            console.print(_table(figures.title, figures.head, figures.texts()))


def _table(title: str, head: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for heading in head:
        table.add_column(heading)
    for row in cells:
        table.add_row(*row)
    return table


def interleaved(cases: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each case. Cases take turns, so that what slows the machine slows all of them."""
    for case in cases.values():
        case()  # warms up
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            began = perf_counter()
            case()
            times[name].append(perf_counter() - began)
    return {name: median(taken) for name, taken in times.items()}


def machine() -> dict[str, str | int | float]:
    """Return what the times were measured on."""
    found = describe_environment()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": found["processor"],
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "torch": found["torch"],
        "commit": found["commit"],
        "load": round(os.getloadavg()[0], 2),
    }


def ceilings(quick: bool = False) -> dict[str, float]:
    """Return the GFLOP/s of a large matrix product in float32 and bf16, with the threads in use."""
    # A format without instructions takes a hundred times as long, so it is measured with small matrices.
    bf16 = SIDE[quick or not bf16_is_native(torch.device("cpu"))]
    found = {}
    for name, dtype, side in (("fp32", torch.float32, SIDE[quick]), ("bf16", torch.bfloat16, bf16)):
        a = torch.randn(side, side).to(dtype)
        seconds = interleaved({"product": lambda a=a: a @ a}, 1 if quick else 5)["product"]
        found[name] = round(2 * side**3 / seconds / GIGA, 1)
    return found
