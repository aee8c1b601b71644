"""How large a latent is, and which time shift suits it."""

from __future__ import annotations

from math import prod, sqrt

from sendvae.latents.score import Evidence, Found, Score

BASE = 4096  # dimensions for which no shift is needed (RAE, after SD3)


def time_shift(dimensions: int) -> float:
    """Return RAE's shift s of t to s t / (1 + (s - 1) t), in which t = 1 is noise: sqrt(dimensions / 4096)."""
    return sqrt(dimensions / BASE)


def score_dimension(evidence: Evidence) -> Found:
    """Count the values of a latent: advice, not a number to be compared."""
    dimensions = prod(evidence.shape)
    advice = {"values": dimensions, "advised time shift": time_shift(dimensions)}
    return Found(details={"dimension": advice})


SCORE = Score(score_dimension, {}, cost="none", source="RAE, Section 5: dimension-dependent schedule shift")
