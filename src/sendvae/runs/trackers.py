"""Where scalars go besides metrics.jsonl: trackers by name, each behind its own package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

from sendvae.errors import UserError
from sendvae.registry import Registry


@runtime_checkable
class Tracker(Protocol):
    """What receives the journal's scalars."""

    def log(self, images: int, scalars: Mapping[str, float]) -> None:
        """Record scalars by name, where the run has seen so many images."""
        ...

    def close(self) -> None:
        """Write out what is pending; nothing is logged afterwards."""
        ...


PROJECT = "sendvae"


class TensorBoard:
    """Event files in `tensorboard/` of the run folder; the horizontal axis is images seen.

    Args:
        folder: the run folder.
        images_seen: where the run resumes; what an interrupted one wrote beyond is hidden.
    """

    def __init__(self, folder: Path, images_seen: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)

    def log(self, images: int, scalars: Mapping[str, float]) -> None:
        """Add a point to the curve of each scalar."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        """Write the events out and close their file."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, continued by the same folder; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, folder: Path, _images_seen: int = 0) -> None:
        import wandb

        self._run = wandb.init(
            project=PROJECT, name=folder.name, id=_identity(folder), dir=folder, resume="allow"
        )

    def log(self, images: int, scalars: Mapping[str, float]) -> None:
        """Log one step, numbered by the images seen."""
        self._run.log(dict(scalars), step=images)

    def close(self) -> None:
        """Finish the run, which the same folder can continue."""
        self._run.finish()


class Trackio:
    """A run of trackio, in its local data base; `trackio show` draws it."""

    def __init__(self, folder: Path, _images_seen: int = 0) -> None:
        import trackio

        name = f"{folder.name}-{_identity(folder)}"
        self._run = trackio.init(
            project=PROJECT, name=name, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    def log(self, images: int, scalars: Mapping[str, float]) -> None:
        """Log one step, numbered by the images seen."""
        self._run.log(dict(scalars), step=images)

    def close(self) -> None:
        """Finish the run, which the same folder can continue."""
        self._run.finish()


TRACKERS: Registry[Callable[..., Tracker]] = Registry(
    "tracker", {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "trackio": Trackio}
)


# What each is imported from.
PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}


def check_tracker(name: str) -> None:
    """Make sure that a tracker can be opened, without importing it.

    Raises:
        UserError: the name is unknown, or its package is not installed.
    """
    TRACKERS[name]
    if find_spec(PACKAGES[name]) is None:
        raise _not_installed(name, f"no module named '{PACKAGES[name]}'")


def open_tracker(name: str, folder: Path, images_seen: int = 0) -> Tracker:
    """The tracker of that name for a run folder.

    Raises:
        UserError: the name is unknown, or its package is not installed.
    """
    tracker = TRACKERS[name]
    try:
        return tracker(folder, images_seen)
    except ImportError as error:
        raise _not_installed(name, str(error)) from error


def _not_installed(name: str, given: str) -> UserError:
    return UserError(
        f"the tracker '{name}' needs a package that is not installed",
        given=given,
        next_step="pip install 'sendvae[tracking]'",
    )


def _identity(folder: Path) -> str:
    """The same for a folder whenever a run goes on in it."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
