"""How far equal relative errors of the latents carry in the images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows, batches
from sendvae.latents.score import Evidence, Found, Score, quantity
from sendvae.latents.scores.decoded import BATCH, mean_of_images, signed_psnr
from sendvae.latents.scores.grid import channel_moments
from sendvae.randomness import stream

NOISE = 0.1  # standard deviation of the error, in those of each channel


def robustness(
    latents: LatentRows, decode: Callable[[Tensor], Tensor], seed: int = 0
) -> Float64[Tensor, " M"]:
    """Return the PSNR in dB between decode(z + e) and decode(z) of every latent z.

    The error e is Gaussian, with `NOISE` times the standard deviation of each channel over latents and positions:
    diffusion models see channels standardised, so that this is an equal error for every tokenizer. A decoder that
    reads what is a small part of its channels' variance is harmed more.

    Args:
        seed: the seed of the errors; each latent has its own.

    Raises:
        ValueError: a channel does not vary, or a latent is not finite.
    """
    _, std = channel_moments(latents)
    found = []
    for place, z in batches(latents, BATCH):
        noise = torch.stack(
            [
                torch.randn(z.shape[1:], generator=stream(seed, i, "robustness"))
                for i in range(place.start, place.stop)
            ]
        )
        clean, noisy = (
            decode(given).cpu().clamp(-1, 1) for given in (z, z + NOISE * std.to(z) * noise.to(z))
        )
        found.append(signed_psnr(noisy, clean))
    return torch.cat(found)


def score_robustness(evidence: Evidence) -> Found:
    """Average over test images."""
    if evidence.decode is None:
        return Found(details={"no robustness": "no decoder is at hand"})
    values = robustness(evidence.rows["test"], evidence.decode, evidence.seed)
    return Found({"robustness": mean_of_images(evidence, "robustness", values)})


SCORE = Score(
    score_robustness,
    {
        "robustness": quantity(
            "Noise PSNR",
            True,
            "dB between decoded latents with and without noise of a tenth of each channel",
            2,
        )
    },
    cost="two decodings of every test image",
    source="ours",
)
