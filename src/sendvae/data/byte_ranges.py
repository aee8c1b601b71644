"""Reading many byte ranges of a few files, on the local disk or a remote file system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from sendvae.data.locations import file_system_of, is_local, read_ranges
from sendvae.errors import UserError

OPEN_FILES = 128  # kept open per process; Linux and macOS allow 1,024 and 256 by default


class Piece(NamedTuple):
    """`size` bytes of file number `file`, from `offset` on."""

    file: int
    offset: int
    size: int


class ByteRanges:
    """Reads many pieces of the files of one folder at once.

    Local files stay open between calls and are read without a shared position, so threads and forked processes
    may share an instance; elsewhere a call asks for all pieces at the same time.

    Args:
        location: folder or fsspec URL.
        names: the names of the files in it.
    """

    def __init__(self, location: str, names: Sequence[str]) -> None:
        self.location, self.names = location, list(names)
        self.root = file_system_of(location)[1] if is_local(location) else None
        self._descriptor = lru_cache(OPEN_FILES)(_Descriptor)

    def __reduce__(self) -> tuple[type[ByteRanges], tuple[str, list[str]]]:
        return ByteRanges, (self.location, self.names)

    def read(self, pieces: Sequence[Piece]) -> list[bytes]:
        """Return the bytes of the pieces, in their order.

        Raises:
            UserError: a file is missing or shorter than expected, or a server does not send ranges.
        """
        try:
            found = self._read_local(pieces) if self.root is not None else self._read_remote(pieces)
        except FileNotFoundError as error:
            raise UserError(
                "a shard is missing", given=error, next_step="copy the whole folder, or prepare it again"
            ) from None
        for piece, data in zip(pieces, found, strict=True):
            if len(data) != piece.size:
                raise UserError(
                    f"{self.location}/{self.names[piece.file]} does not give the bytes asked for",
                    given=f"{len(data)} bytes from {piece.offset}",
                    expected=f"{piece.size} bytes: a whole file, on a server that supports range requests",
                )
        return found

    def _read_local(self, pieces: Sequence[Piece]) -> list[bytes]:
        return [
            os.pread(
                self._descriptor(f"{self.root}/{self.names[piece.file]}").number, piece.size, piece.offset
            )
            for piece in pieces
        ]

    def _read_remote(self, pieces: Sequence[Piece]) -> list[bytes]:
        return read_ranges(
            self.location,
            [self.names[piece.file] for piece in pieces],
            [piece.offset for piece in pieces],
            [piece.offset + piece.size for piece in pieces],
        )


class _Descriptor:
    """A file open for reading, closed with its last reference."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)
