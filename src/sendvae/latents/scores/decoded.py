"""What scores of decoded latents share: the PSNR of each image, and its mean."""

from __future__ import annotations

from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.latents.bootstrap import weighted_mean
from sendvae.latents.score import Evidence, Measured

BATCH = 64  # images decoded at a time
PEAK = 2.0  # of images in [-1, 1]
LEAST_ERROR = 1e-10  # mean squared; 106 dB


def signed_psnr(a: Float[Tensor, "B ..."], b: Float[Tensor, "B ..."]) -> Float64[Tensor, " B"]:
    """Return the PSNR in dB of each pair of images in [-1, 1]; 106 dB where they are equal."""
    error = (a.double() - b.double()).square().flatten(1).mean(1)
    return 10 * (PEAK**2 / error.clamp_min(LEAST_ERROR)).log10()


def mean_of_images(evidence: Evidence, name: str, values: Float64[Tensor, " M"]) -> Measured:
    """Return the mean over test images, with that of every resample.

    Args:
        name: the name of the number.
        values: one for each test image.
    """
    resampled = evidence.bootstrap.scores(len(values), {name: weighted_mean(values)})
    return Measured(float(values.mean()), resampled.get(name))
