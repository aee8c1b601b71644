"""RAE's rule: longer latents are to spend more time in noise."""

from __future__ import annotations

from math import sqrt

BASE = 4096  # values of the latents that need no shift (RAE, after SD3)


def time_shift(dimensions: int) -> float:
    """Return RAE's shift s of t to s t / (1 + (s - 1) t), in which t = 1 is noise: sqrt(dimensions / 4096)."""
    return sqrt(dimensions / BASE)
