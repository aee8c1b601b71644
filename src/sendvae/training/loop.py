"""The generic training loop, in five blocks; a stage defines what is trained."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

import torch
from torch import Tensor

from sendvae.config.schema_common import LoopConfig
from sendvae.data import batch_indices
from sendvae.distributed import any_process, is_main, world_size
from sendvae.errors import MachineError, UserError
from sendvae.faults import is_out_of_memory
from sendvae.files import write_text
from sendvae.nn.precision import resolve_precision
from sendvae.runs import JOURNAL, CheckpointWriter, RunFolder, latest_checkpoint, progress, say
from sendvae.runs.caches import in_units
from sendvae.runs.profiling import step_done
from sendvae.signals import answered_signals, collected_signals
from sendvae.training.cuda_graph import RecordedStep, can_record
from sendvae.training.device import set_for_training
from sendvae.training.log import Log, Window
from sendvae.training.source import Batch, Source, batches
from sendvae.training.speed import Speed
from sendvae.training.state import State
from sendvae.training.threads import with_threads


@runtime_checkable
class Stage(Protocol):
    """The interface of a training stage.

    Attributes:
        name: what progress lines call the run.
        source: gives the batches.
        state: what a checkpoint saves and restores, and whose rates are logged.
    """

    name: str
    source: Source
    state: State

    @property
    def device(self) -> torch.device:
        """Return where batches are moved."""
        ...

    def step(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Update every network once on this process's share of a batch; return scalars, detached, still on the device."""
        ...

    def phase(self, images_seen: int) -> Hashable:
        """Return what a step does at a position: steps of equal phases run the same kernels on other numbers.

        None: this step waits for the CPU, and can be no CUDA graph.
        """
        ...


Preview = Callable[[int], dict[str, float]]


class Stopped(Exception):
    """A signal ended the work after its state was saved, so that it can be resumed."""

    def __init__(self, what: str, signum: int) -> None:
        super().__init__(f"{what}. Run the same command again to go on.")
        self.signum = signum


class NothingTrained(Exception):
    """The run has come to its end, and not one step changed a weight: there is no model to export."""

    def __init__(self, name: str, steps: int, names: list[str], report: Path) -> None:
        super().__init__(
            f"{name}: none of the {steps:,} steps was finite ({', '.join(names)}), so nothing was learned and no "
            f"model is exported; the keys of their images are in {report}. "
            "Lower optimizer.lr, or set loop.precision=fp32."
        )


def train(
    stage: Stage,
    run: RunFolder,
    loop: LoopConfig,
    seed: int,
    workers: int = 0,
    preview: tuple[int, Preview] | None = None,
    speed: Speed | None = None,
) -> None:
    """Train `stage` until `loop.images`, resuming from the run folder's last checkpoint.

    Args:
        stage: what is trained.
        run: where checkpoints and the journal go.
        loop: lengths, in images seen.
        seed: the seed of the order of the images.
        workers: processes that read batches.
        preview: called with the images seen every so many images; what it returns is logged.
        speed: the constants by which lines tell TFLOP/s and their share of the peak.

    Raises:
        Stopped: after SIGTERM or Ctrl-C, once the state is saved.
        NothingTrained: at the end, if no step was finite.
        UserError: a batch that the processes cannot share; losses or gradients that are not finite for too many
            steps in a row.
        MachineError: too little memory for a step; too little room for checkpoints, or one that cannot be written.
    """
    _check_shares(loop)
    # Resume.
    images_seen, step, window = 0, 0, Window(loop.nonfinite_limit)
    checkpoint = latest_checkpoint(run.checkpoints)
    if checkpoint is not None:
        stage.state.restore(checkpoint)
        images_seen, step = checkpoint.images_seen, checkpoint.step
        window.restore(checkpoint.state["window"])
    if images_seen >= loop.images:
        return
    _check_room(stage, run, loop)
    previewed = images_seen
    step_of = RecordedStep(stage, seed) if loop.cuda_graph and can_record(stage, loop) else stage.step
    step_of = with_threads(step_of, loop.threads, stage.device)
    stream = batches(stage.source, loop.batch_size, seed, images_seen, loop.images, workers)
    with (
        collected_signals(interrupt_at_second=True) as received,
        answered_signals(lambda number: _answer(stage.name, number)),
        Log(run, loop.trackers, images_seen, speed) as log,
        progress(stage.name, loop.images, unit="img", start=images_seen) as bar,
        set_for_training(resolve_precision(loop.precision, stage.device), stage.device),
        CheckpointWriter(run.checkpoints, loop.keep_last) as writer,
    ):
        for batch in stream:
            # Update.
            with _room_for(loop, speed):
                window.add(images_seen, step_of(batch.to(stage.device), images_seen))
            previous, images_seen, step = images_seen, images_seen + loop.batch_size, step + 1
            done = images_seen >= loop.images
            # Log: the only place that waits for the device and, of several processes, for the others.
            note, stopping = "", bool(received) and world_size() == 1
            if done or _crossed(previous, images_seen, loop.log_every):
                stopping = any_process(bool(received))
                scalars = window.flush()
                note = _note(scalars)
                scalars |= stage.state.rates()
                if preview is not None and _crossed(previewed, images_seen, preview[0]):
                    scalars |= preview[1](images_seen)
                    previewed = images_seen
                note += _share(log.write(images_seen, step, scalars))
                if len(window.bad) >= loop.nonfinite_limit:
                    _give_up(stage.source, run, window.bad, loop.batch_size, seed)
                if done and len(window.bad) == step:  # before a checkpoint makes the run a finished one
                    report = _report(stage.source, run, window.bad, loop.batch_size, seed)
                    raise NothingTrained(stage.name, step, window.bad[-1][1], report)
            bar.advance(images_seen - previous, note=note)
            step_done()
            # Checkpoint: written while the next steps run, which wait for its copy only.
            writer.check()
            if done or stopping or _crossed(previous, images_seen, loop.checkpoint_every):
                writer.save(
                    step,
                    images_seen,
                    stage.state.tensors(),
                    {"window": window.state()},
                    milestone=_crossed(previous, images_seen, loop.milestone_every),
                )
            # Stop.
            if stopping and not done:
                writer.wait()
                where = f"{stage.name}: stopped at {images_seen:,} images; the checkpoint is written"
                raise Stopped(where, received[0] if received else signal.SIGTERM)


