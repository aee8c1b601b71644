"""How many threads a step on a CPU takes: a number, or the one that a short measurement on the step itself favours."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Literal

import torch
from torch import Tensor

from sendvae.cores import check_threads, cores
from sendvae.runs import say
from sendvae.training.source import Batch

Step = Callable[[Batch, int], dict[str, Tensor]]
TRIALS = 3  # steps with each number of threads; their median counts
RECENT = 8  # steps whose median is held against the chosen number's
SLOWER = 2.0  # times as long: other work has come, and the numbers are tried again


def with_threads(step: Step, threads: int | Literal["auto"] | None, device: torch.device) -> Step:
    """Return a step that takes so many threads on a CPU; None leaves what the process has.

    Sums that are spread over another number of threads are rounded differently, so that "auto" trains to other last
    digits from run to run. Nothing but "auto" changes the number within a run.

    Raises:
        UserError: more threads than cores.
    """
    if threads is None or device.type != "cpu":
        return step
    if threads == "auto":
        return AutoThreads(step)
    check_threads(threads, "loop.threads")
    torch.set_num_threads(threads)
    return step


class AutoThreads:
    """A step that tries 1, 2, 4, ... threads up to all cores, keeps the fastest, and tries again when it has become slow.

    The steps that it tries on are steps of the training like all others.

    Args:
        step: what is timed.
        candidates: numbers of threads.
        clock: the clock, which tests replace.
    """

    def __init__(
        self, step: Step, candidates: list[int] | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.step, self.clock = step, clock
        self.candidates = candidates or sorted({*(2**n for n in range(cores().bit_length())), cores()})
        self._begin()

    def _begin(self) -> None:
        self.trials = [count for count in self.candidates for _ in range(TRIALS)]
        self.found: dict[int, list[float]] = {count: [] for count in self.candidates}
        self.chosen: int | None = None
        self.recent: list[float] = []

    def __call__(self, batch: Batch, images_seen: int) -> dict[str, Tensor]:
        """Do a step, and learn from how long it took."""
        count = self.trials[0] if self.chosen is None else self.chosen
        torch.set_num_threads(count)
        began = self.clock()
        scalars = self.step(batch, images_seen)
        self._learn(count, self.clock() - began)
        return scalars

    def _learn(self, count: int, seconds: float) -> None:
        if self.chosen is None:
            self.found[count].append(seconds)
            self.trials.pop(0)
            if not self.trials:
                self.chosen = min(self.candidates, key=lambda one: median(self.found[one]))
                say(f"{self.chosen} threads a step, of {self.candidates}")
            return
        self.recent = [*self.recent[1 - RECENT :], seconds]
        if len(self.recent) == RECENT and median(self.recent) > SLOWER * median(self.found[self.chosen]):
            self._begin()
