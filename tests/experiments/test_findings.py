from __future__ import annotations

import numpy as np
import pytest

from sendvae.experiments.findings import correlate, differences
from sendvae.experiments.summary import Run


def run(method: str, seed: int, value: float, resampled: np.ndarray | None) -> Run:
    return Run(
        method=method,
        seed=seed,
        metrics={"f1_macro": value, "fd": 100 * (1 - value)},
        attribute_f1={},
        resampled={} if resampled is None else {"f1_macro": resampled.tolist()},
    )


def test_differences_of_means_over_seeds() -> None:
    rng = np.random.default_rng(0)
    hard = 0.05 * rng.standard_normal(4000)  # what the drawn images do to every method
    runs = [run("base", 0, 0.4, 0.4 + hard)]
    for seed in range(2):
        runs.append(run("plain", seed, 0.50, 0.50 + hard))
        runs.append(run("send-vae", seed, 0.53 + 0.02 * seed, 0.54 + hard + 0.01 * rng.standard_normal(4000)))
    (found,) = differences(runs, "f1_macro")
    assert (found.method, found.metric) == ("send-vae", "f1_macro")
    assert found.value == pytest.approx(0.04)
    low, high = found.interval
    assert (low + high) / 2 == pytest.approx(0.04, abs=0.002)
    assert high - low == pytest.approx(2 * 1.96 * 0.01 / 2**0.5, rel=0.1)


def test_no_differences_without_control_or_resamples() -> None:
    some = np.zeros(10)
    assert differences([run("send-vae", 0, 0.5, some), run("mapper", 0, 0.5, some)], "f1_macro") == []
    assert differences([run("plain", 0, 0.5, some), run("mapper", 0, 0.5, None)], "f1_macro") == []


def test_correlation_over_runs_that_generated() -> None:
    runs = [run("plain", seed, value, None) for seed, value in enumerate((0.1, 0.2, 0.4, 0.3))]
    found = correlate(runs, "f1_macro", "fd")
    assert found.r == pytest.approx(-1.0)
    assert found.n == 4
    bare = runs[0].model_copy(update={"metrics": {"f1_macro": 0.9}})
    assert correlate([*runs, bare], "f1_macro", "fd").n == 4
