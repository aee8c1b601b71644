"""Where the time of a command goes: a trace of a few of its steps by torch.profiler, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from sendvae.distributed import is_main
from sendvae.runs.progress import say

TRACE = "profile.json"  # chrome://tracing and ui.perfetto.dev read it
ROWS = 20  # of the table
WARM_UP = 1  # steps before the trace: libraries choose kernels, optimisers make their state

_step: ContextVar[Callable[[], None] | None] = ContextVar("_step", default=None)


def step_done() -> None:
    """Say that a step has ended; only `profiling` listens."""
    if (listener := _step.get()) is not None:
        listener()


@contextmanager
def profiling(steps: int, trace: Path) -> Iterator[None]:
    """Trace `steps` steps of what runs inside, after one to warm up, on the main process; 0: none.

    Afterwards the trace lies in `trace`, and a table of the operations that took longest was written to stderr.
    """
    if not steps or not is_main():
        yield
        return
    activities = [ProfilerActivity.CPU]
    on_device = torch.cuda.is_available()
    if on_device:
        activities.append(ProfilerActivity.CUDA)
    seen = 0

    def show(profiler: profile) -> None:
        trace.parent.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(trace))
        sort = "self_cuda_time_total" if on_device else "self_cpu_time_total"
        say(profiler.key_averages().table(sort_by=sort, row_limit=ROWS, max_name_column_width=50))
        say(
            f"profile of {min(steps, seen - WARM_UP)} steps: {trace}; chrome://tracing or ui.perfetto.dev show it"
        )

    plan = schedule(wait=0, warmup=WARM_UP, active=steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=show) as profiler:

        def listen() -> None:
            nonlocal seen
            seen += 1
            profiler.step()

        token = _step.set(listen)
        try:
            yield
        finally:
            _step.reset(token)
    if seen <= WARM_UP:
        say(f"nothing was profiled: {seen} steps were left to do, and the first only warms up")
