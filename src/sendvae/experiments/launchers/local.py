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
    """Let processes of this machine run stages."""
    del config, folder
    prepare()
    yield Local()


class Local:
    """Starts processes."""

    threads = None

    def start(self, task: Task) -> Child:
        """Start a process."""
        return Child(task)

    def wait(self, works: Sequence[Child], seconds: float) -> None:
        """Return when a process has ended, or after so long."""
        wait([child.sentinel for child in works if not child.ended()], seconds)
