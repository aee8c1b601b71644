"""Files on the local disk or on any fsspec file system, by path or URL.

fsspec annotates its methods with unions of everything they can return; here they have the one type that is used.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sendvae.errors import UserError


def file_system_of(location: str | Path) -> tuple[Any, str]:
    """Return the file system of a path or URL, and the path there without a trailing slash.

    Raises:
        UserError: fsspec needs a package for this kind of URL, or does not know it.
    """
    try:
        file_system, path = fsspec.core.url_to_fs(str(location))
    except ImportError as error:
        raise UserError(
            "a package for this kind of URL is missing",
            given=f"{location} ({error})",
            next_step="pip install 'sendvae[remote]' for http; s3fs, gcsfs, ... for other kinds",
        ) from None
    except ValueError as error:
        raise UserError("not a folder or URL that fsspec knows", given=f"{location} ({error})") from None
    return file_system, path.rstrip("/")


def is_local(location: str | Path) -> bool:
    """Return whether a path or URL is of the local file system; nothing need be there.

    Raises:
        UserError: as `file_system_of`.
    """
    return isinstance(file_system_of(location)[0], LocalFileSystem)


def exists(location: str) -> bool:
    """Return whether a file or folder is at a path or URL.

    Raises:
        UserError: as `file_system_of`.
    """
    file_system, path = file_system_of(location)
    return file_system.exists(path)


def read_bytes(location: str | Path, limit: int | None = None) -> bytes:
    """Return the bytes of a whole file, or the first `limit` of them.

    Raises:
        FileNotFoundError: it is not there.
    """
    file_system, path = file_system_of(location)
    return file_system.cat_file(path, end=limit)


def read_ranges(
    location: str, names: Sequence[str], starts: Sequence[int], ends: Sequence[int]
) -> list[bytes]:
    """Return bytes `starts` to `ends` of files in a folder; a remote file system gets all requests at once.

    Raises:
        FileNotFoundError: one is not there.
    """
    file_system, root = file_system_of(location)
    paths = [f"{root}/{name}" for name in names]
    return file_system.cat_ranges(paths, list(starts), list(ends), on_error="raise")


class Tree(NamedTuple):
    """The files below a folder.

    Attributes:
        files: all files below it, sorted, by their paths from there.
        ignored: (path, reason) of links that lead nowhere or to a folder that is listed already.
    """

    files: list[str]
    ignored: list[tuple[str, str]]


def find_files(location: str) -> Tree:
    """List the files below a folder. Local links to folders are followed, each folder once, so that loops end.

    A folder is listed under its real path if that is below `location`, else under the first link to it.
    """
    file_system, root = file_system_of(location)
    if isinstance(file_system, LocalFileSystem) and Path(root).is_dir():
        tree = _walk(Path(root))
        _check_names(root, tree.files)
        return tree
    return Tree(sorted(path.removeprefix(f"{root}/") for path in file_system.find(root)), [])


def _check_names(root: str, names: Sequence[str]) -> None:
    """Refuse names that could not be written into an index.

    Raises:
        UserError: one is not UTF-8.
    """
    wrong = [name for name in names if any("\udc80" <= letter <= "\udcff" for letter in name)]
    if wrong:
        raise UserError(
            f"{root} holds names that are not UTF-8",
            given=f"{wrong[0]!a}" + (f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""),
            next_step=f"rename them, for example: convmv -r -f latin1 -t utf8 --notest {root}",
        )


def _walk(root: Path) -> Tree:
    """Visit real folders first, then the targets of links in them, and so on; visit no folder twice."""
    tree, seen, links = Tree([], []), set[tuple[int, int]](), [""]
    while links:
        found: list[str] = []
        for link in sorted(links):
            found += _walk_real(root, link, tree, seen)
        links = found
    return Tree(sorted(tree.files), sorted(tree.ignored))


def _walk_real(root: Path, start: str, tree: Tree, seen: set[tuple[int, int]]) -> list[str]:
    """Add to `tree` what lies below a folder without following links; return the links to folders there."""
    links, pending = [], [start]
    while pending:
        folder = pending.pop()
        status = (root / folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            tree.ignored.append((folder, "a link to a folder that is listed already"))
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in os.scandir(root / folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            elif Path(entry.path).is_dir():  # of a link that leads to itself, False
                links.append(path)
            elif entry.is_symlink() and not Path(entry.path).exists():
                tree.ignored.append((path, "a link that leads nowhere"))
            else:
                tree.files.append(path)
    return links


def open_binary(location: str, compression: str | None = None) -> Any:
    """Open a binary file for reading, decompressed; the class of the result depends on the file system."""
    file_system_of(location)  # for its errors
    opened: Any = fsspec.open(location, "rb", compression=compression)
    return opened.open()
