"""Turns a run that a signal ended into a message and an exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def graceful() -> Iterator[None]:
    """SIGTERM, once the checkpoint is written: exit 0. Ctrl-C: 130. A run that learned nothing: 1."""
    from sendvae.training import NothingTrained, Stopped

    try:
        yield
    except Stopped as stopped:
        sys.stderr.write(f"{stopped}\n")
        sys.exit(0 if stopped.signum == signal.SIGTERM else 130)
    except NothingTrained as failed:
        sys.stderr.write(f"{failed}\n")
        sys.exit(1)
