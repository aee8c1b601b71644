"""Where a preparation may write: a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path

from sendvae.data.prepare_shard import UNFINISHED
from sendvae.data.shards import MANIFEST
from sendvae.errors import UserError

SKIPPED = "skipped.jsonl"  # all that is left of a preparation that found no image


def check_target(source: str, folder: Path) -> None:
    """Refuse a folder that a preparation of `source` must not write to, before anything is read.

    Raises:
        UserError: it is a file, it is the source, lies in it or around it, or it holds what no preparation wrote.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError("the target is a file", given=folder, expected="a folder that is new or empty")
    target, given = folder.resolve(), Path(source)
    if given.exists():
        own = given.resolve()
        if own == target or own in target.parents or target in own.parents:
            raise UserError(
                "the target and the source lie in each other",
                given=f"{source} and {folder}",
                next_step="choose a folder beside the source",
            )
    if not folder.is_dir() or recorded_identity(folder) is not None:
        return
    others = sorted(path.name for path in folder.iterdir() if path.name not in (UNFINISHED, SKIPPED))
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise UserError(
            f"{folder} holds other files",
            given=others[0] + more,
            expected="a folder that is new or empty, or an earlier preparation of the same images",
            next_step="choose another folder",
        )


def recorded_identity(folder: Path) -> str | None:
    """Return what was or is being prepared in a folder; None if nothing.

    Raises:
        UserError: the manifest is damaged.
    """
    for path in (folder / MANIFEST, folder / UNFINISHED / MANIFEST):
        if path.is_file():
            try:
                return json.loads(path.read_text()).get("identity", "unknown")
            except (ValueError, AttributeError):
                raise UserError(
                    "the manifest of a data set is damaged",
                    given=path,
                    next_step="delete the folder and prepare it again",
                ) from None
    return None
