"""metrics.jsonl: one line of scalars every few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sendvae.files import write_text

JOURNAL = "metrics.jsonl"
TAIL = 8192  # bytes at the end of a journal: more than two lines


class Journal:
    """Appends JSON lines; on resume, drops what the checkpoint does not cover."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, images: int, step: int, **scalars: float) -> None:
        """Add a line with how many images the run has seen, its step, and any scalars by name."""
        with self.path.open("a") as file:
            file.write(json.dumps({"images": images, "step": step, **scalars}) + "\n")

    def truncate_after(self, images: int) -> None:
        """Drop the lines of more than `images` images, and one that was cut short; the file may be missing."""
        if not self.path.is_file():
            return
        kept = [line for line in whole_lines(self.path) if line["images"] <= images]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


def read_journal(path: Path) -> dict[str, list[float | None]]:
    """Return the columns of a journal; a scalar that a line lacks is None."""
    lines = whole_lines(path)
    names = dict.fromkeys(name for line in lines for name in line)
    return {name: [line.get(name) for line in lines] for name in names}


def images_in_journal(path: Path) -> int:
    """Return the images seen at the last whole line of a journal, of which only the end is read; 0 without one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            ends = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return 0
    for text in reversed(ends):
        try:
            return int(json.loads(text)["images"])
        except (
            json.JSONDecodeError,
            KeyError,
            TypeError,
        ):  # cut short, by a kill or by where the reading began
            continue
    return 0


def whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines, without lines that a killed process cut short."""
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
