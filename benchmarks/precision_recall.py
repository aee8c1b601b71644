"""How much faster is the blocked precision and recall than prdc, which builds the full distance matrices?"""

from __future__ import annotations

import prdc
import torch

from benchmarks.harness import Report
from sendvae.metrics import precision_recall

K = 3
SHIFT = 0.25  # by which the generated set is shifted, so that neither number is 0 or 1


def measure(report: Report) -> None:
    """Compare at the width of Inception's features."""
    images, features = (200, 16) if report.quick else (5000, 2048)
    reference = torch.randn(images, features)
    generated = torch.randn(images, features) * 0.9 + SHIFT
    mine = precision_recall(reference, generated, k=K)
    other = prdc.compute_prdc(reference.numpy(), generated.numpy(), nearest_k=K)
    same = mine[0] == other["precision"] and mine[1] == other["recall"]
    report.compare(
        f"precision and recall, 2 x {images:,} images, {features:,} features",
        lambda: precision_recall(reference, generated, k=K),
        "prdc",
        lambda: prdc.compute_prdc(reference.numpy(), generated.numpy(), nearest_k=K),
        "equal numbers" if same else f"precision {mine[0]:.4f} and {other['precision']:.4f}",
        repeats=1,
    )
