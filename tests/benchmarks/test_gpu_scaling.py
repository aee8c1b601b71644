"""Bytes of a ring, the link that they go over, and the batch that hides them."""

from __future__ import annotations

import pytest
from benchmarks.gpu_scaling import INFINIBAND, NVLINK, SUSTAINED, Traffic, ddp, fsdp, measure, state_of
from benchmarks.harness import Report

from sendvae.training.cost import Estimate, Network

FOUND = Estimate(
    [Network("generator", 1000, 900, 1000), Network("discriminator", 200, 200), Network("tokenizer", 5000, 0)],
    {"all": 6e9}, {}, 1.0, 100, 10, 1, False,
)  # fmt: skip


def test_ddp_sends_gradients_of_all_that_is_trained_nearly_twice() -> None:
    assert ddp(FOUND, 8).sent == pytest.approx(2 * 7 / 8 * 4 * 1100)
    assert ddp(FOUND, 2).sent == pytest.approx(4 * 1100)
    assert ddp(FOUND, 8).hidden == pytest.approx(2 / 3)


def test_fsdp_sends_the_generators_weights_twice_and_gradients_once() -> None:
    assert fsdp(FOUND, 4).sent == pytest.approx(3 * 3 / 4 * 4 * 1000)
    assert fsdp(FOUND, 4).hidden == 1.0


def test_a_sharded_generator_leaves_each_gpu_its_share() -> None:
    generator, others = 4 * (1000 + 900 + 2 * 900 + 1000), 4 * (200 + 200 + 2 * 200 + 5000)
    assert state_of(FOUND, "DDP", 8) == generator + others
    assert state_of(FOUND, "FSDP2", 8) == pytest.approx(generator / 8 + others)


def test_a_node_has_nvlink_and_nodes_all_their_cards_together() -> None:
    traffic = Traffic(9e9, 1.0)
    assert traffic.seconds(8, cards=1) == traffic.seconds(8, cards=8) == pytest.approx(9e9 / NVLINK)
    assert traffic.seconds(16, cards=1) == pytest.approx(9e9 / INFINIBAND)
    assert traffic.seconds(16, cards=8) == pytest.approx(9e9 / (8 * INFINIBAND))
    assert traffic.seconds(16, cards=100) == pytest.approx(9e9 / NVLINK)


def test_the_smallest_batch_is_the_first_whose_computation_takes_as_long() -> None:
    traffic, rate, flops = Traffic(1e9, 0.5), 989.4e12 * SUSTAINED, 2e11
    for cards in (8, 1):
        batch = traffic.smallest_batch(64, cards, flops)
        assert batch * flops * 0.5 / rate >= traffic.seconds(64, cards)
        assert (batch - 1) * flops * 0.5 / rate < traffic.seconds(64, cards)
    assert traffic.smallest_batch(64, 1, flops) > traffic.smallest_batch(64, 8, flops) > 1
    assert Traffic(1.0, 0.5).smallest_batch(64, 1, flops) == 1


def test_every_number_of_gpus_has_a_row_each_way() -> None:
    report = Report("gpu_scaling", "?", quick=True)
    measure(report)
    (figures,) = report.figures
    assert [(row[1], row[2]) for row in figures.rows] == [
        (way, gpus) for way in ("DDP", "FSDP2") for gpus in ("8", "16", "64", "512")
    ]
    assert all(len(row) == len(figures.head) for row in figures.rows)
    assert all(row[5] == row[7] if row[2] == "8" else row[5] < row[7] for row in figures.rows)
