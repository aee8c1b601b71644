"""The blocks of README and docs, as data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"reproduction.md", "predictors.md"}  # by `sendvae reproduce --markdown`
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in GENERATED),
]
FENCE = re.compile(r"^(?P<before>(?:<!--.*-->\n)?)```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^```$", re.M | re.S)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->")
CONTINUED = re.compile(r"\\\n\s*")


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        reason: why the block is not run; empty if it is run.
    """

    page: str
    kind: str
    text: str
    reason: str

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of every line that a user types, without the remark after a "#"."""
        for line in CONTINUED.sub(" ", self.text).splitlines():
            if line.startswith("$ "):
                yield shlex.split(line[2:], comments=True)


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = []
    for fence in FENCE.finditer(page.read_text()):
        marked = NOT_RUN.search(fence["before"])
        name = str(page.relative_to(ROOT))
        found.append(Block(name, fence["kind"], fence["text"], marked["reason"] if marked else ""))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
