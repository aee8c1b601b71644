"""One point of a curve of `growth.py`: measured in a process of its own, and counted without running it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch

from benchmarks.stages import POSITION, build, load_step
from sendvae.latents import StreamingRidge
from sendvae.metrics import precision_recall
from sendvae.training import default_device
from sendvae.training.estimate import estimate

FEATURES, RIDGE_FEATURES, ATTRIBUTES, ROWS = 512, 1024, 40, 1024
FLOAT = 4  # bytes


class Cost(NamedTuple):
    """The seconds of a computation, and the most bytes of memory that it takes."""

    seconds: float
    memory: float


class Estimated(NamedTuple):
    """The FLOPs of a computation, the bytes that it needs, and the parameters of its network."""

    flops: float
    memory: float
    parameters: int = 0


def take_threads(count: int) -> None:
    """Let this process compute with `count` threads."""
    torch.set_num_threads(count)


def cost_of_step(preset: str, batch: int, overrides: Sequence[str], repeats: int) -> Cost:
    """Return the cost of a training step, on the GPU if there is one; the memory includes weights and optimiser."""
    device, before = default_device(), begin()
    stage, data = build(load_step(preset, batch, overrides), device)

    def step() -> None:
        stage.step(data, POSITION)
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = timed(step, repeats)
    on_gpu = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    return Cost(seconds, peak() - before if on_gpu is None else on_gpu)


def estimated_step(preset: str, batch: int, overrides: Sequence[str]) -> Estimated:
    """Return the estimate of a training step, as `--dry-run` prints it."""
    found = estimate(load_step(preset, batch, overrides))
    trained = sum(network.trained for network in found.networks)
    return Estimated(found.flops_per_step, sum(found.memory().values()), trained)


def cost_of_precision_recall(images: int, repeats: int) -> Cost:
    """Return the cost of precision and recall of two sets of noise."""
    before = begin()
    reference, generated = torch.randn(images, FEATURES), torch.randn(images, FEATURES)
    return Cost(timed(lambda: precision_recall(reference, generated), repeats), peak() - before)


def estimated_precision_recall(images: int) -> Estimated:
    """Return the FLOPs of three matrices of distances, and the bytes of the features."""
    return Estimated(3 * 2.0 * images**2 * FEATURES, 2.0 * images * FEATURES * FLOAT)


def cost_of_ridge(images: int, repeats: int) -> Cost:
    """Return the cost of fitting attributes in one pass over latents of noise, which are made as they are read."""
    before = begin()

    def fit() -> None:
        ridge = StreamingRidge()
        for start in range(0, images, ROWS):
            rows = min(ROWS, images - start)
            ridge.update(torch.randn(rows, RIDGE_FEATURES), (torch.rand(rows, ATTRIBUTES) > 0.5).float())
        ridge.solve([0.1])

    return Cost(timed(fit, repeats), peak() - before)


def estimated_ridge(images: int) -> Estimated:
    """Return the FLOPs of a Gram matrix and of the targets, and the bytes of that matrix in float64.

    The bytes do not depend on the number of images.
    """
    flops = 2.0 * images * RIDGE_FEATURES * (RIDGE_FEATURES + ATTRIBUTES)
    return Estimated(flops, 2.0 * FLOAT * RIDGE_FEATURES**2)


def timed(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of `repeats` calls, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return median(times)


def begin() -> int:
    """Return the bytes of memory that this process has now, and reset its peak to them (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # man 5 proc_pid_clear_refs
    return _of_status("VmRSS")


def peak() -> int:
    """Return the most bytes of memory since `begin`.

    The peak that getrusage gives may be from before this process became what it is.
    """
    return _of_status("VmHWM")


def _of_status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
