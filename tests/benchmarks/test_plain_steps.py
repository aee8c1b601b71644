"""Straightforward code computes what our stages compute: the same losses, before and after an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from benchmarks.plain_steps import Fresh, PlainGenerator, PlainJoint, PlainTokenizer
from benchmarks.stages import POSITION, build, load_step
from torch import nn

from benchmarks import joint_step, tokenizer_step
from sendvae.randomness import Draws

CPU, BATCH = torch.device("cpu"), 2
STEPS = {
    "generator": ("demo/sit-tiny", 2, [], PlainGenerator),
    "tokenizer": (*tokenizer_step.QUICK, PlainTokenizer),
    "joint": (*joint_step.QUICK, PlainJoint),
}


@pytest.mark.parametrize("kind", STEPS)
def test_straightforward_code_computes_our_losses(kind: str) -> None:
    preset, count, overrides, plain = STEPS[kind]
    stage, theirs, batch = _both(preset, count, overrides, plain)
    for step in range(2):
        position = POSITION + step * count
        draws = Draws(stage.config.seed, position, count, slice(None), CPU)
        found = theirs.step(batch, draws)
        ours = stage.step(batch, position)
        assert len(found) >= 3
        for name, loss in found.items():
            assert loss.item() == pytest.approx(ours[name].item(), rel=1e-3, abs=1e-5), (step, name)


def test_straightforward_code_averages_as_we_do() -> None:
    stage, theirs, batch = _both("demo/sit-tiny", BATCH, ["ema=0.5"], PlainGenerator)
    stage.ema.network.load_state_dict(stage.generator.state_dict())
    theirs.step(batch, Draws(stage.config.seed, POSITION, BATCH, slice(None), CPU))
    stage.step(batch, POSITION)
    before = dict(theirs.sit.named_parameters())
    for name, weight in theirs.average.network.named_parameters():
        torch.testing.assert_close(weight, stage.ema.network.state_dict()[name], rtol=1e-3, atol=2e-5)
        assert weight is not before[name]


def test_random_numbers_of_its_own_are_one_a_row() -> None:
    draws = Fresh(3)
    assert draws.uniform("time").shape == (3,)
    assert draws.normal("noise", (4, 2)).shape == (3, 4, 2)


def _both(
    preset: str, count: int, overrides: list[str], plain: Callable[[Any, str], Any]
) -> tuple[Any, Any, Any]:
    """Return our stage and straightforward code with its weights, none of them 0, and a batch."""
    config = load_step(preset, count, [*overrides, "loop.precision=fp32", "optimizer.lr=1e-4"])
    stage, batch = build(config, CPU)
    for parameter in getattr(stage, "generator", nn.Module()).parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    return stage, plain(stage, "fp32"), batch
