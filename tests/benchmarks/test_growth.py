"""Curves of cost: exponents, what is measured and what is computed, and the FLOPs that computed points stand on."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import pytest
import torch
from benchmarks.growth import CURVES, Curve, computed, draw, slope
from benchmarks.growth_point import Cost, Estimated
from benchmarks.stages import load_step
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import growth, growth_point
from sendvae.metrics import precision_recall


def test_the_slope_is_the_exponent_of_a_power_law() -> None:
    assert slope([1, 2, 8], [5, 5 * 2**1.5, 5 * 8**1.5]) == pytest.approx(1.5)
    assert slope([16, 32, 64], [3, 3, 3]) == pytest.approx(0.0)


def test_a_computed_point_has_the_rate_and_the_share_of_the_largest_measured_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cost(value: int, repeats: int) -> Cost:
        assert repeats == 3
        return Cost(0.01 * value**2, 10.0 * value)

    def here(function: Callable[..., Cost], *arguments: Any) -> Cost:
        return function(*arguments)

    monkeypatch.setattr(growth, "in_a_process", here)
    curve = Curve(
        "x",
        "images",
        lambda value: (int(value),),
        ("2", "4"),
        ("8",),
        cost,
        lambda n: Estimated(5.0 * n**3, 2.0 * n),
    )
    drawn = draw(curve, 3)
    assert [point.measured for point in drawn.points] == [True, True, False]
    assert drawn.points[1].seconds == pytest.approx(0.16)
    # 5 * 4^3 FLOP took 0.16 s; 5 * 8^3 take 8 times as long. 10 bytes were 2 of the estimate.
    assert drawn.points[2].seconds == pytest.approx(8 * 0.16)
    assert drawn.points[2].memory == pytest.approx(10.0 * 8)
    assert drawn.exponent(lambda point: point.seconds) == pytest.approx(2.0)
    assert drawn.exponent(lambda point: point.flops, measured_only=False) == pytest.approx(3.0)


def test_computing_divides_by_a_rate() -> None:
    assert computed(Estimated(100.0, 8.0), rate=50.0, share=0.25) == Cost(2.0, 2.0)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: f"{curve.what} over {curve.axis}")
def test_every_value_is_one_that_can_be_configured(curve: Curve) -> None:
    values = (*curve.measured, *curve.computed)
    assert len(curve.measured) >= 2
    for value in values:
        arguments = curve.arguments(value)
        if curve.cost is growth.cost_of_step:
            config = load_step(*arguments)  # type: ignore[arg-type]
            assert config.data.tokens == "cached"
    assert len({str(curve.arguments(value)) for value in values}) == len(values)


def test_the_flops_of_precision_and_recall_are_those_it_computes() -> None:
    rows = torch.randn(2, 50, growth_point.FEATURES)
    with FlopCounterMode(display=False) as counter:
        precision_recall(rows[0], rows[1])
    assert growth_point.estimated_precision_recall(50).flops == counter.get_total_flops()


def test_the_flops_of_a_ridge_are_those_of_its_products() -> None:
    images = growth_point.ROWS + 5
    with FlopCounterMode(display=False) as counter:
        growth_point.cost_of_ridge(images, 1)  # twice: it warms up
    assert 2 * growth_point.estimated_ridge(images).flops == pytest.approx(
        counter.get_total_flops(), rel=0.05
    )


@pytest.mark.slow
def test_an_estimated_step_is_what_dry_run_says_and_grows_with_the_batch() -> None:
    one, two = (growth_point.estimated_step("demo/sit-tiny", batch, ()) for batch in (1, 2))
    assert two.flops == pytest.approx(2 * one.flops)
    assert one.memory < two.memory < 2 * one.memory  # weights and moments stay
    assert two.parameters == one.parameters > 1e6


def test_memory_is_the_most_since_it_began() -> None:
    _touch(100)
    before = growth_point.begin()
    assert growth_point.peak() - before < 20 * 2**20
    _touch(50)
    assert 45 * 2**20 < growth_point.peak() - before < 70 * 2**20


def _touch(megabytes: int) -> None:
    """Use memory from the system itself and give it back: what an allocator has kept would count as used before."""
    with mmap.mmap(-1, megabytes * 2**20) as memory:
        memory[:: mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
