"""A recorded step does what the step does: the same losses and weights, position by position."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.training.conftest import Data
from tests.training.test_joint import joint_stage
from tests.training.test_stages import diffusion_stage, tokenizer_stage
from torch import Tensor

from sendvae.config.schema_common import LoopConfig
from sendvae.training import cuda_graph
from sendvae.training.cuda_graph import WARM_UP, CudaRecorder, RecordedStep, can_record

BATCH, STEPS = 4, 18
DEVICES = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
STAGES: dict[str, Callable[[Data, torch.device], Any]] = {
    "send-vae": lambda data, device: tokenizer_stage(
        data,
        "losses.discriminator_start=32",
        "losses.adversarial_start=32",
        "gradient_share_every=16",
        device=device,
    ),
    "direct": lambda data, device: tokenizer_stage(data, method="direct", device=device),
    "sit": lambda data, device: diffusion_stage(data, device=device),
    "joint": lambda data, device: joint_stage(data[1], device=device),
}


class Again:
    """Stands for a CUDA graph: a replay does the step of the recorded position again, with the rates that are set."""

    def __init__(self, stage: Any) -> None:
        self.stage = stage
        self.recorded = self.replayed = 0

    def run_on_stream(self, work: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return work()

    def record(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        before = copy.deepcopy([updater.optimizer.state_dict() for updater in self.updaters()])
        tensors = [t.clone() for group in self.networks() for t in group.values()]
        values = work()
        for updater, state in zip(self.updaters(), before, strict=True):
            rate = updater.optimizer.param_groups[0]["lr"]
            updater.optimizer.load_state_dict(state)
            updater.optimizer.param_groups[0]["lr"] = rate
        for tensor, old in zip(
            (t for group in self.networks() for t in group.values()), tensors, strict=True
        ):
            tensor.copy_(old)

        def replay() -> None:
            self.replayed += 1
            with self.rates_as_set():
                values.copy_(work())

        return replay, values

    def updaters(self) -> list[Any]:
        return list(self.stage.state.updaters.values())

    def networks(self) -> list[dict[str, Tensor]]:
        state = self.stage.state
        return [
            dict(one.state_dict())
            for one in (*state.networks.values(), *(a.network for a in state.averages.values()))
        ]

    @contextmanager
    def rates_as_set(self) -> Iterator[None]:
        for updater in self.updaters():
            updater.recording = True
        yield
        for updater in self.updaters():
            updater.recording = False


def run(stage: Any, step: Callable[..., dict[str, Tensor]], device: torch.device) -> list[dict[str, float]]:
    found = []
    for i in range(STEPS):
        rows = [(3 * i + j) % len(stage.source) for j in range(BATCH)]
        batch = stage.source.__getitems__(rows).to(device)
        found.append(step(batch, i * BATCH))
    return [{name: float(value) for name, value in scalars.items()} for scalars in found]


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize(
    "name", ["send-vae", "sit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("direct", "joint"))]
)
def test_a_recorded_step_is_the_step(name: str, device: torch.device, data: Data) -> None:
    plain, stage = STAGES[name](data, device), STAGES[name](data, device)
    for updater in (*plain.state.updaters.values(), *stage.state.updaters.values()):
        with updater.recorded():  # a rate in float32 is rounded, and a step of Adam makes much of it
            pass
    expected = run(plain, plain.step, device)
    stand_in = Again(stage)
    recorder = stand_in if device.type == "cpu" else CudaRecorder()
    step = RecordedStep(stage, stage.config.seed, recorder)
    found = run(stage, step, device)
    assert [one.keys() for one in found] == [one.keys() for one in expected]
    for one, other in zip(found, expected, strict=True):
        # Gradients through convolutions are sums in no fixed order on a GPU: their norm moved by .5 % on an H100.
        assert one == pytest.approx(other, rel=1e-3 if device.type == "cpu" else 1e-2, abs=1e-5)
    assert stage.state.rates() == pytest.approx(plain.state.rates())
    for group, tensors in stage.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.allclose(
                tensor.float(), plain.state.tensors()[group][key].float(), rtol=1e-3, atol=1e-5
            ), key
    if device.type == "cpu":
        assert stand_in.recorded == len(step.recordings) > 0
        assert stand_in.replayed > 0
        assert all(step.warmed[phase] == WARM_UP for phase in step.recordings)


def test_steps_without_a_phase_and_batches_of_another_size_run_as_they_are(data: Data) -> None:
    stage = tokenizer_stage(data, "equivariance={smallest: 0.5}", method="plain")
    step = RecordedStep(stage, stage.config.seed, Again(stage))
    run(stage, step, torch.device("cpu"))
    assert not step.warmed
    stage = tokenizer_stage(data, "gradient_share_every=8")
    step = RecordedStep(stage, stage.config.seed, Again(stage))
    run(stage, step, torch.device("cpu"))
    assert sum(step.warmed.values()) <= WARM_UP
    before = dict(step.warmed)
    step(stage.source.__getitems__([0, 1]), 400 + 4 * BATCH)
    assert step.warmed == before


@pytest.mark.parametrize(
    ("device", "processes", "accumulate", "expected"),
    [("cuda", 1, 1, True), ("cpu", 1, 1, False), ("cuda", 2, 1, False), ("cuda", 1, 2, False)],
)
def test_where_steps_can_be_recorded(
    device: str, processes: int, accumulate: int, expected: bool, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = tokenizer_stage(data)
    stage.device = torch.device(device)
    monkeypatch.setattr(cuda_graph.distributed, "world_size", lambda: processes)
    assert can_record(stage, LoopConfig(images=4, batch_size=4, accumulate=accumulate)) is expected
