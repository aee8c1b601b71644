"""Correlation with its uncertainty, and prediction by a straight line, for studies of few points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sendvae.randomness import resample

LEVEL = 0.95
LEAST_LEFT = 1e-9  # of a quantity's range: less is rounding, and nothing is left of it


@dataclass(frozen=True)
class Correlation:
    """Pearson's r, or Spearman's.

    Attributes:
        r, p: None where `reason` says why they are undefined. p is two-sided, of the exact t-test.
        interval: the interval of 95 %; None below four points, where it would say nothing.
        n: points.
    """

    r: float | None
    p: float | None
    interval: tuple[float, float] | None
    n: int

    @property
    def reason(self) -> str | None:
        """Return why r is undefined; None if it is defined."""
        if self.r is not None:
            return None
        return f"{self.n} points are too few" if self.n < 3 else "one of the quantities does not vary"


def pearson(x: Sequence[float], y: Sequence[float], bootstrap: int = 0, seed: int = 0) -> Correlation:
    """Return Pearson's correlation of paired values.

    Args:
        bootstrap: resamples of the pairs for a percentile interval; 0 takes Fisher's transformation, which
            assumes normal values but is the more honest one below about ten points.

    Raises:
        ValueError: differing lengths, or values that are not finite.
    """
    from scipy.stats import pearsonr

    _check(x, y)
    n = len(x)
    if n < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return Correlation(None, None, None, n)
    result = pearsonr(x, y)
    r = float(result.statistic)
    if n == 3:
        interval = None
    elif bootstrap:
        interval = _bootstrap_interval(np.asarray(x), np.asarray(y), bootstrap, seed)
    else:
        interval = _fisher_interval(r, n)
    return Correlation(r, float(result.pvalue), interval, n)


def spearman(x: Sequence[float], y: Sequence[float], bootstrap: int = 0, seed: int = 0) -> Correlation:
    """Return Spearman's correlation; p is of the t-test.

    Args:
        bootstrap: as in `pearson`; 0 takes the interval of Bonett and Wright (2000).

    Raises:
        ValueError: as `pearson`.
    """
    from scipy.stats import norm, rankdata

    _check(x, y)
    found = pearson(list(rankdata(x)), list(rankdata(y)))
    if found.interval is not None and bootstrap:
        interval = _bootstrap_interval(np.asarray(x), np.asarray(y), bootstrap, seed, ranks=True)
        return replace(found, interval=interval)
    if found.r is None or found.interval is None or abs(found.r) >= 1.0:
        return found
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt((1 + found.r**2 / 2) / (found.n - 3))
    middle = math.atanh(found.r)
    return replace(found, interval=(math.tanh(middle - half), math.tanh(middle + half)))


def partial_correlation(
    x: Sequence[float], y: Sequence[float], given: Sequence[Sequence[float]]
) -> Correlation:
    """Return Pearson's r of the residuals of x and y after linear regression on other quantities.

    p is of the t-test with n - 2 - k degrees of freedom for k other quantities, the interval Fisher's with
    n - k - 3 in place of n - 3 (Fisher, 1924).

    Raises:
        ValueError: as `pearson`.
    """
    from scipy.stats import t

    for other in [*given] or [x]:
        _check(x, other)
    _check(x, y)
    n, k = len(x), len(given)
    if n < 3 + k:
        return Correlation(None, None, None, min(n, 2))
    design = np.column_stack([np.ones(n), *(np.asarray(one, np.float64) for one in given)])
    left = []
    for values in (x, y):
        column = np.asarray(values, np.float64)
        rest = column - design @ np.linalg.lstsq(design, column, rcond=None)[0]
        if float(np.abs(rest).max()) <= LEAST_LEFT * (float(np.ptp(column)) or 1.0):
            return Correlation(None, None, None, n)
        left.append(rest)
    r = float(np.corrcoef(left[0], left[1])[0, 1])
    freedom = n - 2 - k
    if abs(r) >= 1.0 or freedom < 1:
        return Correlation(r, None, None, n)
    p = 2 * float(t.sf(abs(r) * math.sqrt(freedom / (1 - r * r)), freedom))
    return Correlation(r, p, _fisher_interval(r, n - k) if n - k > 3 else None, n)


@dataclass(frozen=True)
class StrengthDifference:
    """How much more strongly one quantity correlates with y than another does: the difference of |r|.

    Attributes:
        interval: the interval of 95 %, percentiles over resampled points; None below five points, where it would say
            nothing.
    """

    value: float
    interval: tuple[float, float] | None
    n: int


def strength_difference(
    a: Sequence[float],
    b: Sequence[float],
    y: Sequence[float],
    resamples: int = 2000,
    seed: int = 0,
    ranks: bool = False,
) -> StrengthDifference | None:
    """Compare how strongly a and b correlate with y, by Pearson's r or, with `ranks`, Spearman's.

    Points are resampled whole, so that what a and b share cancels. None where one of the three does not vary, or
    there are fewer than three points.

    Raises:
        ValueError: differing lengths, or values that are not finite.
    """
    from scipy.stats import rankdata

    _check(a, y)
    _check(b, y)
    n = len(y)
    if n < 3 or any(len(set(values)) == 1 for values in (a, b, y)):
        return None
    columns = [np.asarray(values, np.float64) for values in (a, b, y)]
    if ranks:
        columns = [rankdata(values) for values in columns]
    value = float(np.diff([abs(np.corrcoef(column, columns[2])[0, 1]) for column in columns[1::-1]])[0])
    if n < 5:
        return StrengthDifference(value, None, n)
    rows = _resamples(seed, n, resamples)
    drawn = [column[rows] for column in columns]
    varied = np.all([np.ptp(column, axis=1) > 0 for column in drawn], axis=0)
    first, second = (np.abs(_correlations(one[varied], drawn[2][varied])) for one in drawn[:2])
    low, high = np.quantile(first - second, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return StrengthDifference(value, (float(low), float(high)), n)


@dataclass(frozen=True)
class Prediction:
    """The prediction of a straight line through known points at a new one.

    Attributes:
        value: the value on the line.
        interval: the interval of 95 % for a single new value, by Student's t with n - 2 degrees of freedom; None
            below three points.
        n: known points.
    """

    value: float
    interval: tuple[float, float] | None
    n: int


def predict_linear(x: Sequence[float], y: Sequence[float], new: float) -> Prediction | None:
    """Predict y at `new` by ordinary least squares on x; None if x does not vary.

    The interval assumes normal residuals of equal spread, and points that stand for the new one; with the few
    points such studies have, it is wide, and says so.

    Raises:
        ValueError: differing lengths, or values that are not finite.
    """
    from scipy.stats import t

    if len(x) != len(y):
        raise ValueError(f"x and y differ in length: {len(x)} and {len(y)}")
    if not all(math.isfinite(value) for value in (*x, *y, new)):
        raise ValueError("x, y or the new point is NaN or infinite")
    n = len(x)
    if n < 2 or len(set(x)) == 1:
        return None
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    centred = a - a.mean()
    scatter = float(centred @ centred)
    slope = float(centred @ b) / scatter
    value = float(b.mean()) + slope * (new - float(a.mean()))
    if n == 2:
        return Prediction(value, None, n)
    residuals = b - b.mean() - slope * centred
    variance = float(residuals @ residuals) / (n - 2) * (1 + 1 / n + (new - float(a.mean())) ** 2 / scatter)
    half = float(t.ppf((1 + LEVEL) / 2, n - 2)) * math.sqrt(variance)
    return Prediction(value, (value - half, value + half), n)


@dataclass(frozen=True)
class LeaveOneOut:
    """Leave-one-out error of predictions by a straight line.

    Attributes:
        error: root mean square, in units of y.
        of_mean: the same where the mean of the other points is the prediction: what a useless score has.
    """

    error: float
    of_mean: float

    @property
    def share(self) -> float:
        """Return the error as a share of the mean's: below 1 the score helps."""
        return self.error / self.of_mean if self.of_mean else math.inf


