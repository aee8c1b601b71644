"""Confidence intervals of 95 %: bootstrap over images for means, delete-a-group jackknife for distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from jaxtyping import Float, Int64, Shaped
from scipy.special import stdtrit
from torch import Tensor

from sendvae.metrics.frechet import frechet_distance, frechet_distance_of
from sendvae.nn import Moments
from sendvae.randomness import resample

LEVEL = 0.95


def bootstrap_mean(
    values: Shaped[Tensor, " N"], resamples: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """Percentile interval of the mean over resampled images (Efron, 1979); None where there is none.

    A mean has none with fewer than two images, with values that are not finite, or without resamples. Seeded:
    the same values give the same interval.
    """
    array = values.double().cpu().numpy()
    if len(array) < 2 or resamples < 1 or not np.isfinite(array).all():
        return None
    means = [array[resample(seed, number, len(array)).numpy()].mean() for number in range(resamples)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def jackknife_interval(value: float, without: Sequence[float]) -> tuple[float, float]:
    """value -+ t s, with s^2 = (g - 1) / g sum (v_i - mean v)^2 over the values without group i of g.

    t is Student's with g - 1 degrees of freedom: 2.26 for ten groups.

    Raises:
        ValueError: fewer than two groups.
    """
    groups = len(without)
    if groups < 2:
        raise ValueError(f"a jackknife needs two groups or more, got {groups}")
    spread = (groups - 1) / groups * float(np.square(np.asarray(without) - np.mean(without)).sum())
    half = _student(groups) * math.sqrt(spread)
    return value - half, value + half


def frechet_interval(
    mean: Tensor, cov: Tensor, features: Float[Tensor, "N D"], groups: int
) -> tuple[float, float] | None:
    """Jackknife interval of the Frechet distance of `features` to N(mean, cov); None below two images a group.

    Group i is every `groups`-th image from the i-th on, so that samples sorted by class fall into all groups.
    It says how much the distance would vary with other samples, not how far it lies above that of infinitely
    many: a distance of fewer samples is larger.
    """
    if groups < 2 or len(features) < 2 * groups:
        return None
    whole, rests = _left_out([features[i::groups] for i in range(groups)])
    without = [frechet_distance(mean, cov, rest.mean, rest.cov) for rest in rests]
    return jackknife_interval(frechet_distance(mean, cov, whole.mean, whole.cov), without)


def frechet_distances_without(
    a: Float[Tensor, "N D"], b: Float[Tensor, "N D"], parts: Sequence[Int64[Tensor, " _"]]
) -> list[float]:
    """Return the Frechet distances of both sets without each part: what a jackknife of their distance takes.

    Args:
        a, b: row i of one belongs to row i of the other, so that both are left out together.
        parts: positions of rows; together all.
    """
    pairs = zip(*(_left_out([rows[part] for part in parts])[1] for rows in (a, b)), strict=True)
    return [frechet_distance_of(rest_a, rest_b) for rest_a, rest_b in pairs]


def _left_out(parts: Sequence[Float[Tensor, "_ D"]]) -> tuple[Moments, list[Moments]]:
    """Moments of all rows, and of all without those of each part."""
    moments = [Moments() for _ in parts]
    for part, rows in zip(moments, parts, strict=True):
        part.update(rows)
    return _merged(moments), [_merged([one for one in moments if one is not out]) for out in moments]


def _merged(parts: Sequence[Moments]) -> Moments:
    whole = Moments()
    for part in parts:
        whole.merge(part)
    return whole


def chunk_interval(mean: float, std: float, chunks: int) -> tuple[float, float] | None:
    """mean -+ t s / sqrt(n) of n chunks, s with n - 1; None for a single chunk.

    t is Student's with n - 1 degrees of freedom: few chunks know their own spread badly (2.78 for five, 12.7 for two).

    Args:
        std: the standard deviation of the chunks, with n (as scores of chunks are reported).
    """
    if chunks < 2:
        return None
    half = _student(chunks) * std / math.sqrt(chunks - 1)
    return mean - half, mean + half


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """mean -+ t s / sqrt(n) of independent values, such as differences of pairs; None below two values.

    t is Student's with n - 1 degrees of freedom: 12.7 for two, 4.3 for three, 2.78 for five.
    """
    if len(values) < 2:
        return None
    mean, half = fmean(values), _student(len(values)) * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def _student(count: int) -> float:
    """The quantile of Student's t for an interval from `count` values."""
    return float(stdtrit(count - 1, (1 + LEVEL) / 2))
