"""Errors of the operating system, the network and the memory in words: which file, why, and what to do about it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sendvae.errors import MachineError, UserError


@dataclass(frozen=True)
class _Words:
    """The words for an error number.

    Attributes:
        problem: what is wrong, with the field {path} for the path.
        next_step: what to do about it.
        of_machine: whether the machine is at fault, so that no other command line would have helped.
    """

    problem: str
    next_step: str
    of_machine: bool = True


FULL = _Words("no room is left to write {path}", "make room, or choose a folder on another disk")
DENIED = _Words(
    "{path} may not be read or written by this user", "change its owner or mode, or choose another place"
)
BROKEN = _Words(
    "the device under {path} does not answer as it should",
    "look at the system's log (dmesg) and at the mount, then run the same command again",
)
TOO_MANY = _Words(
    "too many files are open to open {path}", "raise the limit (ulimit -n 4096), or use fewer processes"
)
IN_USE = _Words("{path} is in use by another process", "wait until it has ended, or choose another place")
NO_MEMORY = _Words(
    "the memory of this machine is used up", "end other programs, or use a smaller batch or fewer processes"
)
WORDS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: _Words(
        "{path} would be larger than this file system or user may have", "choose another disk"
    ),
    errno.EROFS: _Words("{path} lies on a disk that can only be read", "choose a folder that can be written"),
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.EIO: BROKEN,
    errno.ENXIO: BROKEN,
    errno.ENODEV: BROKEN,
    errno.ESTALE: BROKEN,
    errno.EREMOTEIO: BROKEN,
    errno.ETXTBSY: IN_USE,
    errno.EBUSY: IN_USE,
    errno.EMFILE: TOO_MANY,
    errno.ENFILE: TOO_MANY,
    errno.ENOMEM: NO_MEMORY,
    errno.ENOENT: _Words("there is no {path}", "check the path", of_machine=False),
    errno.EISDIR: _Words("{path} is a folder where a file is expected", "name a file", of_machine=False),
    errno.ENOTDIR: _Words("{path} lies below a file, not a folder", "choose another path", of_machine=False),
    errno.EEXIST: _Words("{path} stands where a folder belongs", "choose another path", of_machine=False),
    errno.ENOTEMPTY: _Words("{path} is not empty", "choose another path", of_machine=False),
    errno.ENAMETOOLONG: _Words("the name {path} is too long", "choose a shorter one", of_machine=False),
    errno.ELOOP: _Words("{path} is a link that leads to itself", "mend or remove the link", of_machine=False),
    errno.EILSEQ: _Words("{path} is no name for this file system", "choose another name", of_machine=False),
    errno.EXDEV: _Words("{path} lies on another disk", "keep both on one disk", of_machine=False),
}
# Libraries that raise errors of their own give the same numbers in their messages.
NUMBER = re.compile(r"(?:os error |\[Errno )(\d+)")
CLIENTS = {"aiohttp", "httpcore", "httpx", "requests", "urllib", "urllib3"}
SHOWN = 120  # characters of a path


def fault_of(error: BaseException, tried: str) -> UserError | None:
    """Return an error of the operating system, the network or the memory in words, or None for any other error.

    Args:
        error: the error as it was raised.
        tried: the command that ran, such as "sendvae data prepare", for errors that name no file.

    Returns:
        A `MachineError` where the machine is at fault, else a `UserError`.
    """
    if isinstance(error, UserError):
        return error
    if is_out_of_memory(error):
        return MachineError(
            NO_MEMORY.problem, given=_first_line(error) or tried, next_step=NO_MEMORY.next_step
        )
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return UserError(
            "a name is not UTF-8",
            given=ascii(error.object)[:SHOWN],
            next_step="rename the file or folder, for example with convmv -f latin1 -t utf8",
        )
    if isinstance(error, ValueError) and "embedded null byte" in str(error):
        return UserError("a path holds a null byte", given=tried, next_step="check the path")
    if isinstance(error, OSError):
        return _of_system(error, tried)
    if number := NUMBER.search(str(error)):
        return _of_system(OSError(int(number[1]), os.strerror(int(number[1]))), tried, _first_line(error))
    return None


def _of_system(error: OSError, tried: str, said: str | None = None) -> UserError | None:
    if _of_network(error):
        return MachineError(
            f"{tried}: the network does not answer",
            given=said or _first_line(error),
            next_step="check the network and run the same command again",
        )
    words = WORDS.get(error.errno or 0)
    if words is None:
        return None
    path = None if error.filename is None else _shown(error.filename)
    target = None if error.filename is None else _dangling(error.filename)
    if target is not None and error.errno == errno.ENOENT:
        return UserError(
            f"{path} is a link that leads nowhere", given=target, next_step="mend or remove the link"
        )
    parts = [error.strerror or _first_line(error)] if said is None else [said]
    if words is FULL:
        parts.append(_free(error.filename))
    kind = MachineError if words.of_machine else UserError
    problem = words.problem.format(path=path or f"a file of `{tried}`")
    return kind(problem, given="; ".join(parts), next_step=words.next_step)


def _of_network(error: OSError) -> bool:
    """Return whether an OSError comes from the network, by its class, or by its module (HTTP clients derive theirs)."""
    own = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return own or type(error).__module__.partition(".")[0] in CLIENTS


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the machine, or of its GPU, is used up."""
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return refused or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _shown(name: str | bytes | int) -> str:
    """Return a path for a message: printable, and shortened in the middle if it is longer than 120 characters."""
    text = os.fsdecode(name) if isinstance(name, str | bytes) else f"file {name}"
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def _dangling(name: str | bytes | int) -> str | None:
    """Return the target of a symbolic link, or None if the path is not a link."""
    try:
        return None if isinstance(name, int) else _shown(str(Path(os.fsdecode(name)).readlink()))
    except OSError:
        return None


def _free(name: str | bytes | int | None) -> str:
    """Return in words how much disk is free at a file, or in the working and the temporary folder if none is named."""
    places = [Path(os.fsdecode(name))] if isinstance(name, str | bytes) else [Path.cwd(), _temporary()]
    found = []
    for place in dict.fromkeys(places):
        folder = next((one for one in (place, *place.absolute().parents) if one.is_dir()), Path("/"))
        found.append(f"{shutil.disk_usage(folder).free / 1e6:,.1f} MB free in {_shown(str(folder))}")
    return ", ".join(found)


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError:  # no folder can be written
        return Path("/tmp")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
