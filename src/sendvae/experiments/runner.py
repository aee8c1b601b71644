"""Runs cells: every stage once, in a process of its own, side by side with others; what is finished is kept."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

import torch

from sendvae.errors import UserError
from sendvae.experiments.about import About
from sendvae.experiments.cell import Cell
from sendvae.experiments.graph import CACHE, DONE, FAILED, RESULTS, STAGE_FOLDER, TIMES, Graph, Node
from sendvae.experiments.process import LOG, Task, prepare, reason, start
from sendvae.experiments.record import CELLS, save_record
from sendvae.files import write_text
from sendvae.runs import Lock, RunFolder, progress, say, try_folder
from sendvae.training import Stopped, default_device

POLL_SECONDS = 0.5
WATCH_SECONDS, WATCH_SHARE = (
    10.0,
    0.05,
)  # between two calls while nothing ends, and of the time that they may take
OWN = {STAGE_FOLDER, CACHE, TIMES, RESULTS}  # that may lie in a folder before `cells.json` does
FOREIGN_SHOWN = 5
GRACE_SECONDS = 120.0  # for the checkpoints of trainings that are stopped
TIME_IS_UP = signal.SIGALRM  # what ends the work in place of a signal


class StagesFailed(Exception):
    """Some stages failed; everything that does not need them is done."""

    def __init__(self, failed: Sequence[tuple[Node, str]], left: Sequence[Node]) -> None:
        lines = [f"{len(failed)} stage{'s' if len(failed) > 1 else ''} failed:"]
        for node, error in failed:
            lines += [f"  {node.title}: {error}", f"    log: {node.folder / LOG}"]
        if left:
            lines.append(f"not run, since they need what failed: {', '.join(node.title for node in left)}")
        lines.append("Run the same command again to try once more; what is finished is kept.")
        super().__init__("\n".join(lines))


def run(
    cells: Sequence[Cell],
    folder: Path,
    about: About | None = None,
    cores: int | None = None,
    watch: Callable[[], object] = lambda: None,
    seconds: float | None = None,
) -> None:
    """Do whatever is missing of some cells, stages that are ready side by side in the order of the cells.

    A stage lies in a folder named by everything that its result depends on: it is done once for all cells that
    share it, and found again by later calls, also with other cells. Trainings go on from their last checkpoint.
    `cells.json` in the folder says which stages belong to which cell (see `load_cells`). Several processes may run
    the same cells, or others, in one folder: they share the work.

    Args:
        folder: of the experiment.
        about: what its page says besides.
        cores: to share among the stages, at most one stage for each; None: the threads that torch would use, and on a
            GPU one stage at a time.
        watch: called once the cells are known, whenever a stage has ended, and every `WATCH_SECONDS`,
            or as rarely as it takes for `WATCH_SHARE` of the time.
        seconds: after which it stops as after SIGTERM; None: never.

    Raises:
        UserError: cells that ask for something that is not there; nothing was run.
        StagesFailed: at the end, if a stage failed.
        Stopped: after SIGTERM, Ctrl-C or `seconds`, once the trainings have written their checkpoints.
    """
    prepare()
    folder = folder.resolve()
    _check_place(folder)
    most = cores or (1 if default_device().type == "cuda" else torch.get_num_threads())
    cores = cores or torch.get_num_threads()
    graph = Graph(folder)
    save_record(folder, cells, graph.add_cells(cells), about)
    watch()
    _Schedule(list(graph.nodes.values()), cores, most, folder / TIMES, watch, seconds).run()


def _check_place(folder: Path) -> None:
    """Make the folder of an experiment.

    Raises:
        UserError: it cannot be written, or holds something else.
    """
    try_folder(folder)
    if (folder / CELLS).is_file():
        return
    if RunFolder(folder).config_path.is_file():
        problem, given = f"{folder} holds a run of another command", str(RunFolder(folder).config_path)
    elif foreign := sorted(
        path.name for path in folder.glob("[!.]*") if path.name not in OWN
    ):  # no hidden ones
        problem = f"{folder} holds something else than an experiment"
        given = ", ".join(foreign[:FOREIGN_SHOWN])
    else:
        return
    raise UserError(
        problem,
        given=given,
        expected="a folder of an experiment, or a new one",
        next_step="choose another folder",
    )


@dataclass
class _Running:
    node: Node
    process: ForkServerProcess
    threads: int
    began: float
    lock: Lock


class _Schedule:
    """Which stages wait, run, are done, and failed.

    Args:
        nodes: in the order in which they are begun where there is a choice.
        cores: shared among what runs.
        most: stages at a time.
        times: file to which every attempt adds a line.
        watch, seconds: as of `run` of the module.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        cores: int,
        most: int,
        times: Path,
        watch: Callable[[], object],
        seconds: float | None = None,
    ) -> None:
        self.nodes, self.cores, self.most, self.times, self.watch = nodes, cores, most, times, watch
        self.began, self.seconds = time.time(), seconds
        self.done = {node.digest for node in nodes if node.finished}
        self.waiting = [node for node in nodes if node.digest not in self.done]
        self.running: list[_Running] = []
        self.failed: list[tuple[Node, str]] = []
        self.elsewhere = 0  # stages that are ready and held by another process

    def run(self) -> None:
        """Run everything that can be.

        Raises:
            StagesFailed, Stopped: as `run` of the module.
        """
        if len(self.done) and self.waiting:
            say(f"{len(self.done)} of {len(self.nodes)} stages are there")
        total, worked = self._work()
        due = time.monotonic() + WATCH_SECONDS
        with _signals() as received, progress("stages", total, "units", worked) as bar:
            try:
                self._begin()
                while (self.running or self.elsewhere) and not received:
                    wait([one.process.sentinel for one in self.running], POLL_SECONDS)
                    ended = self._end()
                    self._begin()
                    if self.seconds is not None and time.time() - self.began > self.seconds:
                        received.append(TIME_IS_UP)
                    if ended or time.monotonic() > due:
                        due = self._watched()
                    _, now = self._work()
                    bar.advance(max(0, now - worked), ", ".join(one.node.title for one in self.running))
                    worked = max(worked, now)
                if received:
                    self._stop(received)
            finally:
                for one in self.running:
                    one.process.kill()
                    one.process.join()
                    one.lock.release()
        if self.failed:
            raise StagesFailed(self.failed, self.waiting)

    def _watched(self) -> float:
        """Call `watch`, whose failures end no training, and return when it is due again while nothing ends."""
        began = time.monotonic()
        try:
            self.watch()
        except Exception as error:
            say(f"what there is cannot be shown now: {type(error).__name__}: {error}")
        return time.monotonic() + max(WATCH_SECONDS, (time.monotonic() - began) / WATCH_SHARE)

    def _begin(self) -> None:
        """Start what is ready and nobody else works on, and share the free cores among it."""
        free = self.cores - sum(one.threads for one in self.running)
        room = max(0, min(free, self.most - len(self.running)))
        chosen: list[tuple[Node, Lock]] = []
        elsewhere = 0
        for node in [node for node in self.waiting if set(node.needs) <= self.done]:
            lock = Lock(node.folder)
            if self._settled(node):
                continue
            if len(chosen) == room:
                continue
            if not lock.take():
                elsewhere += 1
            elif self._settled(node):  # between the look and the lock
                lock.release()
            else:
                chosen.append((node, lock))
        if elsewhere > self.elsewhere:
            say(f"{elsewhere} stage{'s are' if elsewhere > 1 else ' is'} being done by another process")
        self.elsewhere = elsewhere
        for node, lock in chosen:
            threads = free // len(chosen)
            (node.folder / FAILED).unlink(missing_ok=True)
            task = Task(node.title, node.row.compute, node.job, node.folder / DONE, threads, str(Path.cwd()))
            say(f"begins    {node.title} ({threads} thread{'s' if threads > 1 else ''})")
            self.running.append(_Running(node, start(task), threads, time.monotonic(), lock))
            self.waiting.remove(node)

    def _settled(self, node: Node) -> bool:
        """Whether another process has finished a stage that waits, or failed at it since this one began."""
        failed = node.folder / FAILED
        if node.finished:
            self.done.add(node.digest)
        elif failed.is_file() and failed.stat().st_mtime > self.began:
            self.failed.append((node, json.loads(failed.read_text())["error"]))
        else:
            return False
        self.waiting.remove(node)
        return True

    def _end(self) -> bool:
        """See which have ended, and how; return whether any has."""
        over = [one for one in self.running if one.process.exitcode is not None]
        for one in over:
            self.running.remove(one)
            seconds = time.monotonic() - one.began
            if one.process.exitcode == 0 and one.node.finished:
                self.done.add(one.node.digest)
                ended = "finished"
            else:
                error = reason(one.process, one.node.folder / LOG)
                self.failed.append((one.node, error))
                write_text(one.node.folder / FAILED, json.dumps({"error": error}) + "\n")
                ended = "failed"
            one.lock.release()
            self._note(one, ended, seconds)
            say(f"{ended:9} {one.node.title}, {seconds:.0f} s; {len(self.done)} of {len(self.nodes)} done")
        return bool(over)

    def _stop(self, received: list[int]) -> None:
        """Let trainings write their checkpoints; after a second signal, or too long, end them.

        Raises:
            Stopped: always.
        """
        say("stopping: trainings write their checkpoints")
        for one in self.running:
            one.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(one.process.exitcode is None for one in self.running):
            if len(received) > 1 or time.monotonic() > deadline:
                break
            wait([one.process.sentinel for one in self.running if one.process.exitcode is None], POLL_SECONDS)
        for one in self.running:
            self._note(one, "stopped", time.monotonic() - one.began)
        raise Stopped(f"stopped: {len(self.done)} of {len(self.nodes)} stages are done", received[0])

    def _note(self, one: _Running, ended: str, seconds: float) -> None:
        line = {"kind": one.node.kind, "stage": one.node.title, "seconds": round(seconds, 2), "ended": ended}
        with self.times.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _work(self) -> tuple[int, int]:
        """Units of work in all, and those that are done."""
        total = sum(node.work for node in self.nodes)
        return round(total), round(sum(node.worked for node in self.nodes))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT, so that what runs can be ended in order."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
