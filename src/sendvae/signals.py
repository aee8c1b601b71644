"""Signals that ask to stop, collected for whoever ends at a clean place."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT)
END = 0  # no signal has this number


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

    before = {number: signal.signal(number, note) for number in STOPPING}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def answered_signals(answer: Callable[[int], None]) -> Iterator[None]:
    """Call `answer` with the first SIGTERM or SIGINT at once, from a thread.

    Python runs handlers in the main thread, after what that computes there and then: a backward pass, say. Outside the
    main thread nothing is answered.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, told = socket.socketpair()
    told.setblocking(False)

    def listen() -> None:
        answered = False
        while (number := heard.recv(1)[0]) != END:  # of all signals with a handler in Python
            if number in STOPPING and not answered:
                answer(number)
                answered = True

    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.send(bytes([END]))
        listener.join()
        told.close()
        heard.close()
