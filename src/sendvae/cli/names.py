"""Short names for the things that paths, names or hub addresses stand for."""

from __future__ import annotations

from pathlib import Path

EXPORTED = "tokenizer"  # the folder inside a run; the run gives the name


def short_name(source: str) -> str:
    """Return the last part of a name or address.

    The folder of the tokenizer inside a run has the run's name, and a checkpoint has both its run's and its own.
    """
    path = Path(source)
    if not path.exists():
        return source.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    path = path.resolve()
    if path.parent.name == "checkpoints":
        return f"{path.parent.parent.name}-{path.name}"
    return path.stem if path.is_file() else path.parent.name if path.name == EXPORTED else path.name
