"""Stages that do next to nothing, and leave traces of when they ran.

The processes that run them import this as `toy_stages`, with this folder on their path.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Literal

import torch

from sendvae.config import Section
from sendvae.experiments.contents import Contents
from sendvae.experiments.stages import Job, StageKind
from sendvae.training import Stopped

RAN = "ran.txt"


class Toy(Section):
    """The configuration of a toy: what it does, a value, and a file that it reads."""

    kind: Literal["toy"] = "toy"
    value: int = 0
    does: Literal["count", "fail", "kill", "sleep", "step", "wait"] = "count"
    seconds: float = 0.0
    reads: str | None = None


def work(job: Job) -> None:
    """Write to the log, do what the configuration says, and leave a line in `ran.txt`."""
    began = time.time()
    print(f"{job.name} prints")
    os.write(2, b"and a library in C\n")
    config: Toy = job.config
    if config.does == "fail":
        raise ValueError(f"the toy {job.name} is broken")
    if config.does == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.does == "wait":
        _checkpoint_when_asked(job.folder)
    for _ in range(config.value if config.does == "step" else 0):
        time.sleep(0.05)
        with (job.folder / "steps.txt").open("a") as file:
            file.write("step\n")
    time.sleep(config.seconds)
    inputs = ",".join(f"{name}={Path(place).name}" for name, place in job.inputs.items())
    with (job.folder / RAN).open("a") as file:
        file.write(f"{began} {time.time()} {torch.get_num_threads()} {os.getpid()} {Path.cwd()} {inputs}\n")


def _checkpoint_when_asked(folder: Path) -> None:
    """Wait for SIGTERM, write a checkpoint and stop, as a training does; return at once if a checkpoint is there."""
    if (folder / "checkpoint").is_file():
        return
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    (folder / "waits").write_text(str(os.getpid()))
    while not asked:
        time.sleep(0.02)
    time.sleep(0.3)
    (folder / "checkpoint").touch()
    raise Stopped("the toy is stopped", asked[0])


def digest(_contents: Contents, source: str) -> str:
    """Return the content of a file that is given as an input, or the source itself."""
    return Path(source).read_text() if Path(source).exists() else source


def reads(_contents: Contents, config: Toy) -> str:
    """Return the content of the file that a configuration names; empty if it names none."""
    return Path(config.reads).read_text() if config.reads else ""


def kind(version: int = 0) -> StageKind:
    """Return a kind of stage that runs toys with two inputs."""
    return StageKind(work, {"a": digest, "b": digest}, output="out", reads=reads, version=version)


SOURCE = StageKind(work, output="out", reads=reads)  # without inputs
