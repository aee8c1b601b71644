"""Trials of damaged inputs. Every command that reads one must say what is wrong with it, or work."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, Phase, given, settings
from tests.faults.commands import Ended, call
from tests.faults.damage import CANARY
from tests.faults.kinds import Case, Kind

from sendvae.faults import NO_MEMORY

SHOWN = 200  # bytes of a file in the text of a failure


@dataclass
class Tried:
    """The outcome of the trials of a kind of input.

    Attributes:
        kind: the name of the kind.
        cases: the number of cases that were tried, all different.
        refused: the number of cases that ended with a message. The others were good enough to work with.
        failures: what went wrong that must not, the case, and how its command ended.
    """

    kind: str
    cases: int = 0
    refused: int = 0
    failures: list[tuple[str, Case, Ended]] = field(default_factory=list)

    def words(self) -> list[str]:
        """Return every failure as text."""
        texts = []
        for what, case, ended in self.failures:
            files = {name: data[:SHOWN] for name, data in case.files.items()}
            texts.append(f"{what}\n{case.arguments}\n{files}\n{ended.code} {ended.said}")
        return texts


def try_kind(kind: Kind, count: int, folder: Path) -> Tried:
    """Run commands on at most `count` damaged inputs, which are the same every time.

    Args:
        kind: the kind of input.
        count: the number of examples that are drawn. Equal ones are tried once.
        folder: a new folder to work in.
    """
    whole = folder / "whole"
    whole.mkdir(parents=True)
    with _temporary(folder):
        kind.fill(whole)
        tried, seen = Tried(kind.name), set()

        @settings(
            max_examples=count,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(kind.draw(whole))
        def each(case: Case) -> None:
            if (key := repr(case)) not in seen:
                seen.add(key)
                _try(kind, case, whole, folder / "case" / "place", tried)

        each()
    return tried


def _try(kind: Kind, case: Case, whole: Path, place: Path, tried: Tried) -> None:
    shutil.copytree(whole, place)
    for name, data in case.files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        ended = call(case.arguments, place)
    except BaseException as error:  # a panic in a library of Rust is no Exception
        ended = Ended(-1, "", f"{type(error).__name__}: {error}")
    tried.cases += 1
    tried.refused += ended.code != 0
    found = [path for pattern in kind.output for path in place.glob(pattern)]
    outside = [path for path in place.parent.iterdir() if path != place]
    for wrong, what in (
        (ended.is_a_bug, "a traceback, or an unknown error"),
        (NO_MEMORY.problem in ended.said, "it asked for more memory than there is"),
        (ended.code != 0 and bool(found), f"partial output: {found}"),
        (bool(list(place.parent.rglob(CANARY))), "something was executed"),
        (bool(outside), f"written elsewhere: {outside}"),
    ):
        if wrong:
            tried.failures.append((what, case, ended))
    shutil.rmtree(place.parent)
    place.parent.mkdir()


@contextmanager
def _temporary(folder: Path) -> Iterator[None]:
    """Let texts of unknown errors be saved below a folder."""
    place = folder / "temporary"
    place.mkdir()
    with mock.patch.object(tempfile, "tempdir", str(place)):
        yield
