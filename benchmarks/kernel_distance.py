"""How fast is the kernel distance over random subsets (KID) against torch-fidelity's, and how close?"""

from __future__ import annotations

import numpy as np
import torch
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from benchmarks.harness import Report
from sendvae.metrics import kernel_distance_subsets

SHIFT = 0.05


def measure(report: Report) -> None:
    """Compare at the width of Inception's features. Subsets are drawn by other numbers: the means agree up to that."""
    images, features, subsets, size = (60, 16, 3, 20) if report.quick else (5000, 2048, 20, 1000)
    a, b = torch.randn(images, features), torch.randn(images, features) + SHIFT

    def ours() -> float:
        return kernel_distance_subsets(a, b, subsets, size)[0]

    def theirs() -> float:
        found = kid_features_to_metric(a, b, kid_subsets=subsets, kid_subset_size=size, verbose=False)
        return float(np.asarray(found[KEY_METRIC_KID_MEAN]))

    report.compare(
        f"kernel distance, {subsets} subsets of {size:,} images, {features:,} features",
        ours,
        "torch-fidelity",
        theirs,
        f"{ours():.4g} and {theirs():.4g}, of different subsets",
        repeats=3,
    )
