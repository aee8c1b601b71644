from __future__ import annotations

import numpy as np
import pytest

from sendvae.evaluation.results import Number
from sendvae.experiments.findings import differences
from sendvae.experiments.record import CellResult


def run(method: str, seed: int, value: float, resampled: np.ndarray | None) -> CellResult:
    return CellResult(
        f"{method}-{seed}",
        method,
        seed,
        [],
        metrics={"f1_macro": Number(value=value), "fd": Number(value=100 * (1 - value))},
        resampled={} if resampled is None else {"f1_macro": resampled.tolist()},
    )


def test_differences_of_means_over_seeds() -> None:
    rng = np.random.default_rng(0)
    hard = 0.05 * rng.standard_normal(4000)  # what the drawn images do to every method
    runs = []
    for seed in range(2):
        runs.append(run("plain", seed, 0.50, 0.50 + hard))
        runs.append(run("send-vae", seed, 0.53 + 0.02 * seed, 0.54 + hard + 0.01 * rng.standard_normal(4000)))
    (found,) = differences(runs, "f1_macro", "plain")
    assert (found.method, found.metric) == ("send-vae", "f1_macro")
    assert found.value == pytest.approx(0.04)
    low, high = found.interval
    assert (low + high) / 2 == pytest.approx(0.04, abs=0.002)
    assert high - low == pytest.approx(2 * 1.96 * 0.01 / 2**0.5, rel=0.1)


def test_no_differences_without_control_or_resamples() -> None:
    some = np.zeros(10)
    assert (
        differences([run("send-vae", 0, 0.5, some), run("mapper", 0, 0.5, some)], "f1_macro", "plain") == []
    )
    assert differences([run("plain", 0, 0.5, some), run("mapper", 0, 0.5, None)], "f1_macro", "plain") == []


def test_only_seeds_of_both_are_compared() -> None:
    flat = np.full(10, 0.5)
    runs = [
        run("plain", 0, 0.5, flat),
        run("plain", 1, 0.9, flat + 0.4),  # the other method has not come so far
        run("send-vae", 0, 0.6, flat + 0.1),
    ]
    (found,) = differences(runs, "f1_macro", "plain")
    assert found.value == pytest.approx(0.1)
    assert found.interval == pytest.approx((0.1, 0.1))
    assert differences(runs[1:], "f1_macro", "plain") == []
