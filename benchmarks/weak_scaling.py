"""Which share of one process's speed does each of two have, with a batch of its own each (weak scaling)?"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue
from statistics import median
from time import perf_counter

import torch

from benchmarks.harness import Report, Row
from benchmarks.stages import POSITION, Stage, build, load_step
from sendvae import distributed
from sendvae.training.source import Batch

PROCESSES, THREADS, REPEATS = 2, 1, 5
JUDGES = "losses.precision=as-loop"
STEPS: tuple[tuple[str, int, Sequence[str]], ...] = (
    ("imagenet256-sit-b1", 8, ()),
    ("imagenet256-f16d32-send", 2, ["data.size=128", "alignment.grid=8", JUDGES]),
)
QUICK: tuple[tuple[str, int, Sequence[str]], ...] = (("demo/sit-tiny", 2, ()),)


def measure(report: Report) -> None:
    """Time steps of one process, and of two under DDP, in turns; each has one thread."""
    for preset, batch, overrides in QUICK if report.quick else STEPS:
        alone, together = in_turns(preset, batch, overrides, 1 if report.quick else REPEATS)
        what = f"{PROCESSES} processes, DDP: a step of {preset}, batch {batch} each"
        report.rows.append(
            Row(what, f"1 process, batch {batch}", together, alone, "the share that is left of its speed")
        )


def in_turns(preset: str, batch: int, overrides: Sequence[str], repeats: int) -> tuple[float, float]:
    """Return the median seconds of a step of one process while the other waits, and of one of both."""
    context = multiprocessing.get_context("spawn")
    results: SimpleQueue[tuple[float, float]] = context.SimpleQueue()
    arguments = (_free_port(), preset, batch, overrides, repeats, results)
    torch.multiprocessing.spawn(_work, arguments, nprocs=PROCESSES)
    return results.get()


def _work(
    rank: int, port: int, preset: str, batch: int, overrides: Sequence[str], repeats: int,
    results: SimpleQueue[tuple[float, float]],
) -> None:  # fmt: skip
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": PROCESSES, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(THREADS)
    with distributed.process_group() as device:
        config = load_step(preset, batch, overrides)
        with distributed.single_process():
            single = build(config, device)
        shared = build(config, device)
        alone, together = [], []
        for _ in range(repeats + 1):  # the first warms up
            distributed.barrier()
            if distributed.is_main():
                with distributed.single_process():
                    alone.append(_seconds(*single))
            distributed.barrier()
            together.append(_seconds(*shared))
        if distributed.is_main():
            results.put((median(alone[1:]), median(together[1:])))


def _seconds(stage: Stage, batch: Batch) -> float:
    began = perf_counter()
    stage.step(batch, POSITION)
    return perf_counter() - began


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
