"""Stages that ran undisturbed, with which every disturbed one is compared."""

from __future__ import annotations

import random
import signal
import socket
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.faults.commands import Command
from tests.faults.stages import Stage


class Unbroken:
    """A stage with what it left when nothing disturbed it, and with the time that it took.

    Args:
        stage: the stage, which is run.
        given: the folder of `stages.given`.
        place: a new folder to work in.

    Attributes:
        starting: the seconds before the command changed anything in its folder.
        seconds: the seconds from then on to its last change there.
        size: the bytes of all files that it left.
        left: the hashes of its results by path.
    """

    def __init__(self, stage: Stage, given: Path, place: Path) -> None:
        self.stage, self.given, self.place = stage, given, place
        began = time.monotonic()
        command = self.begin(place)
        assert command.wait_for_work(), command.said
        at_work = time.monotonic()
        self.starting, self.seconds = at_work - began, command.last_change() - at_work
        ended = command.end()
        assert ended.code == 0, ended.said
        self.left = stage.left(place)
        assert self.left, f"{stage.name} left nothing"
        self.size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())

    @cached_property
    def left_by_two(self) -> dict[str, str]:
        """Return the hashes of the results that two undisturbed processes leave, by path."""
        place = self.place.with_name(f"{self.place.name}-by-two")
        self.finish_by_two(place, None)
        return self.stage.left(place)

    def begin(self, place: Path, **more: Any) -> Command:
        """Start the command in a folder, new or not. `more` are further arguments of `Command`."""
        return Command(self.stage.arguments(self.given), place, **more)

    def begin_two(self, place: Path) -> tuple[Command, Command]:
        """Start the command as two processes that work together, without a launcher that would look after them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        first, second = (
            self.begin(place, label=f"-{rank}", environment=shared | {"RANK": rank, "LOCAL_RANK": rank})
            for rank in "01"
        )
        return first, second

    def kill(self, place: Path, draw: random.Random, **more: Any) -> bool:
        """Start the command, and kill it at a random moment of its work; return whether it was still at work."""
        command = self.begin(place, **more)
        met = command.wait_for_work() and command.send_after(draw.uniform(0, self.seconds), signal.SIGKILL)
        return command.end().code == -signal.SIGKILL and met

    def kill_past(self, parts: int, place: Path, draw: random.Random) -> bool:
        """Start the command, and kill it once it has finished `parts` parts; return whether there was work left to do.

        Half of the times it is killed at once, since the last part may follow the first one soon.
        """
        command = self.begin(place)
        met = command.wait_until(lambda: self.stage.parts(place) >= parts)
        killed = met and command.send_after(
            draw.choice([0.0, self.seconds / 4]) * draw.random(), signal.SIGKILL
        )
        return command.end().code == -signal.SIGKILL and killed and not any(place.glob(self.stage.last))

    def finish(self, place: Path, **more: Any) -> str:
        """Run the command again to its end; return its output.

        Raises:
            AssertionError: it fails, or leaves other results than the undisturbed one.
        """
        ended = self.begin(place, **more).end()
        assert ended.code == 0, ended.said
        self.compare(place, self.left, ended.said)
        return ended.said

    def finish_by_two(self, place: Path, expected: dict[str, str] | None) -> None:
        """Run the command again as two processes to their end, and compare the results with `expected`, if it is given.

        Raises:
            AssertionError: a process fails, or the results differ.
        """
        for ended in [command.end() for command in self.begin_two(place)]:
            assert ended.code == 0, ended.said
        if expected is not None:
            self.compare(place, expected, "by two processes")

    def compare(self, place: Path, expected: dict[str, str], said: str) -> None:
        """Compare the results in a folder with the expected ones.

        Raises:
            AssertionError: they differ; the message names the files.
        """
        left = self.stage.left(place)
        differing = [name for name in expected | left if expected.get(name) != left.get(name)]
        assert not differing, f"{self.stage.name}: {differing} differ in {place}\n{said}"
