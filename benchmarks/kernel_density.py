"""How fast is the kernel density at its own points against scipy's, and how close?"""

from __future__ import annotations

import torch
from scipy.stats import gaussian_kde

from benchmarks.harness import Report
from sendvae.latents.uniformity import kernel_density


def measure(report: Report) -> None:
    """Compare in the plane, where VA-VAE's uniformity is taken."""
    points = torch.randn(200 if report.quick else 10_000, 2, dtype=torch.float64)
    rows = points.T.numpy()

    def theirs() -> torch.Tensor:
        return torch.from_numpy(gaussian_kde(rows)(rows))

    difference = float((kernel_density(points) / theirs() - 1).abs().max())
    report.compare(
        f"kernel density of {len(points):,} points",
        lambda: kernel_density(points),
        "scipy.stats.gaussian_kde",
        theirs,
        f"largest relative difference {difference:.0e}",
        repeats=3,
    )
