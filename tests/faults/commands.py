"""Commands as a user gives them: in this process through the roof, or in one of their own that a signal can end."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from sendvae.cli.main import main

ROOT = Path(__file__).parents[2]
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
LONGEST = 400.0  # seconds that any command of these tests may take on a busy machine
POLL = 0.002  # seconds between two looks at a folder


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it wrote."""

    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        return self.output + self.errors

    @property
    def is_a_bug(self) -> bool:
        """Whether a user saw Python's own account of an error, or one that nobody has thought of."""
        unknown = "met something that it was not made for" in self.errors
        return unknown or "Traceback (most recent call last)" in self.said or self.code not in (0, 1, 2)


def call(arguments: Sequence[object], place: Path) -> Ended:
    """Give a command in this process, in the folder `place`."""
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
    """A command in a process of its own, at work in the folder `place`; what it says goes into `place`.log.

    Args:
        arguments: after "sendvae".
        before: what starts it in place of this Python, as torchrun.
        environment: more of it.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        place: Path,
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.place, self.log = place, place.with_name(place.name + ".log")
        place.mkdir(parents=True, exist_ok=True)
        variables = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
        variables |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        variables |= {"GLOO_SOCKET_IFNAME": "lo"} | (environment or {})
        self.before = look(place)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*(before or [sys.executable]), "-m", "sendvae", *map(str, arguments)],
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
        """Wait until it has changed anything in its folder; return False where it ended before."""
        deadline = time.monotonic() + LONGEST
        while self.process.poll() is None:
            if look(self.place) != self.before:
                return True
            assert time.monotonic() < deadline, self.said
            time.sleep(POLL)
        return False

    def send_after(self, seconds: float, signum: int) -> bool:
        """Send a signal so many seconds from now; return False where it ended before."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signum)
            return True
        return False

    def end(self) -> Ended:
        """Wait for its end, and for that of every process that it started."""
        try:
            code = self.process.wait(LONGEST)
            deadline = time.monotonic() + 60
            while is_anybody_left(self.process.pid):
                assert time.monotonic() < deadline, f"processes outlive the command\n{self.said}"
                time.sleep(0.02)
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
    """Every file and folder below one, with its size and the time of its last change."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found[str(path)] = stat.st_size, stat.st_mtime_ns
    return found


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of a size, as "300k", under a folder.

    Raises:
        PermissionError: this user may not mount any.
    """
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        raise PermissionError("only root mounts")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        raise PermissionError(made.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a file system that `disk` made: "size=10m", "ro"."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
