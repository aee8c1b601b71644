"""A roofline holds every product of its step, and a pass over the optimiser's memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from benchmarks.roofline import Operand, Recorded, moved_by, roofline_of
from benchmarks.stages import POSITION, build, load_step
from torch.utils.flop_counter import FlopCounterMode

from sendvae.training.stages import DiffusionStage

CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_roofline_has_all_products_of_its_step_and_nothing_else_of_it() -> None:
    stage, batch = build(load_step("demo/sit-tiny", 2, ["loop.precision=bf16"]), CPU)
    with FlopCounterMode(display=False) as whole:
        stage.step(batch, POSITION)
    roofline = roofline_of(lambda: stage.step(batch, POSITION), stage.state)
    with FlopCounterMode(display=False) as alone:
        roofline()
    assert alone.get_total_flops() == whole.get_total_flops() > 0


def test_fused_attention_and_convolutions_are_part_of_it() -> None:
    q = torch.randn(1, 2, 8, 4, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, requires_grad=True)
    with Recorded() as recorded:
        F.scaled_dot_product_attention(q, q, q).sum().backward()
        F.conv2d(q, weight, padding=1).sum().backward()
        F.gelu(q)
    names = sorted(str(call.function) for call in recorded.calls)
    assert names == [
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        "aten._scaled_dot_product_flash_attention_for_cpu_backward.default",
        "aten.convolution.default",
        "aten.convolution_backward.default",
    ]
    for call in recorded.calls:
        call.ready()()


def test_equal_calls_are_counted_together_and_run_as_often() -> None:
    a = torch.randn(4, 4)
    with Recorded() as recorded:
        a @ a, a @ a, a.T @ a
    assert sorted(recorded.calls.values()) == [1, 2]


def test_operands_lie_in_memory_as_those_of_the_step_did() -> None:
    original = torch.randn(3, 1).expand(3, 5)
    again = Operand.of(original).tensor()
    assert (again.shape, again.stride(), again.dtype) == (original.shape, original.stride(), original.dtype)


def test_a_pass_reads_and_writes_what_adamw_and_the_average_need() -> None:
    stage, _ = build(load_step("demo/sit-tiny", 2), CPU)
    assert isinstance(stage, DiffusionStage)
    trained = sum(p.numel() for p in stage.generator.parameters() if p.requires_grad)
    every = sum(p.numel() for p in stage.generator.parameters())
    # Read: weight, gradient, two moments; written: weight, two moments. The average is read and written.
    assert moved_by(stage.state) == 4 * (7 * trained + 2 * every)
