"""Mishaps of commands. Each meets a stage at a random moment, after which the same command ends as if it had not."""

from __future__ import annotations

import errno
import functools
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.commands import Ended, NotHere, disk, remount
from tests.faults.stages import Stage
from tests.faults.unbroken import Unbroken

PATIENCE = 4  # the most commands that are run for a case, since some end before the mishap meets them
OTHER_SECONDS = 60.0  # the time within which a process must notice that another one is dead
DAY = 86400.0
FULL = os.strerror(errno.ENOSPC), "fit onto the disk"
READ_ONLY = (os.strerror(errno.EROFS),)


@dataclass(frozen=True)
class Mishap:
    """A mishap that may befall a command at work.

    Attributes:
        name: the name of the mishap in the record.
        promise: what holds in spite of it, as a sentence.
        befall: lets it happen to a stage that works in a new folder, at moments that are drawn. Returns, for every
            time that the command was met at work, how many finished parts there were to go on from. Raises
            AssertionError if the promise is broken, and `NotHere` if this machine cannot let it happen.
        meets: returns whether it can befall a stage.
        cases: the number of cases of each stage that the whole harness tries.
    """

    name: str
    promise: str
    befall: Callable[[Unbroken, Path, random.Random], list[int]]
    meets: Callable[[Stage], bool] = lambda _stage: True
    cases: int = 1


@dataclass
class Tried:
    """The outcome of the trials of a mishap with a stage.

    Attributes:
        mishap, stage: the names of the mishap and of the stage.
        cases: the number of times that the mishap met the command at work.
        going_on: the number of these cases that left finished parts to go on from.
        files: the number of files that are compared with the undisturbed ones each time that the work has ended.
        failures: a text for each case in which the promise was broken.
    """

    mishap: str
    stage: str
    cases: int = 0
    going_on: int = 0
    files: int = 0
    failures: list[str] = field(default_factory=list)


def try_mishap(mishap: Mishap, unbroken: Unbroken, cases: int, folder: Path, seed: int) -> Tried:
    """Let a mishap befall a stage at least `cases` times, or fewer if the work too often ends before.

    Args:
        mishap: the mishap.
        unbroken: the stage as it ran undisturbed.
        cases: the number of cases.
        folder: the folder in which the work has new folders, which are removed again.
        seed: the seed of the moments.

    Raises:
        NotHere: this machine cannot let it happen.
    """
    draw = random.Random(f"{mishap.name} {unbroken.stage.name} {seed}")
    tried = Tried(mishap.name, unbroken.stage.name, files=len(unbroken.left))
    for number in range(PATIENCE * cases):
        if tried.cases >= cases:
            break
        place = folder / f"work-{number}"
        try:
            found = mishap.befall(unbroken, place, draw)
        except AssertionError as broken:
            tried.failures.append(str(broken))
            tried.cases += 1
        else:
            tried.cases += len(found)
            tried.going_on += sum(parts > 0 for parts in found)
        shutil.rmtree(place)
    return tried


def assert_fault(ended: Ended, words: tuple[str, ...]) -> None:
    """Assert that a command ended as a fault of the machine: with 1 and a message that has any of some words.

    Raises:
        AssertionError: it ended otherwise, or the user saw a traceback.
    """
    assert ended.code == 1, f"{ended.code}\n{ended.said}"
    assert not ended.is_a_bug, ended.said
    assert any(word in ended.said for word in words), ended.said


