"""Signals that ask to stop, collected for whoever ends at a clean place."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def collected_signals(interrupt_at_second: bool = False) -> Iterator[list[int]]:
    """Yield the list into which SIGTERM and SIGINT are put as they come; outside the main thread it stays empty.

    Args:
        interrupt_at_second: a SIGINT after another signal raises `KeyboardInterrupt`: a second Ctrl-C does not wait,
            while schedulers repeat SIGTERM.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        if interrupt_at_second and received and signum == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(signum)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