def leave_one_out(x: Sequence[float], y: Sequence[float]) -> LeaveOneOut | None:
    """Predict every point from the line through the others; None below four points, or where a line is undefined.

    Raises:
        ValueError: as `predict_linear`.
    """
    errors, of_mean = [], []
    for i in range(len(x)):
        others_x, others_y = [*x[:i], *x[i + 1 :]], [*y[:i], *y[i + 1 :]]
        found = predict_linear(others_x, others_y, x[i])
        if found is None:
            return None
        errors.append(y[i] - found.value)
        of_mean.append(y[i] - sum(others_y) / len(others_y))
    if len(errors) < 4:
        return None
    error, mean_error = (math.sqrt(sum(e * e for e in one) / len(one)) for one in (errors, of_mean))
    return LeaveOneOut(error, mean_error)


def _check(x: Sequence[float], y: Sequence[float]) -> None:
    if len(x) != len(y):
        raise ValueError(f"x and y differ in length: {len(x)} and {len(y)}")
    if not all(math.isfinite(value) for value in (*x, *y)):
        raise ValueError("x or y contains NaN or infinity")


def _fisher_interval(r: float, n: int) -> tuple[float, float]:
    """tanh(atanh(r) -+ 1.96 / sqrt(n - 3)) (Fisher, 1915); a point where r is exactly 1 or -1."""
    from scipy.stats import norm

    if abs(r) >= 1.0:
        return r, r
    half = float(norm.ppf((1 + LEVEL) / 2)) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _bootstrap_interval(
    x: np.ndarray, y: np.ndarray, resamples: int, seed: int, ranks: bool = False
) -> tuple[float, float]:
    """Return percentiles of r over resampled pairs, without resamples in which a quantity does not vary."""
    from scipy.stats import rankdata

    rows = _resamples(seed, len(x), resamples)
    x, y = x[rows], y[rows]
    if ranks:
        x, y = rankdata(x, axis=1), rankdata(y, axis=1)
    varied = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    low, high = np.quantile(_correlations(x[varied], y[varied]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@lru_cache(maxsize=8)
def _resamples(seed: int, count: int, resamples: int) -> np.ndarray:
    """Return the positions of `count` points in every resample, one resample a row."""
    return np.stack([resample(seed, number, count).numpy() for number in range(resamples)])


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Pearson's r of each pair of rows of two arrays."""
    x, y = (v - v.mean(1, keepdims=True) for v in (x, y))
    return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
