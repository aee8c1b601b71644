"""Deliberate faults, and the files with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """A deliberate fault.

    Attributes:
        name: the name on the command line.
        fault: what the changed code does, as a sentence.
        file: the path of the file below `src/sendvae`.
        old, new: a text that the file has exactly once, and the text that takes its place.
        tests: files or node ids below `tests`, of which one must fail.
    """

    name: str
    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the text of the mutant's file with the fault in it.

    Raises:
        ValueError: the mutant is stale.
    """
    text = (root / "src/sendvae" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(
            f"{mutant.name} is stale: its text occurs {text.count(mutant.old)} times in {mutant.file}"
        )
    return text.replace(mutant.old, mutant.new)
