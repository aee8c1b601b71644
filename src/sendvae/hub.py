"""The Hugging Face hub: whether it can be asked, downloads that are checked, and what stands in for it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from sendvae.errors import UserError

FOLDER_VARIABLE, DEFAULT_FOLDER = "SENDVAE_WEIGHTS", "~/.cache/sendvae"
REACH_SECONDS = 5.0  # how long to wait for the hub to answer at all


class Unavailable(Exception):
    """Files of the hub cannot be had; the message says why."""


def hand_folder(name: str) -> Path:
    """Where to put files by hand: $SENDVAE_WEIGHTS/NAME, by default ~/.cache/sendvae/NAME."""
    return Path(os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER)).expanduser() / name


def download(repository: str, choose: Callable[[list[str]], list[str]]) -> list[Path]:
    """Files of a repository, through huggingface_hub's cache and with its progress bar.

    Args:
        repository: "OWNER/NAME".
        choose: from the names of all its files to the names of those wanted.

    Returns:
        Their paths in the cache; each has the size and, for large files, the SHA-256 that the hub states.

    Raises:
        Unavailable: no network, no such repository, no permission, or none of its files is wanted.
        UserError: a file is not what the hub says it is; it is removed.
    """
    if reason := unreachable():
        raise Unavailable(reason)
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        siblings = HfApi().model_info(repository, files_metadata=True).siblings or []
        stated = {file.rfilename: (file.size, file.lfs.sha256 if file.lfs else None) for file in siblings}
        paths = {name: Path(hf_hub_download(repository, name)) for name in choose(list(stated))}
    except (HfHubHTTPError, OSError) as error:
        raise Unavailable(str(error)) from None
    if not paths:
        raise Unavailable("no weight file in the repository")
    for name, path in paths.items():
        _check(path, *stated[name])
    return list(paths.values())


def _check(path: Path, size: int | None, sha256: str | None) -> None:
    found = path.stat().st_size
    if size is not None and found != size:
        raise _damaged(path, f"{found:,} bytes", f"{size:,} bytes")
    if sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise _damaged(path, f"SHA-256 {digest}", f"SHA-256 {sha256}")


def unreachable() -> str | None:
    """Why the hub cannot be asked; one short question first, since its client retries for half a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS)
    except Exception as error:  # httpx's or requests', by the version of huggingface_hub
        return f"{constants.ENDPOINT} cannot be reached ({error})"
    return None


def _damaged(path: Path, given: str, expected: str) -> UserError:
    """The error, after removing the file (the cache has a link to it), so that it is not found there later."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return UserError(
        f"{path.name} came damaged, or is not the published file",
        given=given,
        expected=expected,
        next_step="it was removed; download it again",
    )
