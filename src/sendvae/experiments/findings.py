"""Differences between the methods of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch

from sendvae.experiments.record import CellResult
from sendvae.latents import percentile_interval


@dataclass(frozen=True)
class Difference:
    """A method's score minus that of the control, averaged over seeds, with its interval over test concepts."""

    method: str
    metric: str
    value: float
    interval: tuple[float, float]


def differences(cells: Sequence[CellResult], metric: str, control: str) -> list[Difference]:
    """Return the difference of each method from the control, on the same resamples of the test concepts.

    Scores and resamples are averaged over the seeds that both methods have. The list is empty if the control is not
    among the cells. A method without resamples, or without a seed of the control's, is left out.
    """
    scored = [cell for cell in cells if metric in cell.resampled and metric in cell.metrics]
    by_method = {
        method: {cell.seed: cell for cell in scored if cell.method == method}
        for method in dict.fromkeys(cell.method for cell in scored)
    }
    held_against = by_method.pop(control, {})
    found = []
    for method, own in by_method.items():
        seeds = sorted(own.keys() & held_against.keys())
        if seeds:
            pairs = [(own[seed], held_against[seed]) for seed in seeds]
            value = fmean(a.metrics[metric].value - b.metrics[metric].value for a, b in pairs)
            resampled = np.mean(
                [np.subtract(a.resampled[metric], b.resampled[metric]) for a, b in pairs], axis=0
            )
            found.append(Difference(method, metric, value, percentile_interval(torch.from_numpy(resampled))))
    return found
