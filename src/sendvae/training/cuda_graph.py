"""A training step as a CUDA graph: its kernels are launched together, so that Python no longer sets the pace.

A step of the demo's tokenizer is about 1,700 small kernels, which a large GPU computes faster than Python asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from sendvae import distributed
from sendvae.config.schema_common import LoopConfig
from sendvae.randomness import Draws, HeldDraws
from sendvae.training.source import Batch

if TYPE_CHECKING:
    from sendvae.training.loop import Stage

WARM_UP = 3  # steps of a phase before it is recorded: libraries choose kernels, optimisers make their state


@runtime_checkable
class Recorder(Protocol):
    """How steps are run on the stream of the recordings and recorded; the device's, or a stand-in for tests."""

    def run_on_stream(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Run a step where recordings are made; return what it returns."""
        ...

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record work without doing it; return what does it, and the tensor in which its result then lies."""
        ...


class CudaRecorder:
    """Records on a stream of its own; all recordings of a run share their memory."""

    def __init__(self) -> None:
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def run_on_stream(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Run a step on the stream of the recordings."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            found = work()
        torch.cuda.current_stream().wait_stream(self.stream)
        return found

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record work as a CUDA graph; other threads may go on using the device."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):
            found = work()
        return graph.replay, found


@dataclass(frozen=True)
class _Recording:
    replay: Callable[[], None]
    names: list[str]
    values: Tensor  # written by a replay


def can_record(stage: Stage, loop: LoopConfig) -> bool:
    """Return whether steps can be CUDA graphs: on one GPU, each batch as a whole."""
    return stage.device.type == "cuda" and distributed.world_size() == 1 and loop.accumulate == 1


class RecordedStep:
    """A stage's step, recorded once for each phase and replayed from then on.

    A replay reads its batch, its random numbers and its learning rates from tensors that are filled before, so it does what
    the step would have done. Steps without a phase, and batches of another size than the first, run as they are.

    Args:
        stage: a stage on one device.
        seed: the seed of the run's random numbers.
        recorder: what records, which tests replace.
    """

    def __init__(self, stage: Stage, seed: int, recorder: Recorder | None = None) -> None:
        self.stage, self.seed = stage, seed
        self.recorder = recorder or CudaRecorder()
        self.held = HeldDraws()
        self.batch: Batch | None = None
        self.warmed: Counter[Hashable] = Counter()
        self.recordings: dict[Hashable, _Recording] = {}

    def __call__(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Do the step of a position; return scalars, still on the device."""
        phase = self.stage.phase(images_seen)
        if phase is None or not self._fill(batch, images_seen):
            return self.stage.step(batch, images_seen)
        if self.warmed[phase] < WARM_UP:
            self.warmed[phase] += 1
            return self.recorder.run_on_stream(lambda: self._step(images_seen))
        if phase not in self.recordings:
            self.recordings[phase] = self._record(images_seen)
        recording = self.recordings[phase]
        recording.replay()
        return dict(zip(recording.names, recording.values.clone().unbind(), strict=True))

    def _fill(self, batch: Batch, images_seen: int) -> bool:
        """Put everything that changes from step to step where recordings read it; False if the batch does not fit."""
        given = {name: tensor for name, tensor in vars(batch).items() if tensor is not None}
        if self.batch is None:
            self.batch = replace(batch, **{name: tensor.clone() for name, tensor in given.items()})
        kept = {name: tensor for name, tensor in vars(self.batch).items() if tensor is not None}
        if {name: tensor.shape for name, tensor in kept.items()} != {n: t.shape for n, t in given.items()}:
            return False
        for name, tensor in kept.items():
            tensor.copy_(given[name])
        count = len(batch.labels)
        self.held.refill(Draws(self.seed, images_seen, count, slice(None), self.stage.device))
        for updater in self.stage.state.updaters.values():
            updater.set_rate(images_seen)
        return True

    def _step(self, images_seen: int) -> dict[str, Tensor]:
        assert self.batch is not None
        with self.held():
            return self.stage.step(self.batch, images_seen)

    def _record(self, images_seen: int) -> _Recording:
        names: list[str] = []

        def work() -> Tensor:
            scalars = self._step(images_seen)
            names[:] = scalars
            return torch.stack([value.float() for value in scalars.values()])

        with ExitStack() as recorded:
            for updater in self.stage.state.updaters.values():
                recorded.enter_context(updater.recorded())
            replay, values = self.recorder.record(work)
        return _Recording(replay, names, values)
