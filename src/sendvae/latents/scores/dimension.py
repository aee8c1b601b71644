"""How large a latent is, and which time shift suits it."""

from __future__ import annotations

from math import prod

from sendvae.latents.score import Evidence, Found, Score
from sendvae.nn import time_shift


def score_dimension(evidence: Evidence) -> Found:
    """Count the values of a latent: advice, not a number to be compared."""
    dimensions = prod(evidence.shape)
    advice = {"values": dimensions, "advised time shift": time_shift(dimensions)}
    return Found(details={"dimension": advice})


SCORE = Score(score_dimension, {}, cost="none", source="RAE, Section 5: dimension-dependent schedule shift")
