"""The roof over every command. An error that reaches it ends the process with a message and an exit code."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sendvae import __version__
from sendvae.errors import UserError
from sendvae.faults import fault_of

UNKNOWN = 1  # the exit code of errors that nobody has thought of


@dataclass
class Roof:
    """The way in which an error is shown.

    Attributes:
        traceback: whether Python's traceback is shown, too.
        tried: the command, such as "sendvae data prepare".
    """

    traceback: bool = False
    tried: str = "sendvae"

    def cover(self, command: Callable[[], None]) -> None:
        """Call a command, and end the process with a message if it raises an error.

        The exit code is 2 for errors that the user can mend, and 1 for faults of the machine and for unknown errors.
        """
        _print_any_name()
        try:
            command()
        except BrokenPipeError:  # nobody reads on, as in `sendvae models | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(UNKNOWN)
        except Exception as error:
            sys.exit(self._say(error))

    def _say(self, error: Exception) -> int:
        """Write the message of an error, and return the exit code."""
        full = "".join(traceback.format_exception(error))
        known = fault_of(error, self.tried)
        if self.traceback:
            sys.stderr.write(full)
        if known is not None:
            sys.stderr.write(f"error: {known}\n")
            return known.exit_code
        sys.stderr.write(f"error: {self._unknown(error, full)}\n")
        return UNKNOWN

    def _unknown(self, error: Exception, full: str) -> UserError:
        """Return a message for an unknown error: its first line, and where the whole text is."""
        line = str(error).strip().partition("\n")[0]
        try:
            kept = _save(full)
        except OSError as refused:
            if not self.traceback:
                sys.stderr.write(full)
            kept = f"above (it could not be saved: {refused.strerror or refused})"
        return UserError(
            f"`{self.tried}` met something that it was not made for",
            given=f"{type(error).__name__}: {line}",
            next_step=f"the full text is {kept}; send it with your report (sendvae {__version__}, Python {platform.python_version()})",
        )


def _save(full: str) -> str:
    """Write the full text of an error into the temporary folder, or the user's state folder; return where it is.

    Raises:
        OSError: neither folder can be written.
    """
    text = f"sendvae {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    text += f"{sys.argv}\n\n{full}"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sendvae"
    try:
        return _write(Path(tempfile.gettempdir()), text)
    except OSError:
        state.mkdir(parents=True, exist_ok=True)
        return _write(state, text)


def _write(folder: Path, text: str) -> str:
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, prefix="sendvae-error-", suffix=".txt", delete=False, errors="backslashreplace"
    ) as file:
        file.write(text)
    return f"in {file.name}"


def _print_any_name() -> None:
    """Print characters that the terminal's encoding lacks with escapes from now on, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
