"""A registry is a dict whose "unknown name" error says which names exist and which one was probably meant."""

from __future__ import annotations

import difflib
from typing import TypeVar

from sendvae.errors import UserError

Entry = TypeVar("Entry")

ALL_SHOWN, NEAREST_SHOWN = 25, 10  # names in an error: all of a short table, else the nearest


class Registry(dict[str, Entry]):
    """Mapping of names to entries.

    Args:
        kind: what an entry is, in the singular, for the error message ("tokenizer", "sampler").
        entries: the rows.

    Raises:
        UserError: on lookup of an unknown name.
    """

    def __init__(self, kind: str, entries: dict[str, Entry]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> Entry:
        raise unknown_name(self.kind, name, list(self))


def unknown_name(kind: str, name: str, known: list[str]) -> UserError:
    """Return the error for a name that is not in a table, with the nearest known one as advice.

    Of a long table it names the nearest entries alone.
    """
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    shown = (
        known
        if len(known) <= ALL_SHOWN
        else difflib.get_close_matches(name, known, n=NEAREST_SHOWN, cutoff=0.0)
    )
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return UserError(
        f"unknown {kind} '{name}'",
        expected=f"one of {', '.join(sorted(shown))}{more}",
        next_step=f"did you mean '{nearest[0]}'?" if nearest else None,
    )
