"""Whether a transformed latent decodes to the transformed image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from sendvae.latents.rows import LatentRows
from sendvae.latents.score import Evidence, Found, Measured, Score, quantity
from sendvae.latents.scores.decoded import BATCH, mean_of_images, signed_psnr
from sendvae.latents.scores.grid import without_grid


def rotated(grid: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C w h"]:
    """Return everything turned by 90 degrees."""
    return torch.rot90(grid, 1, (-2, -1))


def halved(grid: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h2 w2"]:
    """Return everything at half the size: means of 2 x 2."""
    return F.avg_pool2d(grid, 2)


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {"rotation": rotated, "scale": halved}


def equivariance(
    latents: LatentRows,
    images: LatentRows,
    decode: Callable[[Tensor], Tensor],
    transform: Callable[[Tensor], Tensor],
) -> Float64[Tensor, " M"]:
    """Return the PSNR in dB between decode(T z) and T x of every image x in [-1, 1] with its latent z."""
    found = []
    for start in range(0, len(latents), BATCH):
        places = np.arange(start, min(start + BATCH, len(latents)))
        wanted = transform(images.batch(places)).cpu()
        given = decode(transform(latents.batch(places))).cpu().clamp(-1, 1)
        found.append(signed_psnr(given, wanted))
    return torch.cat(found)


def score_equivariance(evidence: Evidence) -> Found:
    """Average over test images; a transform that the grid or the decoder does not allow is left out."""
    if missing := without_grid(evidence, "equivariance"):
        return missing
    if evidence.decode is None:
        return Found(details={"no equivariance": "no decoder is at hand"})
    numbers: dict[str, Measured] = {}
    details: dict[str, str] = {}
    for name, transform in TRANSFORMS.items():
        key = f"equivariance_{name}"
        if reason := _refusal(evidence, name):
            details[f"no {key}"] = reason
            continue
        values = equivariance(evidence.rows["test"], evidence.images["test"], evidence.decode, transform)
        numbers[key] = mean_of_images(evidence, key, values)
    return Found(numbers, details)


def _refusal(evidence: Evidence, name: str) -> str:
    """Return why a transform cannot be done; empty where it can."""
    height, width = evidence.shape[1:]
    if evidence.one_size and (name == "scale" or height != width):
        return "the decoder takes latents of one size only"
    if name == "scale" and (height % 2 or width % 2):
        return f"a grid of {width} x {height} has no half"
    return ""


SCORE = Score(
    score_equivariance,
    {
        "equivariance_rotation": quantity(
            "Rotation PSNR", True, "dB between the decoded rotated latent and the rotated image", 2
        ),
        "equivariance_scale": quantity(
            "Scale PSNR", True, "dB between the decoded halved latent and the halved image", 2
        ),
    },
    cost="two decodings of every test image",
    source="ours, after EQ-VAE (arXiv 2502.09509)",
)