@contextmanager
def _room_for(loop: LoopConfig, speed: Speed | None) -> Iterator[None]:
    """Turn an out-of-memory error into one that says how much a step needs.

    Raises:
        MachineError: the memory was used up.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        share = loop.batch_size // (world_size() * loop.accumulate)
        needed = f"; about {in_units(int(speed.memory))} by the estimate, with weights" if speed else ""
        raise MachineError(
            f"the memory is too small for a batch of {loop.batch_size}",
            given=f"{share} images at a time (loop.accumulate={loop.accumulate}){needed}",
            next_step="a larger loop.accumulate takes a batch in smaller pieces; or choose a smaller loop.batch_size, or"
            " train on several processes",
        ) from error


def _check_shares(loop: LoopConfig) -> None:
    pieces = world_size() * loop.accumulate
    if loop.batch_size % pieces:
        raise UserError(
            f"a batch of {loop.batch_size} cannot be shared equally",
            given=f"{world_size()} processes, loop.accumulate={loop.accumulate}",
            expected=f"loop.batch_size a multiple of {pieces}",
            next_step="change loop.batch_size or loop.accumulate",
        )


def _check_room(stage: Stage, run: RunFolder, loop: LoopConfig) -> None:
    """Refuse a run whose checkpoints cannot fit: those that are kept and the one being written.

    What the optimisers add is not known before their first step, so this is the least that is needed.

    Raises:
        MachineError: the disk has less room.
    """
    size = sum(
        tensor.numel() * tensor.element_size()
        for named in stage.state.tensors().values()
        for tensor in named.values()
    )
    have = sum(path.stat().st_size for path in run.checkpoints.rglob("*") if path.is_file())
    needed = max(0, size * (loop.keep_last + 1) - have)
    free = shutil.disk_usage(run.path).free
    if is_main() and needed > free:
        raise MachineError(
            "the checkpoints do not fit onto the disk",
            given=f"{in_units(free)} free in {run.path}",
            expected=f"{in_units(needed)} or more, for {loop.keep_last + 1} checkpoints of {in_units(size)}",
            next_step="make room, choose another --run, or set loop.keep_last=1",
        )


def _give_up(
    source: Source, run: RunFolder, bad: list[tuple[int, list[str]]], batch_size: int, seed: int
) -> NoReturn:
    """Write which images the bad steps saw, and end the run.

    Raises:
        UserError: always.
    """
    path = _report(source, run, bad, batch_size, seed)
    first, names = bad[0]
    raise UserError(
        f"the loss is not finite: {', '.join(names)}",
        given=f"{len(bad)} steps in a row from image {first:,} on; the keys of their images are in {path}",
        next_step="lower optimizer.lr, or set loop.precision=fp32; the last checkpoint is intact",
    )


def _report(
    source: Source, run: RunFolder, bad: list[tuple[int, list[str]]], batch_size: int, seed: int
) -> Path:
    """Write what was not finite, and the keys of the images that those steps saw."""
    report = [
        {
            "images_seen": images_seen,
            "not finite": names,
            "keys": [
                source.images.keys[i] for i in batch_indices(images_seen, batch_size, len(source), seed)
            ],
        }
        for images_seen, names in bad
    ]
    path = run.path / "not-finite.json"
    if is_main():
        write_text(path, json.dumps(report, indent=1) + "\n")
    return path


def _answer(name: str, signum: int) -> None:
    step = "this step" if world_size() == 1 else f"the next line of {JOURNAL}"
    say(
        f"{name}: {signal.Signals(signum).name}; after {step} a checkpoint is written, then the training stops"
    )


def _crossed(previous: int, current: int, every: int | None) -> bool:
    return every is not None and previous // every != current // every


def _note(scalars: Mapping[str, float]) -> str:
    shown = [f"{name} {value:.3f}" for name, value in scalars.items() if not name.startswith("grad_norm")]
    return " · ".join(shown[:4])


def _share(rates: Mapping[str, float]) -> str:
    return f" · {rates['tflops']:.3g} TFLOP/s, {rates['mfu']:.0%} of the peak" if "mfu" in rates else ""
