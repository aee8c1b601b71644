"""Beside busy processes, which is faster, one thread or all of them, and what is left of the idle speed?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.harness import REPEATS, Report, Row, interleaved
from sendvae.cores import cores
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.tokenizers import build_tokenizer

BUSY, QUICK = (0, 2, 8), (0, 1)  # processes
# The program of such a process, which also ends when the one that started it does.
WORK = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))"
CPU = torch.device("cpu")


def measure(report: Report) -> None:
    """Time the demo's tokenizer forward and backward, at batch 16, with each number of threads."""
    batch = 2 if report.quick else 16
    tokenizer, images = build_tokenizer("demo-f8d16"), torch.randn(batch, 3, 64, 64)
    precision, before = resolve_precision("auto", CPU), torch.get_num_threads()

    def step(threads: int) -> None:
        torch.set_num_threads(threads)
        with autocast(precision, CPU):
            loss = (tokenizer.decode(tokenizer.encode(images).sample()).float() - images).abs().mean()
        loss.backward()

    cases = {"one": lambda: step(1), "all": lambda: step(cores())}
    idle: dict[str, float] = {}
    try:
        for count in QUICK if report.quick else BUSY:
            with busy(count):
                taken = interleaved(cases, 1 if report.quick else REPEATS)
            idle = idle or taken
            left = " and ".join(f"{idle[case] / taken[case]:.0%}" for case in cases)
            report.rows.append(
                Row(
                    f"demo-f8d16 in {precision}, batch {batch}, 1 thread, beside {count} busy processes",
                    f"{cores()} threads",
                    taken["one"],
                    taken["all"],
                    f"{left} of their idle speeds; {batch / taken['one']:.1f} and {batch / taken['all']:.1f} images a second",
                )
            )
    finally:
        torch.set_num_threads(before)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many other processes computing during the block."""
    others = [subprocess.Popen([sys.executable, "-c", WORK]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.wait()
