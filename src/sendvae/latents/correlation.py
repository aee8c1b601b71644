"""Pearson correlation with its uncertainty, for the few points such studies have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Correlation:
    """Pearson's r.

    Attributes:
        r, p: None where fewer than three points, or no variation, leave them undefined.
        interval: 95 % by Fisher's transformation; None below four points.
        n: points.
    """

    r: float | None
    p: float | None
    interval: tuple[float, float] | None
    n: int


def pearson(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Correlation of paired values, with the two-sided p-value of the t-test."""
    from scipy.stats import norm, pearsonr

    if len(x) != len(y):
        raise ValueError(f"x and y differ in length: {len(x)} and {len(y)}")
    n = len(x)
    if n < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return Correlation(None, None, None, n)
    result = pearsonr(x, y)
    r = float(result.statistic)
    interval = None
    if n > 3 and abs(r) < 1.0:
        half = float(norm.ppf(0.975)) / math.sqrt(n - 3)
        interval = (math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))
    return Correlation(r, float(result.pvalue), interval, n)
