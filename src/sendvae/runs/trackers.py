"""Where scalars go besides metrics.jsonl: trackers by name, each behind its own package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from sendvae.errors import UserError
from sendvae.registry import Registry


@runtime_checkable
class Tracker(Protocol):
    """What receives the journal's scalars."""

    def log(self, images: int, scalars: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `tensorboard/` of the run folder; the horizontal axis is images seen.

    Args:
        folder: the run folder.
        images_seen: where the run resumes; what an interrupted one wrote beyond is hidden.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, images_seen: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "the tracker 'tensorboard' needs a package that is not installed",
                next_step="pip install 'sendvae[tracking]'",
            ) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)

    def log(self, images: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, images)

    def close(self) -> None:
        self._writer.close()


TRACKERS: Registry[Callable[..., Tracker]] = Registry("tracker", {"tensorboard": TensorBoard})


def open_tracker(name: str, folder: Path, images_seen: int = 0) -> Tracker:
    """The tracker of that name for a run folder.

    Raises:
        UserError: the name is unknown, or its package is not installed.
    """
    return TRACKERS[name](folder, images_seen)
