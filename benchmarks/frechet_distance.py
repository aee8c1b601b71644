"""How much faster is the Frechet distance than the usual scipy.linalg.sqrtm(A @ B), and how close?"""

from __future__ import annotations

import numpy as np
from scipy.linalg import sqrtm

from benchmarks.harness import Report
from sendvae.metrics import frechet_distance


def measure(report: Report) -> None:
    """Compare Gaussians with a decaying spectrum, as network features have: of many images, and of few."""
    features = 64 if report.quick else 2048
    for images in (2 * features, features // 16):
        _compare(report, images, features)


def _compare(report: Report, images: int, features: int) -> None:
    rng = np.random.default_rng(0)
    scale = np.geomspace(3.0, 0.03, features)
    sets = [rng.normal(size=(images, features)) * scale + shift for shift in (0.0, 0.02)]
    (mean_a, cov_a), (mean_b, cov_b) = ((rows.mean(0), np.cov(rows, rowvar=False)) for rows in sets)

    def theirs() -> float:
        root = sqrtm(cov_a @ cov_b).real
        return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root))

    def ours() -> float:
        return frechet_distance(mean_a, cov_a, mean_b, cov_b)

    note = f"relative difference {abs(ours() / theirs() - 1):.0e}"
    question = f"Frechet distance of {images:,} images, {features:,} features"
    report.compare(question, ours, "scipy.linalg.sqrtm", theirs, note, repeats=1)
