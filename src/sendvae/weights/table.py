"""The row of a weight file or a set of them: where it comes from, what it holds, whether it is on this machine."""

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
CONFIG = "config.json"  # the file that describes the weights of its folder

# Takes the names of a folder's files and the name of the weights, if one is asked for; returns the names of the files
# that belong to the network, the weights first.
Choose = Callable[[list[str], str | None], list[str]]


@runtime_checkable
class Source(Protocol):
    """A place where weights are published; `str` gives its address as people write it."""

    def find(self, choose: Choose) -> list[Path]:
        """Return the files that are on this machine, the weights first, without network and without reading a file."""
        ...

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Download the files, check them against what is stated and return them, the weights first.

        Raises:
            Unavailable: the files cannot be obtained.
            UserError: a file is not the published one. It is removed.
        """
        ...

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare files that `find` gave, or that were put there by hand, with what was published.

        Raises:
            UserError: a file differs.
        """
        ...

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return the ways in which a person can get these files, one per line; `folder` is for files put by hand."""
        ...


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of one network, or of a part of one.

    They may be put by hand into the folder $SENDVAE_WEIGHTS/NAME; otherwise they are where the source keeps
    them.

    Attributes:
        name: the name of the network for `sendvae models pull`, or its address on a hub.
        source: where the weights are published.
        files: the names of the files, the weights first; "*" where the makers do not document a name.
        licence: the licence of the weights; None for an address that is in no table.
        parameters: the number of parameters that the weights hold; None for an address that is in no table.
        size: the size of the weights in bytes, where published.
        digest: "sha256:..." or "md5:...", whole or its beginning, where published.
        copies: other sources of the same bytes, which are searched on this machine but not downloaded.
        choose: selects the files of a folder that belong to the network; by default exactly `files`.
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
        """Return the folder into which files may be put by hand."""
        return hand_folder(self.name)

    def find(self) -> list[Path]:
        """Return the files that are on this machine, the weights first; an empty list if the weights are not.

        Files put by hand are preferred. No network is used and no file is read.
        """
        if by_hand := chosen(self.folder, self._choose):
            return by_hand
        return next(filter(None, (source.find(self._choose) for source in (self.source, *self.copies))), [])

    def pull(self) -> list[Path]:
        """Return the files, the weights first. They are downloaded with a progress bar if they are not on this machine.

        They are compared with the size and digest that were published.

        Raises:
            UserError: the files cannot be obtained (the error says what to get and where to put it), or they differ.
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
    """Return the folder for files put by hand: $SENDVAE_WEIGHTS/NAME, by default ~/.cache/sendvae/NAME.

    Args:
        name: the name of a network, or an address, whose prefix is left out of the folder.
    """
    root = Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).expanduser()
    return root / name.rpartition(":")[2]


def chosen(folder: Path, choose: Choose, main: str | None = None) -> list[Path]:
    """Return the files that `choose` selects from a folder and from its subfolders that have a config.json."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.is_file()]
    for inner in folder.iterdir():
        if (inner / CONFIG).is_file():
            names += [f"{inner.name}/{path.name}" for path in inner.iterdir() if path.is_file()]
    return [folder / name for name in choose(sorted(names), main)]
