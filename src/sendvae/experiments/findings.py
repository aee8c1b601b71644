"""What the runs of an experiment say together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch

from sendvae.experiments.summary import CONTROL, CorrelationResult, Difference, Run
from sendvae.latents import pearson, percentile_interval


def correlate(runs: Sequence[Run], x: str, y: str) -> CorrelationResult:
    """Over the runs that generated: one point per method and seed."""
    points = [(run.metrics[x], run.metrics[y]) for run in runs if y in run.metrics]
    result = pearson([a for a, _ in points], [b for _, b in points])
    return CorrelationResult(x=x, y=y, r=result.r, p=result.p, interval=result.interval, n=result.n)


def differences(runs: Sequence[Run], metric: str) -> list[Difference]:
    """Of every other fine-tuned method from the control, on the same resamples of the test concepts.

    Metrics and resamples are averaged over seeds first. Empty without a control, or without resamples of all.
    """
    fine_tuned = [run for run in runs if run.method != "base"]
    methods = dict.fromkeys(run.method for run in fine_tuned)
    if CONTROL not in methods or any(metric not in run.resampled for run in fine_tuned):
        return []
    values, resampled = {}, {}
    for method in methods:
        own = [run for run in fine_tuned if run.method == method]
        values[method] = fmean(run.metrics[metric] for run in own)
        resampled[method] = np.mean([run.resampled[metric] for run in own], axis=0)
    return [
        Difference(
            method=method,
            metric=metric,
            value=values[method] - values[CONTROL],
            interval=percentile_interval(torch.from_numpy(resampled[method] - resampled[CONTROL])),
        )
        for method in methods
        if method != CONTROL
    ]
