"""Weights behind a web address, kept in torch's hub folder, where the code of their makers looks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from sendvae.errors import UserError
from sendvae.weights.published import Stated
from sendvae.weights.reach import REACH_SECONDS, Unavailable, reach
from sendvae.weights.table import Choose


@dataclass(frozen=True)
class Web:
    """A file behind a web address.

    Attributes:
        address: the address, https://...
        file: the name of the file on this machine; by default the last part of the address.
    """

    address: str
    file: str | None = None

    def __str__(self) -> str:
        """Return the address."""
        return self.address

    @property
    def place(self) -> Path:
        """Return the path of the file, in the folder "checkpoints" of torch's hub folder."""
        import torch.hub

        return Path(torch.hub.get_dir()) / "checkpoints" / (self.file or self.address.rpartition("/")[2])

    def find(self, choose: Choose) -> list[Path]:
        """Return the file if it is in torch's hub folder."""
        del choose
        return [self.place] if self.place.is_file() else []

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Download the file beside its place, check it, and rename it. A second process waits for the first.

        Raises:
            Unavailable: the address cannot be reached, or the download breaks off.
            UserError: the downloaded file is not the published one. It is removed.
        """
        del choose
        reach(self.address, self._request_head)
        from filelock import FileLock

        place = self.place
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(place.with_name(f".{place.name}.lock")):
                if not place.is_file():  # else another process was first
                    self._download(place, stated)
        except OSError as error:
            raise Unavailable(f"{self.address} was not fetched ({error})") from None
        return [place]

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare the file with what is stated. A file that differs stays, since it may have been put there by hand.

        Raises:
            UserError: the file differs.
        """
        stated.check(paths[0])

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return the command that downloads the file, and the address with the place to put it."""
        return [
            f"with a network: sendvae models pull {name}",
            f"without: put {self.address}",
            f"at {folder / files[0]}",
        ]

    def _download(self, place: Path, stated: Stated) -> None:
        from torch.hub import download_url_to_file

        part = place.with_name(f".{place.name}.part")
        for rest in place.parent.glob(f"{part.name}*"):  # left over by a process that was killed
            rest.unlink()
        download_url_to_file(self.address, str(part))
        try:
            stated.check(part)
        except UserError as error:
            part.unlink()
            raise UserError(
                f"what came from {self.address} is not the published file",
                given=error.given,
                expected=error.expected,
                next_step="it was removed; download it again",
            ) from None
        part.replace(place)

    def _request_head(self) -> None:
        try:
            urlopen(Request(self.address, method="HEAD"), timeout=REACH_SECONDS).close()
        except HTTPError as error:  # an error code is an answer, too
            error.close()
