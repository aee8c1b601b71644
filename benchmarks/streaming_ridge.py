"""What does the one-pass ridge cost in time against scikit-learn with all latents in memory, and how close is it?"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge

from benchmarks.harness import Report
from sendvae.latents import StreamingRidge

BATCH, STRENGTH = 1024, 0.1


def measure(report: Report) -> None:
    """Fit 40 attributes to latents of noise, in batches against all at once."""
    images, features, attributes = (300, 32, 4) if report.quick else (20_000, 1024, 40)
    latents = torch.randn(images, features)
    targets = (latents[:, :attributes] + torch.randn(images, attributes) > 0).float()
    mean, std = latents.mean(0), latents.std(0, correction=0)

    def ours() -> np.ndarray:
        ridge = StreamingRidge()
        for x, y in zip(latents.split(BATCH), targets.split(BATCH), strict=True):
            ridge.update(x, y)
        (map_,) = ridge.solve([STRENGTH])
        return map_.weight.numpy() * std.numpy()[:, None]

    def theirs() -> np.ndarray:
        fitted = Ridge(alpha=STRENGTH * images).fit(((latents - mean) / std).numpy(), targets.numpy())
        return np.asarray(fitted.coef_).T

    difference = np.abs(ours() - theirs()).max() / np.abs(theirs()).max()
    what = f"ridge of {images:,} x {features:,}, {attributes} attributes, batches of {BATCH}"
    report.compare(
        what, ours, "scikit-learn, all at once", theirs, f"weights within {difference:.0e}", repeats=3
    )
