"""The roof over every command: whatever is raised below it ends as a message, an exit code, and never a traceback."""

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

UNKNOWN = 1  # exit code of what nobody has thought of


@dataclass
class Roof:
    """What an error is shown as.

    Attributes:
        traceback: whether Python's own account is shown, too.
        tried: the command, as "sendvae data prepare".
    """

    traceback: bool = False
    tried: str = "sendvae"

    def cover(self, command: Callable[[], None]) -> None:
        """Call the command; end the process with a message where it raises.

        Exit codes: 2 for what the user can mend, 1 for the machine's faults and for what is unknown.
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
        """Write the message; return the exit code."""
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
        """One line, and where the rest is."""
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
    """Write the account of an error into the temporary folder, or the user's own; return where.

    Raises:
        OSError: neither can be written.
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
    """Let a name that the terminal's encoding lacks be printed with escapes instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
