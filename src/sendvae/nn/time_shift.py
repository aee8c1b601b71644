"""RAE's rule for the time shift: latents of more values spend more time in noise."""

from __future__ import annotations

from math import sqrt

BASE = 4096  # the number of values of a latent that needs no shift (RAE, after SD3)


def time_shift(dimensions: int) -> float:
    """Return RAE's shift s = sqrt(dimensions / 4096), which maps t to s t / (1 + (s - 1) t), where t = 1 is noise."""
    return sqrt(dimensions / BASE)
