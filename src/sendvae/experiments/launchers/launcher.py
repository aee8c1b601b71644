"""What a launcher is: it takes stages, and runs each in a process somewhere."""

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
    """A stage that a launcher has taken. What it did is seen in its folder."""

    def ended(self) -> bool:
        """Return whether it has ended, however it did."""
        ...

    def reason(self) -> str:
        """Return in one line why it ended without a result."""
        ...

    def stop(self) -> None:
        """Ask it to write its checkpoint and end; return at once."""
        ...

    def kill(self) -> None:
        """End it now, if it has not ended."""
        ...


@runtime_checkable
class Launcher(Protocol):
    """Runs stages.

    Attributes:
        threads: of each stage; None: they share the cores of this machine.
    """

    @property
    def threads(self) -> int | None: ...  # noqa: D102

    def start(self, task: Task) -> Work:
        """Take a stage."""
        ...

    def wait(self, works: Sequence[Any], seconds: float) -> None:
        """Return when one of its works has ended, or a little time later."""
        ...


@dataclass(frozen=True)
class LauncherKind:
    """A row of the launchers.

    Attributes:
        config: the schema of its options.
        check: raises `UserError` where it is seen at once that it cannot work with some options.
        open: makes one for as long as its context lasts, of options and the folder of an experiment; raises `UserError`
            where it cannot work, before it takes anything.
    """

    config: type[Section]
    check: Callable[[Any], None]
    open: Callable[[Any, Path], AbstractContextManager[Launcher]]
