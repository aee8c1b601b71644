"""One row for each weight file or set of files: where it comes from, what it holds, whether it is here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from sendvae.errors import UserError
from sendvae.weights.published import Stated
from sendvae.weights.reach import Unavailable

FOLDER_VARIABLE, DEFAULT_FOLDER = "SENDVAE_WEIGHTS", "~/.cache/sendvae"
CONFIG = "config.json"  # describes the weights of its folder

# From the names of a folder's files, and the one asked for if one is, to those wanted, the weights first.
Choose = Callable[[list[str], str | None], list[str]]


@runtime_checkable
class Source(Protocol):
    """Where weights are published; `str` gives its address as people write it."""

    def find(self, choose: Choose) -> list[Path]:
        """Return the files that are on this machine, the weights first; asks no network, reads no file."""
        ...

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Download what `find` will find, checked before it is there.

        Raises:
            Unavailable: it cannot be had.
            UserError: what came is not what was published; it is removed.
        """
        ...

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare files that `find` gave, or that were put by hand, with what was published.

        Raises:
            UserError: they differ.
        """
        ...

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return how a person gets these files, one way a line; `folder` takes files put by hand."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of one network (or of a part of one).

    They may be put by hand into the folder $SENDVAE_WEIGHTS/NAME; otherwise they are where the source keeps
    them.

    Attributes:
        name: the name of the network, by which `sendvae models pull` knows it, or its address on a hub.
        source: where they are published.
        files: names of the files, the weights first; "*" where the makers do not document a name.
        licence: the licence of the weights; None for an address that no table has.
        parameters: of the network, or of the part of it, that they hold; None likewise.
        size: bytes of the weights, where published.
        digest: "sha256:..." or "md5:...", whole or its beginning, where published.
        copies: other sources of the same bytes, which are looked at but not fetched.
        choose: which files of a folder belong to the network; by default exactly `files`.
    """

    name: str
    source: Source
    files: tuple[str, ...]
    licence: str | None = None
    parameters: int | None = None
    size: int | None = None
    digest: str | None = None
    copies: tuple[Source, ...] = ()
    choose: Choose | None = None

    @property
    def folder(self) -> Path:
        """Where to put the files by hand."""
        return hand_folder(self.name)

    def find(self) -> list[Path]:
        """Return the files that are on this machine, the weights first; empty if the weights are not.

        Files put by hand come first. Asks no network and reads no file.
        """
        if by_hand := chosen(self.folder, self._choose):
            return by_hand
        return next(filter(None, (source.find(self._choose) for source in (self.source, *self.copies))), [])

    def pull(self) -> list[Path]:
        """Return the files, the weights first, downloaded with a progress bar if they are not here.

        They are compared with the size and digest that were published.

        Raises:
            UserError: they cannot be had (the error says what to get and where to put it), or are others.
        """
        stated = Stated(self.size, self.digest)
        if found := self.find():
            self.source.check(found, stated)
            return found
        try:
            return self.source.fetch(self._choose, stated)
        except Unavailable as reason:
            raise self._missing(str(reason), stated) from None

    def _choose(self, names: list[str], main: str | None) -> list[str]:
        if self.choose is not None:
            return self.choose(names, main)
        return list(self.files) if set(self.files) <= set(names) else []

    def _missing(self, reason: str, stated: Stated) -> UserError:
        facts = "; ".join(filter(None, (self.licence, str(stated))))
        ways = self.source.ways(self.name, self.files, self.folder)
        return UserError(
            f"the weights of {self.name} are not on this machine",
            given=reason,
            expected=f"{', '.join(self.files)} of {self.source}" + (f" ({facts})" if facts else ""),
            next_step="\n            ".join(ways),
        )


def hand_folder(name: str) -> Path:
    """Return where files are put by hand: $SENDVAE_WEIGHTS/NAME, by default ~/.cache/sendvae/NAME.

    Args:
        name: the name of a network; of an address, the part after its prefix.
    """
    root = Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).expanduser()
    return root / name.rpartition(":")[2]


def chosen(folder: Path, choose: Choose, main: str | None = None) -> list[Path]:
    """Return the chosen files of a folder and of those folders in it that a config.json describes."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.is_file()]
    for inner in folder.iterdir():
        if (inner / CONFIG).is_file():
            names += [f"{inner.name}/{path.name}" for path in inner.iterdir() if path.is_file()]
    return [folder / name for name in choose(sorted(names), main)]
