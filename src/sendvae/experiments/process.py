"""Stages in processes of their own. Such a process has a log and a number of threads, and ends with its parent."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from sendvae.errors import UserError
from sendvae.faults import fault_of
from sendvae.files import write_text
from sendvae.signals import blocked_signals, handled_signals

if TYPE_CHECKING:
    from sendvae.experiments.stages import Job

LOG = "log.txt"
WORKING = "working"  # the lock in a stage's folder that the working process holds, on whichever machine it is
LOOK_SECONDS = 0.5  # between two looks at whether a stage is to rest, or has ended
RESTING = signal.SIGURG  # a stage interrupts itself with this signal to rest; nothing else sends it
# Modules that the server imports once before it forks processes. After the first come those that scores import on
# demand, and those that PyTorch imports at the first step of an optimizer, which would take each process a second.
PRELOADED = [
    "sendvae.experiments.stages", "scipy.stats", "sklearn.manifold", "sklearn.mixture", "torchvision", "torch._dynamo",
]  # fmt: skip

ENDING = {signal.SIGTERM}
SCHEDULERS = {signal.SIGUSR1, signal.SIGUSR2}  # sent to all processes of a job, but meant for the first one


@dataclass(frozen=True)
class Task:
    """The instructions of a stage's process; everything in it can be pickled.

    Attributes:
        title: the title of the stage, for its log.
        compute: the function that does the work.
        job: the argument of `compute`.
        done: the file that says that the stage is done, written last.
        threads: the number of threads that the process may use.
        place: the working folder, to which paths in configurations are relative.
        pause: a file; while it exists, the process rests.
    """

    title: str
    compute: Callable[[Job], None]
    job: Job
    done: Path
    threads: int
    place: str
    pause: Path


def prepare() -> ForkServerContext:
    """Return the context that starts processes. The first call starts a server that imports what they all need.

    Processes are forked from this server, which has done nothing but import, so they start at once, and no state of
    the calling process goes into them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # A signal to the whole process group must not end the server, which tells this process about its children. The
    # tracker is started first, since starting it unblocks the signals.
    resource_tracker.ensure_running()
    with blocked_signals(ENDING | SCHEDULERS):
        forkserver.ensure_running()
    return context


class Child:
    """A task in a process of its own on this machine. The process ends when the one that started it does.

    Args:
        task: the task, which is begun at once.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.process: ForkServerProcess = prepare().Process(target=_work, args=(task,), name=task.title)
        self.process.start()
        self._stopping = False

    @property
    def sentinel(self) -> int:
        """Return a handle that is ready once the process has ended."""
        return self.process.sentinel

    def ended(self) -> bool:
        """Return whether the process has ended."""
        return self.process.exitcode is not None

    def join(self) -> None:
        """Wait until the process has ended."""
        self.process.join()

    def reason(self) -> str:
        """Return in one line why the task failed."""
        assert self.process.exitcode is not None
        if self.process.exitcode < 0:
            name = signal.Signals(-self.process.exitcode).name
            return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return last_line(self.task.job.folder / LOG) or f"ended with exit code {self.process.exitcode}"

    def stop(self) -> None:
        """Ask the process, once, to write its checkpoint and end."""
        if not self._stopping:
            self._stopping = True
            self.process.terminate()

    def kill(self) -> None:
        """Kill the process and wait until it has ended."""
        self.process.kill()
        self.process.join()


def attend(task: Task, asked_by: signal.Signals, child: Child | None = None) -> str | None:
    """Do a task in a process of its own on this machine, wait for it, and return why it failed; None if it is done.

    Launchers for other machines run this function there. The task is killed if the parent of this process ends.

    Args:
        task: the task to do.
        asked_by: the signal that asks the task to write its checkpoint and end, however often it comes.
        child: the process that does the task; None: it is started here.
    """
    child, parent = child or Child(task), os.getppid()
    with handled_signals({asked_by: lambda _signum, _frame: child.stop()}):
        while not child.ended():
            wait([child.sentinel], LOOK_SECONDS)
            if os.getppid() != parent:
                child.kill()
    if task.done.is_file():
        return None
    error = child.reason()
    log = task.job.folder / LOG
    if last_line(log) != error:  # it had no time to say so
        with log.open("a") as file:
            file.write(f"{error}\n")
    return error


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank; an empty text if there is none, or no log."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    return lines[-1].strip() if lines else ""


def _work(task: Task) -> None:
    """Do a task in the current process, which was started for it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    os.setpgid(0, 0)  # Ctrl-C in a terminal is for the parent, which passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(task.place)
    _redirect(task.job.folder / LOG)
    _rest_while(task.pause)
    print(f"== {task.title}, {_now()}, {task.threads} threads", flush=True)
    began = time.monotonic()
    from sendvae.runs import locked
    from sendvae.training import NothingTrained, Stopped

    _limit_threads(task.threads)
    try:
        with locked(task.job.folder / WORKING):
            if task.done.is_file():  # another process did it meanwhile
                return
            task.compute(task.job)
            _note_done(task, began)
    except UserError as error:
        sys.exit(f"error: {error}\n{_in_one_line(error)}")
    except (NothingTrained, Stopped) as ended:
        sys.exit(str(ended))
    except Exception as error:
        fault = fault_of(error, task.title)
        if fault is None:
            raise
        traceback.print_exc()
        sys.exit(f"error: {fault}\n{_in_one_line(fault)}")


def _note_done(task: Task, began: float) -> None:
    from sendvae.runs import describe_environment
    from sendvae.training.log import peak_memory

    record = {
        "title": task.title,
        "finished": _now(),
        "seconds": round(time.monotonic() - began, 2),
        "threads": task.threads,
        "peak_memory_gib": round(peak_memory(), 3),
        "environment": describe_environment(),
    }
    write_text(task.done, json.dumps(record, indent=1) + "\n")


def _end_with_parent() -> None:
    """Kill this process once its parent has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _rest_while(pause: Path) -> None:
    """Let the main thread of this process rest, from its next step on, as long as a file exists.

    The process keeps its memory and devices. SIGTERM ends the rest, and is then handled as if there had been none.
    """
    main = threading.get_ident()

    def look() -> None:
        while True:
            if pause.exists():
                signal.pthread_kill(main, RESTING)
            time.sleep(LOOK_SECONDS)

    def rest(_signum: int, _frame: FrameType | None) -> None:
        asked: list[int] = []
        signal.signal(RESTING, signal.SIG_IGN)
        with handled_signals({signal.SIGTERM: lambda signum, _frame: asked.append(signum)}):
            os.write(1, f"paused, {_now()}\n".encode())
            while pause.exists() and not asked:
                time.sleep(LOOK_SECONDS)
            os.write(1, f"goes on, {_now()}\n".encode())
        if asked:  # the process is to end, so it does not rest again
            signal.raise_signal(signal.SIGTERM)
        else:
            signal.signal(RESTING, rest)

    signal.signal(RESTING, rest)
    threading.Thread(target=look, daemon=True).start()


def _redirect(log: Path) -> None:
    """Append everything that this process prints to a file, including the output of C libraries."""
    with log.open("ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _limit_threads(threads: int) -> None:
    """Limit the threads of torch, numpy and scikit-learn."""
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    torch.set_num_threads(threads)


def _in_one_line(error: UserError) -> str:
    return error.problem + (f" (given: {error.given})" if error.given is not None else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
