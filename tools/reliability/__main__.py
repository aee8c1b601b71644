"""Runs the trials that the record lacks (see the package)."""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}  # before anything reads them

from tests.faults.commands import NotHere
from tests.faults.kinds import KINDS
from tests.faults.mishaps import MISHAPS, Mishap, try_mishap
from tests.faults.stages import STAGES, Stage, given
from tests.faults.unbroken import Unbroken
from tools.reliability.inputs import tried_inputs
from tools.reliability.page import write
from tools.reliability.record import Record, Row

SEED = 1
TOLD = "failures.txt"


class Harness:
    """The trials that are left.

    Args:
        record: the record of all trials.
        folder: the folder in which commands work.
        only: a text; trials whose stage, mishap or kind of input has it in its name are made.
    """

    def __init__(self, record: Record, folder: Path, only: str) -> None:
        self.record, self.folder, self.only = record, folder, only

    def run(self, jobs: int) -> None:
        """Make all trials that are left, with `jobs` stages or kinds of input side by side."""
        made = given(self.folder / "given")
        with (
            ThreadPoolExecutor(jobs) as pool,
            # Each kind of input has a process: its commands run in that process, and change its working folder.
            ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as apart,
        ):
            unbroken = functools.cache(lambda stage: Unbroken(stage, made, self._place(stage, "unbroken")))
            first, *others = MISHAPS.values()
            waiting = [pool.submit(self.befall, stage, [first], unbroken) for stage in STAGES.values()]
            waiting += [pool.submit(self.damage, name, apart) for name in KINDS]
            waiting += [pool.submit(self.befall, stage, others, unbroken) for stage in STAGES.values()]
            for one in as_completed(waiting):
                if one.exception() is not None:
                    pool.shutdown(cancel_futures=True)
                one.result()

    def befall(self, stage: Stage, mishaps: Iterable[Mishap], unbroken: Callable[[Stage], Unbroken]) -> None:
        """Try some mishaps with a stage, those that are left."""
        for mishap in mishaps:
            if not mishap.meets(stage) or not self._wants(mishap.name, stage.name, mishap.cases):
                continue
            try:
                tried = try_mishap(
                    mishap, unbroken(stage), mishap.cases, self._place(stage, mishap.name), SEED
                )
            except NotHere as missing:
                print(f"left out: {mishap.name}: {missing}", flush=True)
                continue
            row = Row(mishap.name, stage.name, tried.cases, tried.going_on, tried.files, len(tried.failures))
            self._keep(row, tried.failures)

    def damage(self, name: str, apart: ProcessPoolExecutor) -> None:
        """Try a kind of damaged input, if it is left."""
        if self._wants(name, "", KINDS[name].cases // 2):  # the strategies repeat themselves
            cases, refused, failures = apart.submit(
                tried_inputs, name, self.folder / "inputs" / name
            ).result()
            self._keep(Row(name, "", cases, refused, 0, len(failures)), failures)

    def _place(self, stage: Stage, name: str) -> Path:
        return self.folder / f"{stage.name} {name}".replace(" ", "-")

    def _wants(self, what: str, stage: str, cases: int) -> bool:
        return (self.only in what or self.only in stage) and not self.record.holds(what, stage, cases)

    def _keep(self, row: Row, failures: Iterable[str]) -> None:
        self.record.add(row)
        print(
            f"{row.failures} of {row.cases} failed: {row.what}{', ' if row.stage else ''}{row.stage}",
            flush=True,
        )
        with (self.folder / TOLD).open("a") as file:
            for text in failures:
                file.write(f"== {row.what}, {row.stage}\n{text}\n\n")


def main() -> None:
    parser = argparse.ArgumentParser("python -m tools.reliability", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="stages or kinds of input side by side")
    parser.add_argument("--only", default="", help="text in the name of a stage, a mishap or a kind of input")
    parser.add_argument("--anew", action="store_true", help="forget what was tried")
    parser.add_argument("--beside", action="store_true", help="keep what was tried on other machines")
    given_words = parser.parse_args()
    record = Record(anew=given_words.anew, beside=given_words.beside)
    folder = Path(tempfile.mkdtemp(prefix="reliability-"))
    Harness(record, folder, given_words.only).run(given_words.jobs)
    write()
    broken = sum(row.failures for row in record.rows.values())
    print(f"{broken} failures" + (f", told in {folder / TOLD}" if broken else ""))
    if not broken:
        shutil.rmtree(folder)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