def _of_signal(
    number: signal.Signals, code: int, in_a_row: int = 1
) -> Callable[[Unbroken, Path, random.Random], list[int]]:
    def befall(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
        found: list[int] = []
        while len(found) < in_a_row:  # the same work is met several times before it may end
            command = unbroken.begin(place)
            met = command.wait_for_work() and command.send_after(draw.uniform(0, unbroken.seconds), number)
            ended = command.end()
            if ended.code == 0:
                break
            assert met, ended.said
            assert ended.code == code, f"{ended.code}\n{ended.said}"
            if number != signal.SIGKILL:
                assert "un the same command again to go on" in ended.said, ended.said
                assert "Traceback" not in ended.said, ended.said
            found.append(unbroken.stage.parts(place))
        unbroken.finish(place)
        return found

    return befall


def _full_disk(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    with disk(place, f"{4 + int(draw.random() * unbroken.size / 1024)}k"):
        ended = unbroken.begin(place).end()
        if ended.code == 0:
            return []
        assert_fault(ended, FULL)
        found = [unbroken.stage.parts(place)]
        remount(place, "size=2g")
        unbroken.finish(place)
    return found


def _read_only(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    with disk(place, "2g"):
        if not unbroken.kill(place, draw):
            return []
        remount(place, "ro")
        ended = unbroken.begin(place).end()
        if ended.code == 0:  # all work was done before the kill
            return []
        assert_fault(ended, READ_ONLY)
        found = [unbroken.stage.parts(place)]
        remount(place, "rw")
        unbroken.finish(place)
    return found


def _vanished(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    stage = unbroken.stage
    if not unbroken.kill_past(1, place, draw):
        return []
    kinds = [there for pattern in stage.lost if (there := sorted(place.glob(pattern)))]
    if not kinds:
        return []
    there = draw.choice(kinds)
    for path in there[draw.randrange(len(there)) :]:  # as from a backup that is too old
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = [stage.parts(place)]
    unbroken.finish(place)
    return found


def _lost_file(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    if not unbroken.kill_past(2, place, draw):
        return []
    checkpoints = sorted(place.glob(unbroken.stage.kept))
    lost = draw.choice(sorted(checkpoints[-1].rglob("*.safetensors")))
    lost.unlink()
    found = [len(checkpoints) - 1]
    said = unbroken.finish(place)
    assert f"{lost.name}: the file is missing" in said, said
    return found


def _dead_process(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    expected = unbroken.left_by_two
    two = unbroken.begin_two(place)
    dead, other = draw.sample(two, 2)
    killed = two[0].wait_for_work() and dead.send_after(draw.uniform(0, unbroken.seconds), signal.SIGKILL)
    ended = other.end(OTHER_SECONDS)
    dead.end()
    if not killed or ended.code == 0:  # one of them, or both, had done its part
        unbroken.finish_by_two(place, expected)
        return []
    assert_fault(ended, ("another of the 2 processes has ended",))
    found = [unbroken.stage.parts(place)]
    unbroken.finish_by_two(place, expected)
    return found


def _clock_set_back(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    def clock() -> dict[str, str]:
        """Return the environment of a command that starts now, whose clock is set back by an hour while it works."""
        at = time.monotonic() + unbroken.starting + draw.uniform(0, unbroken.seconds)
        return {"LD_PRELOAD": str(clock_library()), "CLOCK_SET_BACK_AT": str(at)}

    met = unbroken.kill(place, draw, environment=clock())
    for path in [place, *place.rglob("*")]:  # as if the clock had lost a day, too
        os.utime(path, (time.time() + DAY, time.time() + DAY), follow_symlinks=False)
    found = [unbroken.stage.parts(place)] if met else []
    unbroken.finish(place, environment=clock())
    return found


@functools.cache
def clock_library() -> Path:
    """Compile the library whose clock is set back, once, and return its path.

    Raises:
        NotHere: there is no compiler.
    """
    library = Path(tempfile.mkdtemp(prefix="clock-")) / "clock.so"
    source = Path(__file__).with_name("clock.c")
    try:
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, capture_output=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NotHere(f"no compiler of C: {error}") from None
    return library


def _two_commands(unbroken: Unbroken, place: Path, draw: random.Random) -> list[int]:
    first = unbroken.begin(place, label="-first")
    if draw.random() < 0.5:  # else both begin at once
        first.wait_for_work()
        time.sleep(draw.uniform(0, unbroken.seconds))
    second = unbroken.begin(place, label="-second")
    found = [unbroken.stage.parts(place)] if first.process.poll() is None else []
    both = [first.end(), second.end()]
    said = "\n".join(ended.said for ended in both)
    assert any(ended.code == 0 for ended in both), said
    for ended in both:
        assert not ended.is_a_bug, ended.said
        assert ended.code == 0 or (ended.code == 2 and "another process" in ended.said), ended.said
    unbroken.compare(place, unbroken.left, said)
    return found


MISHAPS = {
    mishap.name: mishap
    for mishap in (
        Mishap(
            "kill -9",
            "Nothing half-written is taken for a result, and the same command goes on.",
            _of_signal(signal.SIGKILL, -signal.SIGKILL, in_a_row=3),
            cases=8,
        ),
        Mishap(
            "SIGTERM",
            "The command ends with 143 and says how to go on; a training writes its checkpoint before.",
            _of_signal(signal.SIGTERM, 143),
        ),
        Mishap(
            "SIGINT (Ctrl-C)",
            "The same, with 130.",
            _of_signal(signal.SIGINT, 130),
        ),
        Mishap(
            "a full disk",
            "The command ends with 1 and says so; given again when there is room, it goes on.",
            _full_disk,
        ),
        Mishap(
            "a folder that can only be read",
            "A command that was killed, and finds its folder so when it is given again, ends with 1 and says so; once the "
            "folder can be written, it goes on.",
            _read_only,
        ),
        Mishap(
            "finished parts vanished",
            "Checkpoints, shards, images and records of stages that are gone are made again.",
            _vanished,
        ),
        Mishap(
            "a file lost from a checkpoint",
            "The training names the file, and goes on from the checkpoint before.",
            _lost_file,
            lambda stage: "checkpoints" in stage.kept,
        ),
        Mishap(
            "a clock set back",
            "A clock that loses an hour at work, and files that are dated a day ahead, change nothing.",
            _clock_set_back,
        ),
        Mishap(
            "two commands at once",
            "The second one waits, shares the work or is refused with 2; the result is that of one.",
            _two_commands,
        ),
        Mishap(
            "a dead process of two",
            "The other one says so and ends with 1 within a minute; given again, both go on.",
            _dead_process,
            lambda stage: stage.by_several,
        ),
    )
}
