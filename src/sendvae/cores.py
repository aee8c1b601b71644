"""The cores of this machine that a process may use."""

from __future__ import annotations

import os

from sendvae.errors import UserError


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int, field: str) -> None:
    """Refuse more threads than cores, which would wait for one another.

    Raises:
        UserError: there are more.
    """
    if threads > cores():
        raise UserError(
            f"{field} asks for more threads than this process has cores",
            given=threads,
            expected=f"1 to {cores()}",
            next_step=f"set {field} to {cores()} or less",
        )
