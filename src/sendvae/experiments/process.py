"""A stage in a process of its own: its log, its threads, and its end with that of whoever started it."""

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
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import TYPE_CHECKING

from sendvae.errors import UserError
from sendvae.faults import fault_of
from sendvae.files import write_text

if TYPE_CHECKING:
    from sendvae.experiments.stages import Job

LOG = "log.txt"
# Imported once, by the process that all others are forked from; the latter are what scores import when they need it.
PRELOADED = ["sendvae.experiments.stages", "scipy.stats", "sklearn.manifold", "sklearn.mixture"]

ENDING = {signal.SIGTERM}


@dataclass(frozen=True)
class Task:
    """What a process is told; everything in it can be pickled.

    Attributes:
        title: of the stage, for its log.
        compute: does the work.
        done: the file that says that it is done, written last.
        threads: that it may use.
        place: the working folder, where relative paths of configurations begin.
    """

    title: str
    compute: Callable[[Job], None]
    job: Job
    done: Path
    threads: int
    place: str


def prepare() -> ForkServerContext:
    """Return how processes are started; the first use begins importing what they all need.

    They are forked from a server that has imported it and done nothing else, so they start at once, and no state
    of this process goes into them.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # A SIGTERM for the whole group must not end the server, through which this process hears of its children. The
    # tracker is started first, since its start unblocks the signal.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    return context


def start(task: Task) -> ForkServerProcess:
    """Start a task; its exit code is 0 if it is done."""
    task.job.folder.mkdir(parents=True, exist_ok=True)
    process = prepare().Process(target=_work, args=(task,), name=task.title)
    process.start()
    return process


def reason(process: ForkServerProcess, log: Path) -> str:
    """Return in one line why a process failed."""
    assert process.exitcode is not None
    if process.exitcode < 0:
        name = signal.Signals(-process.exitcode).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    return lines[-1].strip() if lines else f"ended with exit code {process.exitcode}"


def _work(task: Task) -> None:
    """Do a task in this process, of which nothing else is known."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    os.setpgid(0, 0)  # Ctrl-C in a terminal is for the one who started this, who passes it on
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(task.place)
    _redirect(task.job.folder / LOG)
    print(f"== {task.title}, {_now()}, {task.threads} threads", flush=True)
    began = time.monotonic()
    from sendvae.runs import describe_environment
    from sendvae.training import NothingTrained, Stopped
    from sendvae.training.log import peak_memory

    _limit_threads(task.threads)
    try:
        task.compute(task.job)
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
    """End when the process that started this one has ended, however it did."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def _redirect(log: Path) -> None:
    """Let everything that is printed go to the end of a file, also by libraries in C."""
    with log.open("ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _limit_threads(threads: int) -> None:
    """Let torch, and the libraries of numpy and scikit-learn, use so many."""
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    torch.set_num_threads(threads)


def _in_one_line(error: UserError) -> str:
    return error.problem + (f" (given: {error.given})" if error.given is not None else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
