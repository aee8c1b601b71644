from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from sendvae.metrics import (
    bootstrap_mean,
    chunk_interval,
    frechet_distance,
    frechet_distances_without,
    frechet_interval,
    gaussian_of,
    jackknife_interval,
    mean_interval,
)
from sendvae.nn import Moments


def test_bootstrap_of_a_mean_is_near_the_normal_interval() -> None:
    values = torch.randn(2000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    interval = bootstrap_mean(values, 2000)
    assert interval is not None
    half = 1.96 * float(values.std()) / math.sqrt(2000)
    assert interval == pytest.approx((float(values.mean()) - half, float(values.mean()) + half), abs=0.005)
    assert bootstrap_mean(values, 2000) == interval
    assert bootstrap_mean(values, 2000, seed=1) != interval


def test_bootstrap_in_pieces_is_that_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.randn(50)
    whole = bootstrap_mean(values, 100)
    monkeypatch.setitem(bootstrap_mean.__globals__, "RESAMPLES_AT_ONCE", 333)
    assert bootstrap_mean(values, 100) == pytest.approx(whole)


@pytest.mark.parametrize("values", [torch.ones(1), torch.tensor([1.0, torch.inf]), torch.ones(0)])
def test_no_interval_where_there_is_none(values: torch.Tensor) -> None:
    assert bootstrap_mean(values) is None
    assert bootstrap_mean(torch.ones(5), resamples=0) is None


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    # Of g equal groups the jackknife's s is the standard deviation of the group means over sqrt(g), exactly.
    x = np.random.default_rng(0).normal(size=(10, 20))
    without = [np.delete(x, i, axis=0).mean() for i in range(10)]
    low, high = jackknife_interval(x.mean(), without)
    expected = student.ppf(0.975, 9) * x.mean(1).std(ddof=1) / math.sqrt(10)
    assert (high - low) / 2 == pytest.approx(expected)
    assert (high + low) / 2 == pytest.approx(x.mean())
    with pytest.raises(ValueError, match="two groups"):
        jackknife_interval(1.0, [1.0])


def test_interval_of_a_distance_is_as_wide_as_the_distances_of_other_samples() -> None:
    mean, cov = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)

    def sample(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return 1.3 * torch.randn(400, 3, generator=generator) + 0.5

    distances = []
    for seed in range(60):
        statistics = Moments()
        statistics.update(sample(seed))
        distances.append(frechet_distance(mean, cov, statistics.mean, statistics.cov))
    widths = []
    for seed in range(10):
        interval = frechet_interval(mean, cov, sample(seed), 20)
        assert interval is not None
        assert interval[0] < distances[seed] < interval[1]
        widths.append(interval[1] - interval[0])
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(distances), rel=0.3)
    assert frechet_interval(mean, cov, sample(0), 1) is None
    assert frechet_interval(mean, cov, sample(0)[:10], 20) is None


def test_distances_leave_out_both_rows_of_a_pair() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(40, 3, generator=generator) * scale + scale for scale in (1.0, 2.0))
    parts = [torch.arange(0, 40, 2), torch.tensor([1, 3]), torch.arange(5, 40, 2)]
    for part, found in zip(parts, frechet_distances_without(a, b, parts), strict=True):
        rest = torch.ones(40, dtype=torch.bool).index_fill(0, part, False)
        assert found == pytest.approx(
            frechet_distance(*gaussian_of(a[rest]), *gaussian_of(b[rest])), rel=1e-9
        )
    assert frechet_distances_without(a, b, []) == []


def test_a_jackknife_of_paired_distances_knows_what_the_sets_share() -> None:
    """Two sets of decoded images differ from the same images: by other images, their distances move together."""
    parts = [torch.arange(i, 400, 20) for i in range(20)]

    def difference(seed: int) -> tuple[float, float, float]:
        generator = torch.Generator().manual_seed(seed)
        shown = torch.randn(400, 3, generator=generator)
        outlying = shown[:, :1].abs()  # images that every tokenizer finds hard
        near, far = (shown + shift + outlying for shift in (0.5, 0.6))
        values = [frechet_distance(*gaussian_of(z), *gaussian_of(shown)) for z in (near, far)]
        without = [frechet_distances_without(z, shown, parts) for z in (near, far)]
        low, high = jackknife_interval(values[1] - values[0], np.subtract(without[1], without[0]).tolist())
        single = jackknife_interval(values[0], without[0])
        return values[1] - values[0], high - low, single[1] - single[0]

    found = np.array([difference(seed) for seed in range(20)])
    paired, single = found[:, 1].mean(), found[:, 2].mean()
    assert paired == pytest.approx(2 * student.ppf(0.975, 19) * found[:, 0].std(ddof=1), rel=0.3)
    assert paired < single / 2


def test_chunks() -> None:
    scores = np.array([3.0, 4.0, 5.0, 8.0])
    half = student.ppf(0.975, 3) * scores.std(ddof=1) / 2
    assert chunk_interval(5.0, scores.std(), 4) == pytest.approx((5 - half, 5 + half))
    assert chunk_interval(5.0, 0.0, 1) is None


@pytest.mark.parametrize("count", [2, 3, 10])
def test_an_interval_of_few_chunks_covers_95_percent(count: int) -> None:
    """With 1.96 in place of Student's t, of two chunks two intervals in three would."""
    chunks = np.random.default_rng(0).normal(3.0, 2.0, (20_000, count))
    intervals = [chunk_interval(row.mean(), row.std(), count) for row in chunks]
    covered = np.mean([interval[0] < 3.0 < interval[1] for interval in intervals if interval])
    assert covered == pytest.approx(0.95, abs=0.006)


def test_a_mean_of_few_values_has_students_interval() -> None:
    values = [1.0, 2.0, 4.0, 4.0]
    half = student.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert mean_interval(values) == pytest.approx((2.75 - half, 2.75 + half))
    assert mean_interval([1.0]) is None
    assert mean_interval([3.0, 3.0]) == (3.0, 3.0)
