"""Latent statistics. Diffusion models see normalised latents, decoders see raw ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.errors import UserError
from sendvae.nn import Moments
from sendvae.weights import read_weight_file


@dataclass(frozen=True)
class LatentStats:
    """The mean and standard deviation of *sampled* latents over a data set.

    Attributes:
        mean: the mean per channel (C,), the `latents_bias` of REPA-E's side files, or per channel and position
            (C, h, w), as in RAE.
        std: the positive standard deviation, of the same shape, the reciprocal of their `latents_scale`.

    Raises:
        ValueError: the shapes differ or are (), the mean is not finite, or a standard deviation is not positive.
    """

    mean: Float[Tensor, " C ..."]
    std: Float[Tensor, " C ..."]

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim == 0:
            raise ValueError(
                f"mean and std must both be (C,) or (C, h, w), got {self.mean.shape} and {self.std.shape}"
            )
        if self.mean.is_meta:
            return  # a tensor without values, in a network whose cost is counted
        if not bool(self.mean.isfinite().all()):
            raise ValueError("mean must be finite")
        if not bool((self.std > 0).all()):
            raise ValueError("std must be positive in every channel; a constant channel cannot be normalised")

    @classmethod
    def of(cls, moments: Moments) -> LatentStats:
        """Return the statistics of moments accumulated over `channel_rows` of sampled latents.

        Raises:
            ValueError: no latents have been seen.
        """
        if moments.count == 0:
            raise ValueError("no latents seen")
        return cls(moments.mean.float(), moments.std.float())

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> LatentStats:
        """Return the statistics from lists that `document` returned."""
        return cls(torch.tensor(document["mean"]), torch.tensor(document["std"]))

    def document(self) -> dict[str, Any]:
        """Return the statistics as plain lists, for JSON."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def to(self, device: torch.device) -> LatentStats:
        """Return the statistics on a device. For the meta device, which has no values, nothing is moved."""
        return self if device.type == "meta" else LatentStats(self.mean.to(device), self.std.to(device))

    def normalize(self, z: Float[Tensor, "B C *n"]) -> Float[Tensor, "B C *n"]:
        """Return raw latents as a diffusion model sees them: (z - mean) / std."""
        mean, std = self._like(z)
        return (z - mean) / std

    def denormalize(self, z: Float[Tensor, "B C *n"]) -> Float[Tensor, "B C *n"]:
        """Return normalised latents as a decoder takes them: z * std + mean."""
        mean, std = self._like(z)
        return z * std + mean

    def _like(self, z: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (z.ndim - 2)) if self.mean.ndim == 1 else self.mean.shape
        return self.mean.to(z).view(shape), self.std.to(z).view(shape)


def read_latent_stats(path: Path) -> LatentStats:
    """Return the statistics of a side file: `latents_scale`, `latents_bias` (REPA-E) or `mean`, `std` (LightningDiT).

    Raises:
        UserError: the file cannot be read, holds neither pair, or a pair that is not valid statistics.
    """
    content = read_weight_file(path)
    try:
        if "latents_scale" in content and "latents_bias" in content:
            scale, shift = _values(content["latents_scale"]), _values(content["latents_bias"])
            return LatentStats(shift, scale.reciprocal())  # REPA-E normalises by (z - bias) * scale
        if "mean" in content and "std" in content:
            return LatentStats(_values(content["mean"]), _values(content["std"]))
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} holds no latent statistics", given=error) from None
    raise UserError(
        f"{path} holds no latent statistics",
        given=", ".join(map(str, content)),
        expected="latents_scale and latents_bias, or mean and std",
    )


def _values(tensor: Tensor) -> Tensor:
    """Return statistics that broadcast over a batch as (C,), or as (C, h, w) where they differ between positions."""
    per_position = tensor.ndim == 4 and tensor.shape[-1] > 1
    return tensor[0].float() if per_position else tensor.flatten().float()
