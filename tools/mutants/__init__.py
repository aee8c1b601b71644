"""Puts deliberate faults into a copy of the code, one by one, and names those that no test notices.

    python -m tools.mutants                  all of them (`make mutants`); exit code 1 if one survives
    python -m tools.mutants --list           what they break, and which tests must die of it
    python -m tools.mutants --only NAME      one; again for several

A mutant replaces a text that occurs exactly once in its file. Where the code has changed so that it does not, the
mutant is stale: write it anew for the code that now does the same. A claim that this list does not break is not
known to be tested: add a mutant with every wire between two parts that gives numbers, in the file of its room.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.mutants import (
    app,
    checkpoints,
    data,
    evaluation,
    experiments,
    faults,
    jobs,
    latents,
    networks,
    reproduction,
    sampling,
    training,
    weights,
)
from tools.mutants.mutant import Mutant

MUTANTS: list[Mutant] = [
    mutant
    for room in (
        data,
        networks,
        training,
        checkpoints,
        jobs,
        sampling,
        evaluation,
        latents,
        experiments,
        reproduction,
        weights,
        faults,
        app,
    )
    for mutant in room.MUTANTS
]


def find(names: Iterable[str]) -> list[Mutant]:
    """Return the mutants of these names, all without any.

    Raises:
        KeyError: there is no mutant of a name.
    """
    known = {mutant.name: mutant for mutant in MUTANTS}
    return [known[name] for name in names] or MUTANTS
