"""How many CPU cores a process may use."""

from __future__ import annotations

import os

from sendvae.errors import UserError


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_threads(threads: int, field: str) -> None:
    """Refuse more threads than cores, since such threads would wait for one another.

    Args:
        threads: the number of threads asked for.
        field: the configuration field that asks for them, for the error message.

    Raises:
        UserError: `threads` exceeds the number of cores.
    """
    if threads > cores():
        raise UserError(
            f"{field} asks for more threads than this process has cores",
            given=threads,
            expected=f"1 to {cores()}",
            next_step=f"set {field} to {cores()} or less",
        )
