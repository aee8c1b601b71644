"""The size and the digest that tell whether a file is the one that was published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sendvae.errors import UserError


@dataclass(frozen=True)
class Stated:
    """The size and digest of a file as its publisher states them.

    Attributes:
        size: the size in bytes; None if it is not stated.
        digest: "sha256:..." or "md5:...", whole or its beginning; None if it is not stated.
    """

    size: int | None = None
    digest: str | None = None

    def __str__(self) -> str:
        """Return the size and the digest for people; an empty text if neither is stated."""
        size = [f"{self.size:,} bytes"] if self.size is not None else []
        return ", ".join([*size, *([self.digest] if self.digest is not None else [])])

    def check(self, path: Path, next_step: str = "delete it and fetch it again") -> None:
        """Compare a file with what is stated. A digest is computed only if one is stated.

        Args:
            path: the path of the file.
            next_step: what the error advises.

        Raises:
            UserError: the file has another size or digest.
        """
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            raise self._differs(path, f"{size:,} bytes", next_step)
        if self.digest is not None:
            algorithm = self.digest.partition(":")[0]
            with path.open("rb") as file:
                given = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
            if not given.startswith(self.digest):
                raise self._differs(path, f"{size:,} bytes, {given}", next_step)

    def _differs(self, path: Path, given: str, next_step: str) -> UserError:
        return UserError(
            f"{path} is not the published file", given=given, expected=str(self), next_step=next_step
        )
