"""Signal handlers and masks that last for a block; the former ones are restored at its end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from signal import Handlers
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | Handlers | int | None

STOPPING = (signal.SIGTERM, signal.SIGINT)  # the signals that ask a process to stop
END = 0  # no signal has this number


@contextmanager
def handled_signals(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Install signal handlers for the block, and restore the former ones after it.

    Only the main thread may set handlers.
    """
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def blocked_signals(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Block signals to this thread until the end of the block, then restore the former mask."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def collected_signals(interrupt_at_second: bool = False) -> Iterator[list[int]]:
    """Yield a list that collects every SIGTERM and SIGINT as it arrives. Outside the main thread it stays empty.

    Args:
        interrupt_at_second: whether a SIGINT after another signal raises `KeyboardInterrupt`, so that a second Ctrl-C
            takes effect at once. A repeated SIGTERM, as schedulers send, is only collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        if interrupt_at_second and received and signum == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(signum)

    with handled_signals(dict.fromkeys(STOPPING, note)):
        yield received


@contextmanager
def answered_signals(answer: Callable[[int], None]) -> Iterator[None]:
    """Call `answer` with the number of the first SIGTERM or SIGINT at once, from a thread of its own.

    Python runs a handler only after the main thread has left the C code that it is in, such as a backward pass.
    Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def listen() -> None:
        answered = False
        while (number := reader.recv(1)[0]) != END:  # every signal with a Python handler arrives
            if number in STOPPING and not answered:
                answer(number)
                answered = True

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.send(bytes([END]))
        listener.join()
        writer.close()
        reader.close()
