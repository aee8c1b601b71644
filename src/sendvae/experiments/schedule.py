"""The schedule of stages: which wait, run, are done or have failed. A launcher runs them side by side, each once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sendvae.experiments.graph import DONE, FAILED, PAUSED, TIMES, Node
from sendvae.experiments.launchers import Launcher, Work
from sendvae.experiments.process import LOG, Task
from sendvae.files import write_text
from sendvae.runs import Lock, progress, say
from sendvae.signals import collected_signals
from sendvae.training import Stopped, default_device

POLL_SECONDS = 0.5
WATCH_SECONDS = 10.0  # between two calls of `watch` while no stage ends
WATCH_SHARE = 0.05  # of the time, which the calls of `watch` may take: no stage begins meanwhile
MOST = 64  # stages at a time on a cluster, unless told otherwise
GRACE_SECONDS = 120.0  # that trainings which are stopped have for their checkpoints
TIME_IS_UP = signal.SIGALRM  # counts as the received signal once the time is over


class StagesFailed(Exception):
    """Some stages failed. All stages that do not need them are done."""

    def __init__(self, failed: Sequence[tuple[Node, str]], left: Sequence[Node]) -> None:
        lines = [f"{len(failed)} stage{'s' if len(failed) > 1 else ''} failed:"]
        for node, error in failed:
            lines += [f"  {node.title}: {error}", f"    log: {node.folder / LOG}"]
        if left:
            lines.append(f"not run, since they need what failed: {', '.join(node.title for node in left)}")
        lines.append("Run the same command again to try once more; what is finished is kept.")
        super().__init__("\n".join(lines))


@dataclass
class _Running:
    node: Node
    work: Work
    threads: int
    began: float
    lock: Lock


class _Looks:
    """The calls of `watch`: after every stage that ends and every `WATCH_SECONDS`, within their share of the time."""

    def __init__(self, watch: Callable[[], object]) -> None:
        self.watch = watch
        self.unseen = False  # whether a stage has ended since the last call
        self.next, self.due = 0.0, time.monotonic() + WATCH_SECONDS

    def take(self, ended: bool) -> None:
        """Call `watch` if it is due: now if a stage has ended, or later if the last calls took long."""
        self.unseen = self.unseen or ended
        now = time.monotonic()
        if (self.unseen and now >= self.next) or now > self.due:
            self._call()

    def take_last(self) -> None:
        """Call `watch` if a stage has ended since the last call."""
        if self.unseen:
            self._call()

    def _call(self) -> None:
        """Call `watch`. Its errors are reported, and end nothing."""
        began = time.monotonic()
        try:
            self.watch()
        except Exception as error:
            say(f"what there is cannot be shown now: {type(error).__name__}: {error}")
        now = time.monotonic()
        self.unseen, self.next = False, now + (now - began) / WATCH_SHARE
        self.due = max(self.next, now + WATCH_SECONDS)


class Schedule:
    """The schedule by which the stages of an experiment run.

    Args:
        nodes: the stages, in the order in which they are begun where there is a choice.
        folder: the folder of the experiment.
        launcher: the launcher that runs them.
        cores, watch, seconds: as in `sendvae.experiments.runner.run`.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        folder: Path,
        launcher: Launcher,
        cores: int | None,
        watch: Callable[[], object],
        seconds: float | None = None,
    ) -> None:
        self.nodes, self.launcher, self.watch = nodes, launcher, watch
        self.times, self.pause = folder / TIMES, folder / PAUSED
        if launcher.threads is None:
            self.cores = cores or torch.get_num_threads()
            self.most = cores or (1 if default_device().type == "cuda" else self.cores)
        else:
            self.most = cores or MOST
            self.cores = self.most * launcher.threads
        self.paused = False
        self.began, self.seconds = time.monotonic(), seconds
        self.failed_before = {node.digest: _version(node.folder / FAILED) for node in nodes}
        self.done = {node.digest for node in nodes if node.finished}
        self.waiting = [node for node in nodes if node.digest not in self.done]
        self.running: list[_Running] = []
        self.failed: list[tuple[Node, str]] = []
        self.elsewhere = 0  # stages that are ready and held by another process

    def run(self) -> None:
        """Run all stages that can be run.

        Raises:
            StagesFailed, Stopped: as in `sendvae.experiments.runner.run`.
        """
        if len(self.done) and self.waiting:
            say(f"{len(self.done)} of {len(self.nodes)} stages are there")
        total, worked = self._work()
        looks = _Looks(self.watch)
        with collected_signals() as received, progress("stages", total, "units", worked) as bar:
            try:
                self._begin()
                while (self.running or self.elsewhere or (self.paused and self._ready())) and not received:
                    self.launcher.wait([one.work for one in self.running], POLL_SECONDS)
                    ended = self._end()
                    self._begin()
                    if self.seconds is not None and time.monotonic() - self.began > self.seconds:
                        received.append(TIME_IS_UP)
                    looks.take(ended)
                    _, now = self._work()
                    titles = ", ".join(one.node.title for one in self.running)
                    bar.advance(max(0, now - worked), f"paused: {titles}" if self.paused else titles)
                    worked = max(worked, now)
                if received:
                    self._stop(received)
                looks.take_last()
            finally:
                for one in self.running:
                    one.work.kill()
                    one.lock.release()
        if self.failed:
            raise StagesFailed(self.failed, self.waiting)

    def _begin(self) -> None:
        """Start stages that are ready and that no other process works on, and share the free cores among them.

        No stage starts while the experiment is paused.
        """
        self._look_at_pause()
        free = self.cores - sum(one.threads for one in self.running)
        room = 0 if self.paused else max(0, min(free, self.most - len(self.running)))
        chosen: list[tuple[Node, Lock]] = []
        elsewhere = 0
        for node in self._ready():
            lock = Lock(node.folder)
            if self._settled(node):
                continue
            if len(chosen) == room:
                continue
            if not lock.take():
                elsewhere += 1
            elif self._settled(node):  # after it was looked at, and before it was locked
                lock.release()
            else:
                chosen.append((node, lock))
        if elsewhere > self.elsewhere:
            say(f"{elsewhere} stage{'s are' if elsewhere > 1 else ' is'} being done by another process")
        self.elsewhere = elsewhere
        for node, lock in chosen:
            threads = self.launcher.threads or free // len(chosen)
            node.folder.mkdir(parents=True, exist_ok=True)
            (node.folder / FAILED).unlink(missing_ok=True)
            place = str(Path.cwd())
            task = Task(
                node.title, node.row.compute, node.job, node.folder / DONE, threads, place, self.pause
            )
            say(f"begins    {node.title} ({threads} thread{'s' if threads > 1 else ''})")
            self.running.append(_Running(node, self.launcher.start(task), threads, time.monotonic(), lock))
            self.waiting.remove(node)

    def _ready(self) -> list[Node]:
        """Return the stages whose inputs are finished."""
        return [node for node in self.waiting if set(node.needs) <= self.done]

    def _look_at_pause(self) -> None:
        """Look whether the experiment is paused, and report it when that has changed."""
        before, self.paused = self.paused, self.pause.exists()
        if self.paused and not before:
            say(f"paused: stages rest until {self.pause} is removed (sendvae reproduce --resume)")
        elif before and not self.paused:
            say("goes on")

    def _settled(self, node: Node) -> bool:
        """Return whether another process has finished a waiting stage, or failed at it since this process began.

        Such a stage waits no more.
        """
        failed = node.folder / FAILED
        if node.finished:
            self.done.add(node.digest)
        elif _version(failed) not in (None, self.failed_before[node.digest]):
            self.failed.append((node, json.loads(failed.read_text())["error"]))
        else:
            return False
        self.waiting.remove(node)
        return True

    def _end(self) -> bool:
        """Move the stages that have ended to those that are done or failed; return whether there were any."""
        over = [one for one in self.running if one.work.ended()]
        for one in over:
            self.running.remove(one)
            seconds = time.monotonic() - one.began
            if one.node.finished:
                self.done.add(one.node.digest)
                ended = "finished"
            else:
                error = one.work.reason()
                self.failed.append((one.node, error))
                write_text(one.node.folder / FAILED, json.dumps({"error": error}) + "\n")
                ended = "failed"
            one.lock.release()
            self._note(one, ended, seconds)
            say(f"{ended:9} {one.node.title}, {seconds:.0f} s; {len(self.done)} of {len(self.nodes)} done")
        return bool(over)

    def _stop(self, received: list[int]) -> None:
        """Let trainings write their checkpoints, but wait no longer than `GRACE_SECONDS`, nor after a second signal.

        Raises:
            Stopped: always.
        """
        say("stopping: trainings write their checkpoints")
        for one in self.running:
            one.work.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        while works := [one.work for one in self.running if not one.work.ended()]:
            if len(received) > 1 or time.monotonic() > deadline:
                break
            self.launcher.wait(works, POLL_SECONDS)
        for one in self.running:
            self._note(one, "stopped", time.monotonic() - one.began)
        raise Stopped(f"stopped: {len(self.done)} of {len(self.nodes)} stages are done", received[0])

    def _note(self, one: _Running, ended: str, seconds: float) -> None:
        line = {"kind": one.node.kind, "stage": one.node.title, "seconds": round(seconds, 2), "ended": ended}
        with self.times.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _work(self) -> tuple[int, int]:
        """Return all units of work, and those that are done."""
        total = sum(node.work for node in self.nodes)
        return round(total), round(sum(node.worked for node in self.nodes))


def _version(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that replaces it, whatever the clock says; None without a file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
