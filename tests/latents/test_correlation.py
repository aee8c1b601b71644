from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, pearsonr, spearmanr, t

from sendvae.latents import (
    leave_one_out,
    partial_correlation,
    pearson,
    predict_linear,
    spearman,
    strength_difference,
)


def test_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=12)
    y = 0.6 * x + rng.normal(size=12)
    ours, theirs = pearson(list(x), list(y)), pearsonr(x, y)
    interval = theirs.confidence_interval(0.95)
    assert ours.r == pytest.approx(theirs.statistic)
    assert ours.interval == pytest.approx((interval.low, interval.high))
    assert ours.r is not None
    statistic = abs(ours.r) * np.sqrt(10 / (1 - ours.r**2))
    assert ours.p == pytest.approx(2 * t.sf(statistic, 10))


def test_a_straight_line() -> None:
    result = pearson([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0])
    assert result.r == pytest.approx(1.0)
    assert result.interval == pytest.approx((1.0, 1.0))


def test_bootstrap_interval_is_near_fishers_for_normal_values() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = 0.5 * x + rng.normal(size=400)
    fisher, bootstrap = pearson(list(x), list(y)), pearson(list(x), list(y), bootstrap=2000)
    assert fisher.interval is not None
    assert bootstrap.interval == pytest.approx(fisher.interval, abs=0.03)
    assert bootstrap == pearson(list(x), list(y), bootstrap=2000)
    assert bootstrap.r == fisher.r


def test_bootstrap_of_four_points_drops_resamples_without_variation() -> None:
    result = pearson([1.0, 2.0, 3.0, 4.0], [1.1, 1.9, 3.2, 3.8], bootstrap=500)
    assert result.interval is not None
    low, high = result.interval
    assert -1 <= low <= high <= 1 + 1e-12


@pytest.mark.parametrize(
    ("x", "reason"), [([], "0 points"), ([1.0, 2.0], "2 points are too few"), ([1.0] * 4, "does not vary")]
)
def test_undefined_says_why(x: list[float], reason: str) -> None:
    result = pearson(x, [float(i) for i in range(len(x))])
    assert result.r is result.p is result.interval is None
    assert result.reason is not None
    assert reason in result.reason
    assert result.n == len(x)


def test_defined_has_no_reason() -> None:
    assert pearson([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]).reason is None


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        pearson([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        pearson([1.0, 2.0, float("nan")], [1.0, 2.0, 3.0])


def test_prediction_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=9)
    y = 3.0 - 2.0 * x + 0.3 * rng.normal(size=9)
    found = predict_linear(list(x), list(y), 0.7)
    assert found is not None
    assert found.interval is not None
    # By the matrices: y0 -+ t s (1 + v' (X'X)^-1 v)^(1/2).
    design, v = np.stack([np.ones(9), x], 1), np.array([1.0, 0.7])
    solution, residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = np.sqrt(residual[0] / 7 * (1 + v @ np.linalg.inv(design.T @ design) @ v))
    half = t.ppf(0.975, 7) * spread
    assert found.value == pytest.approx(v @ solution)
    assert found.interval == pytest.approx((v @ solution - half, v @ solution + half))


def test_prediction_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        x = rng.normal(size=5)
        y = 1.0 + x + 0.5 * rng.normal(size=5)
        found = predict_linear(list(x[:4]), list(y[:4]), float(x[4]))
        assert found is not None
        assert found.interval is not None
        hits += found.interval[0] <= y[4] <= found.interval[1]
    assert hits / 400 == pytest.approx(0.95, abs=0.035)


def test_predictions_from_too_little() -> None:
    two = predict_linear([1.0, 2.0], [3.0, 5.0], 3.0)
    assert two is not None
    assert (two.value, two.interval, two.n) == (pytest.approx(7.0), None, 2)
    assert predict_linear([1.0], [3.0], 3.0) is None
    assert predict_linear([1.0, 1.0], [3.0, 4.0], 3.0) is None
    with pytest.raises(ValueError, match="differ in length"):
        predict_linear([1.0], [], 3.0)
    with pytest.raises(ValueError, match="NaN"):
        predict_linear([1.0, 2.0], [1.0, 2.0], float("nan"))


def test_ranks_agree_with_scipy_and_do_not_mind_a_bend() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=14)
    y = np.exp(2 * x + rng.normal(size=14))
    x[3] = x[4]  # ties share their rank
    ours, theirs = spearman(list(x), list(y)), spearmanr(x, y)
    assert ours.r == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue)
    assert ours.interval is not None
    assert ours.r is not None
    half = norm.ppf(0.975) * np.sqrt((1 + ours.r**2 / 2) / 11)
    assert ours.interval == pytest.approx(
        (np.tanh(np.arctanh(ours.r) - half), np.tanh(np.arctanh(ours.r) + half))
    )
    assert spearman(list(x), list(np.exp(x))).r == pytest.approx(1.0)
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).reason == "one of the quantities does not vary"
    with pytest.raises(ValueError, match="NaN"):
        spearman([1.0, float("nan"), 2.0], [1.0, 2.0, 3.0])


