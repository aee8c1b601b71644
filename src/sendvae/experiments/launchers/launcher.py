"""The interface of launchers. A launcher takes stages and runs each in a process on some machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sendvae.config import Section
from sendvae.experiments.process import Task


@runtime_checkable
class Work(Protocol):
    """A stage that a launcher has taken. The results are in the folder of the stage."""

    def ended(self) -> bool:
        """Return whether the stage has ended, with or without a result."""
        ...

    def reason(self) -> str:
        """Return in one line why the stage ended without a result."""
        ...

    def stop(self) -> None:
        """Ask the stage to write its checkpoint and end; return at once."""
        ...

    def kill(self) -> None:
        """End the stage now, if it has not ended."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """A launcher, which runs stages.

    Attributes:
        threads: the number of threads of each stage; None: stages share the cores of this machine.
    """

    @property
    def threads(self) -> int | None: ...  # noqa: D102

    def start(self, task: Task) -> Work:
        """Take a stage and return its handle."""
        ...

    def wait(self, works: Sequence[Any], seconds: float) -> None:
        """Wait until one of the works has ended, but hardly longer than `seconds`."""
        ...


@dataclass(frozen=True)
class LauncherKind:
    """A row of the launchers.

    Attributes:
        config: the schema of the options.
        check: raises a `UserError` if options are seen at once not to work on this machine.
        open: opens a launcher, from options and the folder of an experiment, for as long as its context lasts. It
            raises a `UserError` if the launcher cannot work, before any stage is taken.
    """

    config: type[Section]
    check: Callable[[Any], None]
    open: Callable[[Any, Path], AbstractContextManager[Launcher]]
