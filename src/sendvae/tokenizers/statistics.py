"""Per-channel latent statistics: diffusion models see normalised latents, decoders raw ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.errors import UserError
from sendvae.weights import read_weight_file


@dataclass(frozen=True)
class LatentStats:
    """Channel-wise mean and standard deviation of *sampled* latents over a data set.

    Attributes:
        mean: (C,), the `latents_bias` of REPA-E's side files.
        std: (C,), positive, the reciprocal of their `latents_scale`.
    """

    mean: Float[Tensor, " C"]
    std: Float[Tensor, " C"]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim != 1:
            raise ValueError(f"mean and std must both be (C,), got {self.mean.shape} and {self.std.shape}")
        if not bool((self.std > 0).all()):
            raise ValueError("std must be positive in every channel; a constant channel cannot be normalised")

    def normalize(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return raw latents as a diffusion model sees them: (z - mean) / std."""
        mean, std = self._like(z)
        return (z - mean) / std

    def denormalize(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Return normalised latents as a decoder takes them: z * std + mean."""
        mean, std = self._like(z)
        return z * std + mean

    def _like(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.to(z)[None, :, None, None], self.std.to(z)[None, :, None, None]


class LatentStatsAccumulator:
    """Stream batches of latents into `LatentStats`, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | None = None
        self.total_square: Tensor | None = None
        self.shift: Tensor | None = None

    def update(self, z: Float[Tensor, "B C h w"]) -> None:
        """Take a batch of raw latents in."""
        rows = z.detach().double().movedim(1, 0).flatten(1)
        if self.shift is None or self.total is None or self.total_square is None:
            self.shift = rows.mean(1)  # sums about a typical value keep the variance exact
            self.total, self.total_square = torch.zeros_like(self.shift), torch.zeros_like(self.shift)
        rows = rows - self.shift[:, None]
        self.count += rows.shape[1]
        self.total = self.total + rows.sum(1)
        self.total_square = self.total_square + rows.square().sum(1)

    def result(self) -> LatentStats:
        """Return the statistics of all that was taken in, with the population's standard deviation.

        Raises:
            ValueError: nothing was.
        """
        if self.shift is None or self.total is None or self.total_square is None:
            raise ValueError("no latents seen")
        mean = self.total / self.count
        variance = self.total_square / self.count - mean.square()
        return LatentStats((self.shift + mean).float(), variance.clamp_min(0).sqrt().float())


def read_latent_stats(path: Path) -> LatentStats:
    """Return the statistics of a side file: `latents_scale`, `latents_bias` (REPA-E) or `mean`, `std` (LightningDiT).

    Raises:
        UserError: the file cannot be read, or holds neither pair.
    """
    content = read_weight_file(path)
    if "latents_scale" in content and "latents_bias" in content:
        scale, shift = content["latents_scale"].flatten().float(), content["latents_bias"].flatten().float()
        return LatentStats(shift, scale.reciprocal())  # of (z - bias) * scale
    if "mean" in content and "std" in content:
        return LatentStats(content["mean"].flatten().float(), content["std"].flatten().float())
    raise UserError(
        f"{path} holds no latent statistics",
        given=", ".join(map(str, content)),
        expected="latents_scale and latents_bias, or mean and std",
    )
