"""How evenly latents spread."""

from __future__ import annotations

import numpy as np

from sendvae.latents.score import MIRRORED, Evidence, Found, Measured, Score, quantity
from sendvae.latents.uniformity import Uniformity, uniformity_repeats


def score_uniformity(evidence: Evidence, projection: str, samples: int, repeats: int, flips: bool) -> Found:
    """Measure the density at the training latents: means over repeats, whose spread gives the interval.

    Args:
        projection, samples, repeats: as in `uniformity`.
        flips: each image is mirrored with p = 1/2.
    """
    mirrored = evidence.rows[MIRRORED] if flips else None
    found = uniformity_repeats(evidence.rows["train"], projection, samples, repeats, evidence.seed, mirrored)
    values = {name: [float(getattr(one, name)) for one in found] for name in Uniformity.__annotations__}
    return Found(
        {f"uniformity_{name}": Measured(float(np.mean(own)), repeats=own) for name, own in values.items()}
    )


SCORE = Score(
    score_uniformity,
    {
        "uniformity_density_std": quantity(
            "Density std",
            False,
            "standard deviation of the latent density, in units of the projection",
            5,
        ),
        "uniformity_cv": quantity("Density CV", False, "that deviation over the mean density"),
        "uniformity_gini": quantity(
            "Gini", False, "inequality of the latent density in the plane; lower is more uniform"
        ),
        "uniformity_normalised_entropy": quantity(
            "Entropy", True, "of the densities as shares, over its maximum; higher is more uniform"
        ),
    },
    cost="a t-SNE of every repeat: minutes for 10,000 images",
    source="VA-VAE, Table 4",
)