def test_points_that_are_left_out_are_predicted_from_the_others() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=7)
    y = 3.0 - 2.0 * x + 0.3 * rng.normal(size=7)
    errors, of_mean = [], []
    for i in range(7):
        kept = np.arange(7) != i
        slope, intercept = np.polyfit(x[kept], y[kept], 1)
        errors.append(y[i] - slope * x[i] - intercept)
        of_mean.append(y[i] - y[kept].mean())
    found = leave_one_out(list(x), list(y))
    assert found is not None
    assert found.error == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert found.of_mean == pytest.approx(np.sqrt(np.mean(np.square(of_mean))))
    assert leave_one_out([1.0, 2.0, 3.0], [1.0, 2.0, 3.5]) is None
    assert leave_one_out([1.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.5, 4.0]) is None  # without the last, no line


def test_strengths_are_compared_on_the_same_points() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=30)
    close, far = -y + 0.2 * rng.normal(size=30), y + 2.0 * rng.normal(size=30)
    found = strength_difference(list(close), list(far), list(y))
    assert found is not None
    assert found.interval is not None
    assert found.value == pytest.approx(abs(pearsonr(close, y)[0]) - abs(pearsonr(far, y)[0]))
    assert 0 < found.interval[0] < found.value < found.interval[1]
    other = strength_difference(list(far), list(close), list(y))
    assert other is not None
    assert other.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    ranks = strength_difference(list(np.exp(close)), list(far), list(y), ranks=True)
    assert ranks is not None
    assert ranks.value == pytest.approx(abs(spearmanr(close, y)[0]) - abs(spearmanr(far, y)[0]))


def test_what_two_scores_share_cancels() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=12)
    a = y + rng.normal(size=12)
    found = strength_difference(list(a), list(a + 1e-3 * rng.normal(size=12)), list(y))
    assert found is not None
    assert found.interval is not None
    assert max(map(abs, found.interval)) < 0.01  # far narrower than the interval of either


def test_strengths_of_too_few_points() -> None:
    assert strength_difference([1.0, 2.0], [2.0, 1.0], [0.0, 1.0]) is None
    assert strength_difference([1.0] * 5, [1.0, 2, 3, 4, 5], [1.0, 2, 3, 4, 6]) is None
    found = strength_difference([1.0, 2, 3, 4], [1.0, 3, 2, 4], [1.0, 2, 3, 5])
    assert found is not None
    assert found.interval is None
    with pytest.raises(ValueError, match="differ in length"):
        strength_difference([1.0], [1.0, 2.0], [1.0, 2.0])


def test_partial_correlation_is_by_the_inverse_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(size=(2, 40))
    x = given[0] + rng.normal(size=40)
    y = given[0] - 2 * given[1] + 0.5 * x + rng.normal(size=40)
    found = partial_correlation(list(x), list(y), [list(row) for row in given])
    precision = np.linalg.inv(np.cov(np.stack([x, y, *given])))
    expected = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    assert found.r == pytest.approx(expected)
    assert found.p == pytest.approx(2 * t.sf(abs(expected) * np.sqrt(36 / (1 - expected**2)), 36))
    assert found.interval is not None
    half = norm.ppf(0.975) / np.sqrt(40 - 2 - 3)
    assert np.arctanh(found.interval) == pytest.approx(
        [np.arctanh(expected) - half, np.arctanh(expected) + half]
    )


def test_what_a_third_quantity_explains_leaves_nothing() -> None:
    rng = np.random.default_rng(0)
    channels = rng.normal(size=60)
    x, y = channels + 0.3 * rng.normal(size=60), -channels + 0.3 * rng.normal(size=60)
    assert pearson(list(x), list(y)).p < 1e-6  # type: ignore[operator]
    left = partial_correlation(list(x), list(y), [list(channels)])
    assert left.interval is not None
    assert left.interval[0] < 0 < left.interval[1]
    assert partial_correlation(list(channels), list(y), [list(channels)]).r is None
    assert partial_correlation([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [[1.0, 2.0, 4.0]]).r is None
    plain = partial_correlation(list(x), list(y), [])
    assert plain.r == pytest.approx(pearson(list(x), list(y)).r)
    with pytest.raises(ValueError, match="differ in length"):
        partial_correlation([1.0] * 5, [1.0] * 5, [[1.0] * 4])


def test_ranks_are_drawn_anew() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = np.exp(3 * x) * np.exp(rng.normal(size=300))
    closed, drawn = spearman(list(x), list(y)), spearman(list(x), list(y), bootstrap=1000)
    assert (drawn.r, drawn.p) == (closed.r, closed.p)
    assert closed.interval is not None
    assert drawn.interval == pytest.approx(closed.interval, abs=0.03)
    assert drawn.interval == spearman(list(np.exp(x)), list(y), bootstrap=1000).interval
