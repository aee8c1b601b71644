"""A kind of damaged input, tried in a process of its own."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.faults.inputs import try_kind
from tests.faults.kinds import KINDS

MEMORY = (
    16 * 2**30
)  # bytes of address space, so that an input that asks for all memory fails before the machine does


def tried_inputs(name: str, folder: Path) -> tuple[int, int, list[str]]:
    """Return how many cases were tried, how many of them refused, and every failure as text."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    tried = try_kind(KINDS[name], KINDS[name].cases, folder)
    return tried.cases, tried.refused, tried.words()
