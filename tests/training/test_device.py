"""A step of every stage on an accelerator: nothing stays behind on the CPU, and the numbers are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.elsewhere import elsewhere
from tests.training.conftest import Data
from tests.training.test_joint import joint_stage
from tests.training.test_stages import diffusion_stage, tokenizer_stage
from torch import nn

STAGES: dict[str, Callable[[Data, torch.device], Any]] = {
    **{
        method: lambda data, device, method=method: tokenizer_stage(data, method=method, device=device)
        for method in ("send-vae", "mapper", "direct", "plain")
    },
    "accumulated": lambda data, device: tokenizer_stage(data, "loop.accumulate=2", device=device),
    "joint": lambda data, device: joint_stage(data[1], device=device),
    "sit": lambda data, device: diffusion_stage(data, "data.latents=online", device=device),
}


OFTEN = ("send-vae", "joint", "sit")  # the others are slow tests
EACH = [pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.slow]) for name in STAGES]


@pytest.mark.parametrize("name", EACH)
def test_a_step_elsewhere(name: str, data: Data) -> None:
    here = scalars(STAGES[name], data, torch.device("cpu"))
    with elsewhere() as device:
        there = scalars(STAGES[name], data, device)
    assert there == pytest.approx(here, rel=1e-3, abs=1e-6)


def scalars(make: Callable[[Data, torch.device], Any], data: Data, device: torch.device) -> dict[str, float]:
    stage = make(data, device)
    assert {tensor.device for named in stage.state.tensors().values() for tensor in named.values()} == {
        device
    }
    batch = stage.source.__getitems__([0, 1, 2, 3]).to(device)
    return {key: float(value) for key, value in stage.step(batch, 0).items()}


@pytest.mark.parametrize(
    ("kind", "layout"), [("cuda", torch.channels_last), ("cpu", torch.contiguous_format)]
)
def test_convolutions_lie_channels_last_on_gpus_only(
    kind: str, layout: torch.memory_format, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)  # there may be no GPU
    stage = tokenizer_stage(data, "ema=0.9", device=torch.device(kind))
    assert stage.ema is not None
    for network in (stage.tokenizer, stage.discriminator, stage.ema.network):
        weights = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
        ]
        assert weights
        assert all(weight.is_contiguous(memory_format=layout) for weight in weights)
