"""Commands as a user gives them: in this process below the roof, or in one of their own that a signal can end."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from sendvae.cli.main import main

ROOT = Path(__file__).parents[2]
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
LONGEST = 400.0  # seconds that any command of these tests may take on a busy machine
POLL = 0.01  # seconds between two looks at a folder


class NotHere(Exception):
    """The exception for a mishap that this machine or this user cannot let happen."""


@dataclass(frozen=True)
class Ended:
    """The end of a command: its exit code, and what it wrote."""

    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        return self.output + self.errors

    @property
    def is_a_bug(self) -> bool:
        """Return whether a user saw a traceback or an unknown error, or the exit code is none of 0, 1 and 2."""
        unknown = "met something that it was not made for" in self.errors
        return unknown or "Traceback (most recent call last)" in self.said or self.code not in (0, 1, 2)


def call(arguments: Sequence[object], place: Path) -> Ended:
    """Run a command in this process, in the folder `place`."""
    words = ["sendvae", *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(place),
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        try:
            main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return Ended(code, output.getvalue(), errors.getvalue())


class Command:
    """A command in a process of its own, in the folder `place`. Its output goes into a file beside the folder.

    Args:
        arguments: the arguments after "sendvae".
        place: the working folder, new or not.
        environment: further variables of the environment.
        label: a part of the file's name that tells it from those of other commands in the same folder.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        place: Path,
        environment: dict[str, str] | None = None,
        label: str = "",
    ) -> None:
        self.place, self.log = place, place.with_name(f"{place.name}{label}.log")
        place.mkdir(parents=True, exist_ok=True)
        variables = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
        variables |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        variables |= {"GLOO_SOCKET_IFNAME": "lo"} | (environment or {})
        self.before = look(place)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sendvae", *map(str, arguments)],
                cwd=place,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_work(self) -> bool:
        """Wait until the command has changed anything in its folder; return False if it ended before."""
        return self.wait_until(lambda: look(self.place) != self.before)

    def wait_until(self, reached: Callable[[], bool]) -> bool:
        """Wait until `reached` returns True; return False if the command ended before."""
        deadline = time.monotonic() + LONGEST
        while self.process.poll() is None:
            if reached():
                return True
            assert time.monotonic() < deadline, self.said
            time.sleep(POLL)
        return False

    def last_change(self) -> float:
        """Wait for the end; return the time of the last change in the command's folder, on the monotonic clock."""
        before, changed = look(self.place), time.monotonic()
        while self.process.poll() is None:
            time.sleep(0.01)
            if (now := look(self.place)) != before:
                before, changed = now, time.monotonic()
        return changed

    def send_after(self, seconds: float, signum: int) -> bool:
        """Send a signal after `seconds`; return False if the command ended before."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signum)
            return True
        return False

    def end(self, longest: float = LONGEST) -> Ended:
        """Wait for the end of the command, and of every process that it started.

        Raises:
            AssertionError: the command is still at work after `longest` seconds, or others outlive it.
        """
        try:
            code = self.process.wait(longest)
            deadline = time.monotonic() + 60
            while is_anybody_left(self.process.pid):
                assert time.monotonic() < deadline, f"processes outlive the command\n{self.said}"
                time.sleep(0.02)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still at work after {longest:.0f} s\n{self.said}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return Ended(code, self.said, "")


def is_anybody_left(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def look(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the last change of a folder and of all files and folders below it, by path."""
    found = {}
    for place, _, files in os.walk(folder):  # it passes over what is removed meanwhile
        for path in (place, *(os.path.join(place, name) for name in files)):  # noqa: PTH118
            with contextlib.suppress(FileNotFoundError):
                stat = Path(path).stat()
                found[path] = stat.st_size, stat.st_mtime_ns
    return found


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system in memory, of a size such as "300k", at a new folder for the block.

    Raises:
        NotHere: this user may not mount file systems.
    """
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        raise NotHere("only root mounts file systems")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        raise NotHere(made.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def files_limited(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes in the block, as on a full disk. Root is not needed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def remount(folder: Path, options: str) -> None:
    """Change a file system that `disk` made, by options such as "size=10m" or "ro"."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
