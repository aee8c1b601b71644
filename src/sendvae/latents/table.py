"""The scores of a latent space by name."""

from __future__ import annotations

from sendvae.latents.score import Score
from sendvae.latents.scores import (
    attributes,
    dimension,
    discrimination,
    equivariance,
    gap,
    ifid,
    robustness,
    spectrum,
    structure,
    uniformity,
    velocity_floor,
)
from sendvae.registry import Registry

SCORES: Registry[Score] = Registry(
    "score",
    {
        "attributes": attributes.SCORE,
        "gap": gap.SCORE,
        "uniformity": uniformity.SCORE,
        "discrimination": discrimination.SCORE,
        "spectrum": spectrum.SCORE,
        "structure": structure.SCORE,
        "equivariance": equivariance.SCORE,
        "robustness": robustness.SCORE,
        "velocity_floor": velocity_floor.SCORE,
        "ifid": ifid.SCORE,
        "dimension": dimension.SCORE,
    },
)
