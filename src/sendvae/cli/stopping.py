"""The messages and exit codes of commands that a signal ends."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from sendvae.signals import Handler, handled_signals

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
AGAIN = "run the same command again to go on"


class Terminated(KeyboardInterrupt):
    """The exception that is raised at SIGTERM, as Python raises its parent at Ctrl-C."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` at SIGTERM and `KeyboardInterrupt` at SIGINT, so that half-written files are removed.

    `KeyboardInterrupt` is raised even if SIGINT was ignored when the process began: shells without job control ignore
    it for what they start in the background.

    Nothing is changed in one of several processes: it may wait for another one that is gone, where Python cannot raise.
    Once the command has ended, neither signal disturbs how Python ends.
    """
    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        yield
        return
    own = os.getpid()

    def end(_signum: int, _frame: FrameType | None) -> NoReturn:
        if os.getpid() != own:  # a forked child ends without a message, which its parent prints
            os._exit(TERMINATED)
        raise Terminated

    handlers: dict[signal.Signals, Handler] = {signal.SIGTERM: end}
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        handlers[signal.SIGINT] = signal.default_int_handler
    try:
        with handled_signals(handlers):
            yield
    finally:
        atexit.register(_end_undisturbed, own)


def _end_undisturbed(own: int) -> None:
    """Ignore both signals from here on: the work is done, and unloading the imported modules takes a second."""
    if os.getpid() == own:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """End the process at Ctrl-C (exit code 130) or SIGTERM (143) with a message.

    Args:
        kept: what was kept and how to go on, as the second half of a sentence.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        ended = isinstance(stopped, Terminated)
        sys.stderr.write(f"\n{'terminated' if ended else 'interrupted'}: {kept}\n")
        sys.exit(TERMINATED if ended else INTERRUPTED)


@contextmanager
def graceful(kept: str = f"checkpoints and caches that were finished are kept; {AGAIN}") -> Iterator[None]:
    """End the process after work that was stopped and has written its checkpoints.

    The exit code is 143 for SIGTERM, 130 for Ctrl-C and 0 at the end of the given time. A training that learned
    nothing ends with 1.

    Args:
        kept: the message for a signal before the training has begun, or for a second one, as in `interruptible`.
    """
    from sendvae.training import NothingTrained, Stopped

    with interruptible(kept):
        try:
            yield
        except Stopped as stopped:
            sys.stderr.write(f"{stopped}\n")
            codes = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
            sys.exit(codes.get(signal.Signals(stopped.signum), 0))
        except NothingTrained as failed:
            sys.stderr.write(f"{failed}\n")
            sys.exit(1)
