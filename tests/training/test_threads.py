"""The threads of a step: as many as asked for, or the fastest number as measured on the step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
import torch

from sendvae import cores as core_counts
from sendvae.errors import UserError
from sendvae.training.source import Batch
from sendvae.training.threads import RECENT, TRIALS, AutoThreads, Step, with_threads

CPU = torch.device("cpu")
BATCH = Batch(None, torch.zeros(1, dtype=torch.int64))


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """A step whose seconds depend on the threads it finds."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds, self.now, self.used = seconds, 0.0, list[int]()

    def step(self, _batch: Batch, images_seen: int) -> dict[str, torch.Tensor]:
        self.used.append(torch.get_num_threads())
        self.now += self.seconds[self.used[-1]]
        return {"loss": torch.tensor(float(images_seen))}


def test_the_fastest_number_is_kept_until_it_has_become_slow() -> None:
    machine = Machine({1: 1.0, 2: 0.6})
    step = AutoThreads(machine.step, [1, 2], clock=lambda: machine.now)
    for images in range(2 * TRIALS + 10):
        assert step(BATCH, images)["loss"] == images  # trials are steps like all others
    assert machine.used == [1] * TRIALS + [2] * (TRIALS + 10)
    machine.seconds = {1: 1.0, 2: 1.1}  # less than half the rate is needed
    for _ in range(RECENT + 2):
        step(BATCH, 0)
    assert set(machine.used[-RECENT - 2 :]) == {2}
    machine.seconds = {1: 1.0, 2: 5.0}  # as beside other work
    machine.used.clear()
    for _ in range(RECENT + 2 * TRIALS + 4):
        step(BATCH, 0)
    assert machine.used[-4:] == [1] * 4


def test_a_number_is_set_once_and_auto_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody asks, and on a GPU, nothing changes."""
    monkeypatch.setattr(core_counts, "cores", lambda: 2)
    machine = Machine({1: 1.0, 2: 1.0})
    before = torch.get_num_threads()
    for threads, device in ((None, CPU), ("auto", torch.device("cuda"))):
        assert with_threads(cast(Step, machine.step), threads, device) == machine.step  # type: ignore[arg-type]
        assert torch.get_num_threads() == before
    assert with_threads(machine.step, 2, CPU) == machine.step
    assert torch.get_num_threads() == 2
    assert isinstance(with_threads(machine.step, "auto", CPU), AutoThreads)


def test_more_threads_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_counts, "cores", lambda: 4)
    with pytest.raises(UserError, match=r"loop.threads asks for more threads") as caught:
        with_threads(Machine({}).step, 5, CPU)
    assert "1 to 4" in str(caught.value)
