"""How long does a step wait for a checkpoint that is written beside it, against one that is written at once?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import torch
from torch import Tensor

from benchmarks.harness import GIGA, Report, Row
from sendvae.runs import CheckpointWriter, save_checkpoint

SIDE = 1024  # the side of the matrices that the state consists of
REPEATS = 5


def measure(report: Report) -> None:
    """Save 1 GB of float32: matrices of a network, of its average, and of two moments of its optimiser."""
    total = 10**7 if report.quick else 10**9
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    count = max(1, total // (4 * 4 * SIDE**2))
    groups = ("network", "average", "first moment", "second moment")
    state = {
        group: {str(i): torch.randn(SIDE, SIDE, device=device) for i in range(count)} for group in groups
    }
    size = sum(tensor.nbytes for named in state.values() for tensor in named.values())
    weight = torch.randn(SIDE, SIDE, device=device)
    beside, at_once, alone, with_writer = [], [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with CheckpointWriter(folder / "beside", keep_last=1) as writer:
            writer.save(0, 0, state, {})  # makes the buffers
            for i in range(1, 2 if report.quick else 1 + REPEATS):
                writer.wait()
                alone.append(mean(_seconds(lambda: _step(weight)) for _ in range(10)))
                beside.append(_seconds(lambda i=i: writer.save(i, i, state, {})))
                with_writer.append(_while_writing(writer, lambda: _step(weight)))
                at_once.append(
                    _seconds(lambda i=i: save_checkpoint(folder / "at once", i, i, state, {}, keep_last=1))
                )
    rate = size / median(beside) / GIGA
    what = f"a step's wait for {size / GIGA:.2g} GB of state on the {device.type}"
    note = f"one copy to the host, at {rate:.2g} GB/s"
    report.rows.append(Row(what, "a write in the foreground", median(beside), median(at_once), note))
    note = "a product of two matrices and the sum of one"
    report.rows.append(
        Row("a step while it is written", "the same step alone", median(with_writer), median(alone), note)
    )


def _step(weight: Tensor) -> float:
    return float((weight @ weight).sum())


def _while_writing(writer: CheckpointWriter, step: Callable[[], object]) -> float:
    """Return the mean seconds of the steps that fit beside a write."""
    taken = [_seconds(step)]
    while writer.is_writing():
        taken.append(_seconds(step))
    return mean(taken)


def _seconds(work: Callable[[], object]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began
