"""How fast the spectrum of a latent space falls, against that of its images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from sendvae.latents.bootstrap import Statistic
from sendvae.latents.rows import LatentRows
from sendvae.latents.score import Evidence, Found, Measured, Score, quantity
from sendvae.latents.scores.grid import channel_moments, normalised, without_grid

HALF_NYQUIST = 0.5  # frequencies above it are called high


@dataclass(frozen=True)
class Spectrum:
    """Power of images' or latents' frequencies, by image.

    Attributes:
        rings: summed power of the frequencies k = 1, 2, ... of n, where n is the shorter side and k = n is Nyquist.
        sizes: coefficients of each ring.
        high: power above half of Nyquist.
        total: power of all frequencies but 0.
    """

    rings: Float64[Tensor, "M K"]
    sizes: Int64[Tensor, " K"]
    high: Float64[Tensor, " M"]
    total: Float64[Tensor, " M"]

    def slopes(self, weights: Float[Tensor, "R M"]) -> Float64[Tensor, " R"]:
        """Return the least-squares slope of log mean power against log frequency, for each weighting of images."""
        x = torch.arange(1, len(self.sizes) + 1, dtype=torch.float64).log()
        x = x - x.mean()
        power = weights.double() @ (self.rings / self.sizes) / weights.double().sum(1, keepdim=True)
        return power.log() @ (x / x.square().sum())

    def high_shares(self, weights: Float[Tensor, "R M"]) -> Float64[Tensor, " R"]:
        """Return the share of power above half of Nyquist, in [0, 1], for each weighting of images."""
        return (weights.double() @ self.high) / (weights.double() @ self.total)


def spectrum(rows: LatentRows) -> Spectrum:
    """Return the power spectrum by the orthonormal DCT-II, channels normalised to variance 1 and summed.

    Raises:
        ValueError: a grid of fewer than 3 positions a side, NaN, or a channel without variation.
    """
    moments = channel_moments(rows)
    height, width = rows.batch(np.arange(1)).shape[-2:]
    count = min(height, width) - 1
    if count < 2:
        raise ValueError(f"a grid of {width} x {height} positions has no spectrum")
    down_, across_ = torch.arange(height) / height, torch.arange(width) / width  # 1 is Nyquist
    radius = (down_[:, None].square() + across_.square()).sqrt().double().flatten()
    ring = (radius * min(height, width)).round().long()
    member = torch.nn.functional.one_hot(ring, int(ring.max()) + 1)[:, 1 : count + 1]
    sums = torch.cat([member, (radius > HALF_NYQUIST)[:, None], (radius > 0)[:, None]], 1).double()
    parts = []
    for values in normalised(rows, moments):
        down, across = (dct_matrix(side).to(values.device) for side in (height, width))
        power = (down @ values.double() @ across.T).square().sum(1)  # over channels: (B, h, w)
        parts.append(power.flatten(1).cpu() @ sums)
    found = torch.cat(parts)
    return Spectrum(rings=found[:, :count], sizes=member.sum(0), high=found[:, count], total=found[:, -1])


def dct_matrix(size: int) -> Float64[Tensor, "N N"]:
    """Return the orthonormal DCT-II: row u is the cosine of frequency u / 2 periods per `size` samples."""
    place = torch.arange(size, dtype=torch.float64)
    matrix = (math.pi / size * (place + 0.5) * place[:, None]).cos() * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def score_spectrum(evidence: Evidence) -> Found:
    """Measure test latents and test images alike; the bootstrap draws the same images for both."""
    if missing := without_grid(evidence, "spectrum"):
        return missing
    latents = spectrum(evidence.rows["test"])
    statistics: dict[str, Statistic] = {
        "spectrum_slope": latents.slopes,
        "spectrum_high": latents.high_shares,
    }
    if "test" in evidence.images:
        images = evidence.once("spectrum", lambda: spectrum(evidence.images["test"]))
        statistics |= {
            "spectrum_slope_gap": lambda weights: latents.slopes(weights) - images.slopes(weights),
            "spectrum_high_gap": lambda weights: latents.high_shares(weights) - images.high_shares(weights),
        }
    count = len(latents.total)
    resampled = evidence.bootstrap.scores(count, statistics)
    every = torch.ones(1, count)
    return Found(
        {
            name: Measured(float(statistic(every)), resampled.get(name))
            for name, statistic in statistics.items()
        }
    )


SCORE = Score(
    score_spectrum,
    {
        "spectrum_slope": quantity(
            "Spectral slope",
            False,
            "log power of latents' DCT against log frequency; smooth latents fall fast",
        ),
        "spectrum_high": quantity("High frequencies", False, "share of latents' power above half of Nyquist"),
        "spectrum_slope_gap": quantity(
            "Slope, minus images'", False, "spectral slope of latents minus that of their images"
        ),
        "spectrum_high_gap": quantity(
            "High, minus images'", False, "share of high frequencies in latents minus that in their images"
        ),
    },
    cost="one pass over test latents, and one over test images for all tokenizers together",
    source="ours, after arXiv 2502.14831 (diffusability)",
)
