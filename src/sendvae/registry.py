"""A dict whose error for an unknown name says which names exist and which one was probably meant."""

from __future__ import annotations

import difflib
from typing import TypeVar

from sendvae.errors import UserError

Entry = TypeVar("Entry")

ALL_SHOWN, NEAREST_SHOWN = 25, 10  # an error lists all names of a short table, else the nearest ones


class Registry(dict[str, Entry]):
    """A mapping of names to entries.

    Args:
        kind: what an entry is, in the singular, for the error message ("tokenizer", "sampler").
        entries: the entries by name.

    Raises:
        UserError: an unknown name is looked up.
    """

    def __init__(self, kind: str, entries: dict[str, Entry]) -> None:
        super().__init__(entries)
        self.kind = kind

    def __missing__(self, name: str) -> Entry:
        raise unknown_name(self.kind, name, list(self))


def unknown_name(kind: str, name: str, known: list[str]) -> UserError:
    """Return the error for a name that is not in a table, with the nearest known name as advice.

    It lists all names of a table of at most 25, and only the 10 nearest of a longer one. A section that all names
    begin with, as in `data.size`, makes none of them near.
    """
    section = name[: name.rfind(".") + 1]
    if not all(one.startswith(section) for one in known):
        section = ""
    own = [one.removeprefix(section) for one in known]
    nearest = difflib.get_close_matches(name.removeprefix(section), own, n=1, cutoff=0.5)
    shown = (
        known
        if len(known) <= ALL_SHOWN
        else difflib.get_close_matches(name, known, n=NEAREST_SHOWN, cutoff=0.0)
    )
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return UserError(
        f"unknown {kind} '{name}'",
        expected=f"one of {', '.join(sorted(shown))}{more}",
        next_step=f"did you mean '{section}{nearest[0]}'?" if nearest else None,
    )
