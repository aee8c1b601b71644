"""The training loop: generic, in five blocks; what is trained is a stage's business."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sendvae.config.schema_common import LoopConfig
from sendvae.errors import UserError
from sendvae.runs import Checkpoint, Journal, RunFolder, latest_checkpoint, progress, save_checkpoint
from sendvae.training.source import Batch, Source, batches


@runtime_checkable
class Stage(Protocol):
    """What the loop needs of a training stage."""

    name: str
    source: Source

    @property
    def device(self) -> torch.device: ...

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Updates every network once; returns detached scalars, still on the device."""
        ...

    def tensors(self) -> Mapping[str, Mapping[str, Tensor]]:
        """All state, by group: networks, optimisers, averages."""
        ...

    def state(self) -> Mapping[str, Any]:
        """State that is not a tensor (JSON)."""
        ...

    def restore(self, checkpoint: Checkpoint) -> None: ...


class Stopped(Exception):
    """A signal ended the run after its checkpoint was written."""

    def __init__(self, name: str, images_seen: int, signum: int) -> None:
        super().__init__(
            f"{name}: stopped at {images_seen:,} images; the checkpoint is written. "
            "Run the same command again to go on."
        )
        self.signum = signum


def train(stage: Stage, run: RunFolder, loop: LoopConfig, seed: int, workers: int = 0) -> None:
    """Trains `stage` until `loop.images`, resuming from the run folder's last checkpoint.

    Raises:
        Stopped: after SIGTERM or Ctrl-C, once the state is saved.
        UserError: where a loss is not finite.
    """
    # Resume.
    images_seen, step = 0, 0
    checkpoint = latest_checkpoint(run.checkpoints)
    if checkpoint is not None:
        stage.restore(checkpoint)
        images_seen, step = checkpoint.images_seen, checkpoint.step
    if images_seen >= loop.images:
        return
    journal = Journal(run.journal_path)
    journal.truncate_after(images_seen)
    window = _Window(images_seen)

    def save() -> None:
        save_checkpoint(
            run.checkpoints,
            step,
            images_seen,
            stage.tensors(),
            {**stage.state(), "window": window.state()},
            keep_last=loop.keep_last,
        )

    if checkpoint is not None:
        window.restore(checkpoint.state["window"])
    stream = batches(stage.source, loop.batch_size, seed, images_seen, loop.images, workers)
    with (
        _signals() as received,
        progress(stage.name, loop.images, unit="img", start=images_seen) as bar,
    ):
        for batch in stream:
            # Update.
            window.add(stage.step(batch.to(stage.device), images_seen))
            previous, images_seen, step = images_seen, images_seen + loop.batch_size, step + 1
            done = images_seen >= loop.images
            # Log: the only place that waits for the device.
            if done or _crossed(previous, images_seen, loop.log_every):
                scalars = window.flush(images_seen)
                journal.append(images=images_seen, step=step, **scalars)
                bar.advance(images_seen - previous, note=_note(scalars))
            else:
                bar.advance(images_seen - previous)
            # Checkpoint.
            if done or received or _crossed(previous, images_seen, loop.checkpoint_every):
                save()
            # Stop.
            if received and not done:
                raise Stopped(stage.name, images_seen, received[0])


class _Window:
    """Means of the scalars between two log lines, summed on the device."""

    def __init__(self, images_seen: int) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # a term may start in the middle of a window
        self.first = images_seen

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        for name, value in scalars.items():
            total = value.detach().double()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
            self.counts[name] = self.counts.get(name, 0) + 1

    def flush(self, images_seen: int) -> dict[str, float]:
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"the loss is not finite: {', '.join(bad)}",
                given=f"between image {self.first:,} and image {images_seen:,}",
                next_step="lower optimizer.lr, or set loop.precision=fp32; the last checkpoint is intact",
            )
        self.sums, self.counts, self.first = {}, {}, images_seen
        return means

    def state(self) -> dict[str, Any]:
        sums = {name: float(total) for name, total in self.sums.items()}
        return {"sums": sums, "counts": self.counts, "first": self.first}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.sums = {name: torch.tensor(total).double() for name, total in state["sums"].items()}
        self.counts, self.first = dict(state["counts"]), state["first"]


def _crossed(previous: int, current: int, every: int) -> bool:
    return previous // every != current // every


def _note(scalars: Mapping[str, float]) -> str:
    shown = [f"{name} {value:.3f}" for name, value in scalars.items() if not name.startswith("grad_norm")]
    return " · ".join(shown[:4])


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT while a step runs, so that the loop can end at a clean place."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(signum: int, _frame: FrameType | None) -> None:
        if received:  # a second Ctrl-C does not wait
            raise KeyboardInterrupt
        received.append(signum)

    before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
