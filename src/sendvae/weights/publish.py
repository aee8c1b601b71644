"""Publishing a folder as a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from sendvae.errors import UserError
from sendvae.weights.reach import REACH_SECONDS, Unavailable, reach

REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def check_repository(repository: str) -> None:
    """Raise an error for a text that is not the name of a repository.

    Raises:
        UserError: the text is not OWNER/NAME.
    """
    if not REPOSITORY.fullmatch(repository) or ".." in repository:
        raise UserError(
            "--push-to-hub names no repository",
            given=repository,
            expected="OWNER/NAME, of letters, digits and -_.",
        )


def check_login() -> str:
    """Return the name of the user who is logged in at the hub. It is asked before anything is written.

    Raises:
        UserError: nobody is logged in, or the hub cannot be reached or does not accept the token.
    """
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import get_session

    if get_token() is None:
        raise UserError("nobody is logged in at the hub", next_step="hf auth login, or set HF_TOKEN")
    try:
        reach(constants.ENDPOINT, lambda: get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS))
        return str(HfApi(endpoint=constants.ENDPOINT).whoami()["name"])
    except Unavailable as error:
        raise UserError("the hub cannot be reached", given=error) from None
    except HfHubHTTPError as error:
        raise UserError("the hub does not accept the token", given=error, next_step="hf auth login") from None


def publish(folder: Path, repository: str, private: bool = False) -> str:
    """Upload every file of a folder in one commit and return the address of the repository.

    Args:
        folder: the folder.
        repository: "OWNER/NAME"; it is created if it does not exist.
        private: whether a repository that is created is private.

    Raises:
        UserError: the hub refuses, or the network fails. The folder stays as it is.
    """
    from huggingface_hub import HfApi, constants

    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload from sendvae export")
    except Exception as error:  # the error may be of any client that the library uses
        raise UserError(
            f"{repository} was not uploaded",
            given=f"{error}" + (f" ({error.__cause__})" if error.__cause__ else ""),
            next_step=f"the export is in {folder}; run the command again with --force, or: hf upload {repository} {folder}",
        ) from None
    return f"{constants.ENDPOINT}/{repository}"
