"""The times at which samplers with a fixed number of steps evaluate the velocity."""

from __future__ import annotations

import torch

from sendvae.diffusion.path import shifted


def descending(points: int, last: float, shift: float) -> list[float]:
    """Return `points` times from 1 down to `last`, in equal steps of the time before the shift."""
    grid = torch.linspace(1.0, shifted(last, 1.0 / shift), points, dtype=torch.float64)
    return [shifted(t, shift) for t in grid.tolist()]
