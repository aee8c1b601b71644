"""Weights in repositories of the Hugging Face hub, read through the cache of its client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sendvae.errors import UserError
from sendvae.weights.published import Stated
from sendvae.weights.reach import REACH_SECONDS, Unavailable, reach
from sendvae.weights.table import Choose, chosen

HUB = "hf-hub:"
PAGES = "https://huggingface.co"
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Hub:
    """A repository of the hub, or one of its folders.

    Attributes:
        repository: "OWNER/NAME".
        folder: a folder of the repository; empty for the repository itself.
        file: a file of that folder, if one is asked for by name.
    """

    repository: str
    folder: str = ""
    file: str | None = None

    def __str__(self) -> str:
        """Return "hf-hub:OWNER/NAME[/PATH]"."""
        return HUB + "/".join(filter(None, (self.repository, self.folder, self.file)))

    def find(self, choose: Choose) -> list[Path]:
        """Return the files of the revision that was downloaded last, in the client's cache."""
        snapshot = self._snapshot()
        return chosen(snapshot / self.folder, choose, self.file) if snapshot else []

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Download the chosen files and check that sizes, and for large files SHA-256, are those that the hub states.

        Where two processes ask for one file, the client makes the second wait.

        Raises:
            Unavailable: there is no network, no such repository or no permission, or none of its files is chosen.
            UserError: a file differs from what the hub or `stated` says. It is removed.
        """
        from huggingface_hub import HfApi, constants, hf_hub_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
        from huggingface_hub.utils import get_session

        if constants.HF_HUB_OFFLINE:  # the client reads the variable when it is imported
            raise Unavailable("HF_HUB_OFFLINE is set")
        reach(constants.ENDPOINT, lambda: get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS))
        try:
            siblings = HfApi().model_info(self.repository, files_metadata=True).siblings or []
            published = {file.rfilename: _stated(file) for file in siblings}
            wanted = self._wanted(list(published), choose)
            paths = {name: Path(hf_hub_download(self.repository, name)) for name in wanted}
        except GatedRepoError:
            raise Unavailable(
                f"its licence must be accepted: log in at {PAGES}/{self.repository}, then: hf auth login"
            ) from None
        except (HfHubHTTPError, OSError) as error:
            raise Unavailable(str(error)) from None
        if not paths:
            raise Unavailable("no weight file in the repository")
        for i, (name, path) in enumerate(paths.items()):
            _check_cached(path, published[name], stated if i == 0 else Stated())
        return list(paths.values())

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare the weights with what is stated, and cached files with the digests under which they are cached.

        Raises:
            UserError: a file differs. It is removed if it is in the client's cache.
        """
        for i, path in enumerate(paths):
            here = stated if i == 0 else Stated()
            digest = path.resolve().name if path.is_symlink() else ""
            if SHA256.fullmatch(digest):  # a blob of the cache is named by its digest
                _check_cached(path, Stated(digest=f"sha256:{digest}"), here)
            else:
                here.check(path)

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return the command that downloads the files, and the address of each file with the folder to put it into."""
        page = f"{PAGES}/{self.repository}"
        known = [file for file in files if "*" not in file]
        places = [f"{page}/resolve/main/{PurePosixPath(self.folder, file)}" for file in known]
        return [
            f"with a network: sendvae models pull {name}",
            f"without: put {', '.join(places) or f'the files of {page}'}",
            f"into {folder}",
        ]

    def _wanted(self, names: list[str], choose: Choose) -> list[str]:
        root = PurePosixPath(self.folder)
        inside = [
            str(path.relative_to(root))
            for name in names
            if (path := PurePosixPath(name)).is_relative_to(root)
        ]
        return [str(root / name) for name in choose(inside, self.file)]

    def _snapshot(self) -> Path | None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        root = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repository, repo_type="model")
        reference = root / "refs" / "main"
        return root / "snapshots" / reference.read_text().strip() if reference.is_file() else None


def hub_source(address: str, suffixes: tuple[str, ...]) -> Hub:
    """Return the source that "hf-hub:OWNER/REPOSITORY[/PATH]" names.

    Args:
        address: the address with its prefix.
        suffixes: the suffixes of weight files. A path that ends with one is a file, any other a folder.

    Raises:
        UserError: the address has no owner or no repository, or a part of it is empty, "." or "..".
    """
    parts = address.removeprefix(HUB).split("/")
    if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise UserError(
            "not a hub address",
            given=address,
            expected=f"{HUB}OWNER/REPOSITORY[/PATH]",
            next_step="name the repository, or a network of `sendvae models`",
        )
    repository, inside = "/".join(parts[:2]), parts[2:]
    if inside and inside[-1].endswith(suffixes):
        return Hub(repository, "/".join(inside[:-1]), inside[-1])
    return Hub(repository, "/".join(inside))


def _stated(file: object) -> Stated:
    """Return what the hub states about a file: its size and, if it is a large file, its SHA-256."""
    large = getattr(file, "lfs", None)
    return Stated(getattr(file, "size", None), f"sha256:{large.sha256}" if large else None)


def _check_cached(path: Path, *stated: Stated) -> None:
    """Compare a file of the cache with what is stated, and remove it if it differs, so that it is not found later."""
    try:
        for one in stated:
            one.check(path, next_step="it came damaged and was removed; download it again")
    except UserError:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)  # the cache has a link to it
        raise
