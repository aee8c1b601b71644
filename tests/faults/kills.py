"""Signals at random moments: a command is struck, given again, and must end as one that nobody disturbed."""

from __future__ import annotations

import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.commands import Command, Ended
from tests.faults.stages import Stage

IN_A_ROW = 3  # times that one and the same work is struck before it may end
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass
class Struck:
    """What came of it.

    Attributes:
        stage: its name.
        signal: its name.
        kills: commands that were struck while they worked.
        going_on: of these, the ones that left finished work to go on from.
        runs: works that were struck, given again until their end, and compared with the undisturbed one.
        files: that were compared in each.
    """

    stage: str
    signal: str
    kills: int = 0
    going_on: int = 0
    runs: int = 0
    files: int = 0


class Unbroken:
    """A stage that ran undisturbed: what it left, and how long it worked.

    Args:
        given: as of `stages.given`.
        place: a new folder to work in.
    """

    def __init__(self, stage: Stage, given: Path, place: Path) -> None:
        self.stage, self.given = stage, given
        command = Command(stage.arguments(given), place)
        assert command.wait_for_work(), command.said
        began = time.monotonic()
        ended = command.end()
        assert ended.code == 0, ended.said
        self.seconds = time.monotonic() - began
        self.left = stage.left(place)
        assert self.left, f"{stage.name} left nothing"

    def strike(self, kills: int, signum: int, folder: Path, seed: int) -> Struck:
        """Strike the stage until it was met so many times, at moments drawn uniformly from its time of work.

        Args:
            folder: where it works, in new folders that are removed again.
            seed: of the moments.

        Raises:
            AssertionError: it ended otherwise, or left something else.
        """
        draw = random.Random(f"{self.stage.name} {seed}")
        struck = Struck(self.stage.name, signal.Signals(signum).name, files=len(self.left))
        while struck.kills < kills:
            place = folder / f"struck-{struck.runs}"
            for _ in range(min(IN_A_ROW, kills - struck.kills)):
                if not self._struck(place, draw, signum, struck):
                    break
            self._finish(place)
            struck.runs += 1
            shutil.rmtree(place)
        return struck

    def _struck(self, place: Path, draw: random.Random, signum: int, struck: Struck) -> bool:
        """Begin or go on, and strike; return False where the command ended before."""
        command = Command(self.stage.arguments(self.given), place)
        met = command.wait_for_work() and command.send_after(draw.uniform(0, self.seconds), signum)
        ended = command.end()
        if ended.code == 0:
            return False
        assert met, ended.said
        assert ended.code == CODES[signal.Signals(signum)], f"{ended.code}\n{ended.said}"
        if signum != signal.SIGKILL:
            assert_polite(ended)
        struck.kills += 1
        struck.going_on += self.stage.units(place) > 0
        return True

    def _finish(self, place: Path) -> None:
        ended = Command(self.stage.arguments(self.given), place).end()
        assert ended.code == 0, ended.said
        left = self.stage.left(place)
        differing = [name for name in self.left | left if self.left.get(name) != left.get(name)]
        assert not differing, f"{self.stage.name}: {differing} differ in {place}\n{ended.said}"


def assert_polite(ended: Ended) -> None:
    """A command that was asked to stop says how to go on, and shows nothing of Python."""
    assert "un the same command again to go on" in ended.said, ended.said
    assert not ended.is_a_bug or ended.code in (130, 143), ended.said
    assert "Traceback" not in ended.said, ended.said
