"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sendvae.distributed import is_main

PLAIN_INTERVAL = 10.0  # seconds between two plain lines


@runtime_checkable
class Bar(Protocol):
    """Progress that is being shown."""

    def advance(self, count: int, note: str = "") -> None:
        """Count further units as done, and show `note` beside them; without one the last note stays."""
        ...


def say(message: str) -> None:
    """Tell the user something besides the progress: one line, from the main process."""
    if is_main():
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


@contextmanager
def progress(description: str, total: int, unit: str = "img", start: int = 0) -> Iterator[Bar]:
    """Shows rate and time left of `total` units, of which `start` were done before.

    Silent if none are left, and in every process but the main one.
    """
    if start >= total or not is_main():
        yield _Silent()
    elif sys.stderr.isatty():
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            yield _RichBar(bars, description, total, unit, start)
    else:
        bar = _PlainBar(description, total, unit, start)
        yield bar
        if bar.done > bar.shown:
            bar.print()


class _Silent:
    def advance(self, count: int, note: str = "") -> None:
        pass


class _RichBar:
    def __init__(self, bars: Progress, description: str, total: int, unit: str, start: int) -> None:
        self.bars, self.unit, self.start, self.began = bars, unit, start, time.monotonic()
        self.note = ""
        self.task = bars.add_task(description, total=total, completed=start, rate="", note="")

    def advance(self, count: int, note: str = "") -> None:
        self.note = note or self.note
        self.bars.advance(self.task, count)
        rate = _rate(self.bars.tasks[self.task].completed - self.start, self.began, self.unit)
        self.bars.update(self.task, rate=rate, note=self.note)


class _PlainBar:
    def __init__(self, description: str, total: int, unit: str, start: int) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.start, self.done, self.shown, self.note = start, start, start, ""
        self.began = self.printed = time.monotonic()

    def advance(self, count: int, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        if time.monotonic() - self.printed >= PLAIN_INTERVAL:
            self.print()

    def print(self) -> None:
        self.printed, self.shown = time.monotonic(), self.done
        seconds = self.printed - self.began
        new = self.done - self.start
        left = f"{(self.total - self.done) * seconds / new:.0f}s" if new else "?"
        parts = [
            f"{min(self.done, self.total):,}/{self.total:,} {self.unit}",
            _rate(new, self.began, self.unit),
        ]
        parts += [f"ETA {left}" if self.done < self.total else f"took {seconds:.0f}s"]
        parts += [self.note] if self.note else []
        sys.stderr.write(f"{self.description}: {', '.join(parts)}\n")
        sys.stderr.flush()


def _rate(done: float, began: float, unit: str) -> str:
    return f"{done / max(1e-6, time.monotonic() - began):.1f} {unit}/s"
