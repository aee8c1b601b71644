"""Stages as processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

from sendvae.config import LocalConfig
from sendvae.experiments.launchers.launcher import Launcher
from sendvae.experiments.process import Child, Task, prepare


def check_local(config: LocalConfig) -> None:
    """Accept every machine."""
    del config


@contextmanager
def open_local(config: LocalConfig, folder: Path) -> Iterator[Launcher]:
    """Open the launcher that runs stages as processes of this machine."""
    del config, folder
    prepare()
    yield Local()


class Local:
    """The launcher that starts a process of this machine for each stage."""

    threads = None

    def start(self, task: Task) -> Child:
        """Start a process that does a task."""
        return Child(task)

    def wait(self, works: Sequence[Child], seconds: float) -> None:
        """Wait until a process has ended, but no longer than `seconds`."""
        wait([child.sentinel for child in works if not child.ended()], seconds)
