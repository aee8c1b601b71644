"""Logs means of a run's scalars, rates and memory to metrics.jsonl and to trackers."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from sendvae.distributed import all_reduce_mean, is_main
from sendvae.runs import Journal, RunFolder, Tracker, open_tracker
from sendvae.training.speed import Speed

SKIPPED = "skipped_steps"
GIB = 2**30


class Window:
    """The scalars of the steps between two log lines; they stay on the device until they are read.

    Attributes:
        bad: position and names of what was not finite, of the newest steps in a row that had such a value.

    Args:
        limit: `bad` is left as it is once it holds so many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bad: list[tuple[int, list[str]]] = []
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._settled: list[dict[str, float]] = []

    def add(self, images_seen: int, scalars: Mapping[str, Tensor]) -> None:
        """Take one step's scalars, on any device; a step has the same names on every process."""
        self._pending.append((images_seen, {name: value.detach() for name, value in scalars.items()}))

    def flush(self) -> dict[str, float]:
        """Return means over steps and processes of what is finite, and the number of skipped steps; begin anew."""
        self._settle()
        values: dict[str, list[float]] = {}
        for row in self._settled:
            for name, value in row.items():
                values.setdefault(name, [])
                if math.isfinite(value):
                    values[name].append(value)
        means = {name: sum(some) / len(some) for name, some in values.items() if some}
        skipped = sum(not all(map(math.isfinite, row.values())) for row in self._settled)
        self._settled = []
        return means | ({SKIPPED: float(skipped)} if skipped else {})

    def _settle(self) -> None:
        """Fetch what is pending: one reduction over processes, one copy from the device."""
        if not self._pending:
            return
        stacked = torch.cat([torch.stack([v.double() for v in row.values()]) for _, row in self._pending])
        numbers = iter(all_reduce_mean(stacked).tolist())
        for position, row in self._pending:
            settled = {name: next(numbers) for name in row}
            self._settled.append(settled)
            names = [name for name, value in settled.items() if not math.isfinite(value)]
            if len(self.bad) < self.limit:
                self.bad = [*self.bad, (position, names)] if names else []
        self._pending = []

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps (JSON); every process calls this."""
        self._settle()
        return {"rows": self._settled, "bad": self.bad}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._settled = [dict(row) for row in state["rows"]]
        self.bad = [(int(position), list(names)) for position, names in state["bad"]]


class Log:
    """metrics.jsonl and the trackers of a run; of several processes only the main one writes.

    Args:
        run: the run folder.
        trackers: names of `sendvae.runs.TRACKERS`.
        images_seen: where the run resumes; later lines of the journal are dropped.
        speed: the constants by which lines tell TFLOP/s and their share of the peak; with None they do not.
    """

    def __init__(
        self, run: RunFolder, trackers: Sequence[str], images_seen: int, speed: Speed | None = None
    ) -> None:
        self.speed = speed
        self.journal = Journal(run.journal_path)
        self.trackers: list[Tracker] = []
        if is_main():
            self.journal.truncate_after(images_seen)
            self.trackers = [open_tracker(name, run.path, images_seen) for name in trackers]
        self._last = time.monotonic(), images_seen

    def write(self, images_seen: int, step: int, scalars: Mapping[str, float]) -> dict[str, float]:
        """Write one line, with the rates since the line before and the peak memory in GiB; return the rates."""
        now, (before, images_before) = time.monotonic(), self._last
        self._last = now, images_seen
        if not is_main():
            return {}
        rate = (images_seen - images_before) / max(now - before, 1e-9)
        rates = {"images_per_second": rate} | (self.speed.rates(rate) if self.speed else {})
        line = {**scalars, **rates, "memory_gib": peak_memory()}
        self.journal.append(images=images_seen, step=step, **line)
        for tracker in self.trackers:
            tracker.log(images_seen, line)
        return rates

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self.trackers:
            tracker.close()


def peak_memory() -> float:
    """Return the peak memory in GiB: of the device if it is a GPU, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
