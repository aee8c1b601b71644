"""Latents of an image set as rows, encoded once into a cache on disk or at every access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sendvae.data import ImageSet, LatentCache, to_float
from sendvae.nn import weights_digest
from sendvae.nn.precision import number_format, resolve_precision
from sendvae.randomness import stream
from sendvae.runs import CacheKey, RowCache
from sendvae.tokenizers import Tokenizer, check_fit

FIELD = "z"
DTYPE = torch.float32  # of latents on disk
NOISE = "posterior"  # the stream of the noise of sampled latents


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the settings of encoding.

    Attributes:
        tokenizer: the tokenizer on `device`, in evaluation mode.
        latent: "mean" of the posterior, or a "sample", whose noise depends on seed and position alone.
        precision: resolved: "fp32" or "bf16".
        batch_size: images encoded together.
        mirrored: whether images are mirrored first.
    """

    tokenizer: Tokenizer
    device: torch.device
    latent: str
    precision: str
    seed: int
    batch_size: int
    mirrored: bool = False

    @cached_property
    def weights(self) -> str:
        """Return the digest of the tokenizer's weights."""
        return weights_digest(self.tokenizer)

    @torch.no_grad()
    def encode(self, images: ImageSet, positions: np.ndarray) -> Float[Tensor, "B C *n"]:
        """Encode images; return latents on the CPU, float32.

        Raises:
            UserError: images whose sides do not fit the tokenizer.
        """
        parts = []
        for picked in np.split(positions, range(self.batch_size, len(positions), self.batch_size)):
            pixels = images.batch(picked).images
            pixels = pixels.flip(-1) if self.mirrored else pixels
            check_fit(self.tokenizer, pixels)
            given = to_float(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)
            with number_format(self.precision, self.device):
                posterior = self.tokenizer.encode(given)  # `benchmarks/encoding_layout.py`
            mean = posterior.mean.float().cpu()
            if self.latent == "sample":
                mean = mean + posterior.std.float().cpu() * noise(mean, picked, self.seed)
            parts.append(mean)
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "B C *n"]) -> Float[Tensor, "B 3 H W"]:
        """Return the images of raw latents, nominally in [-1, 1], float32 on the CPU."""
        with number_format(self.precision, self.device):
            return self.tokenizer.decode(latents.to(self.device)).float().cpu()

    def key(self, images: ImageSet) -> CacheKey:
        """Return the cache key, which names everything that the latents of an image set depend on."""
        view = "-mirrored" if self.mirrored else ""
        label = f"{self.tokenizer.label}-{self.latent}-{images.split}{view}"
        content = {
            "images": images.fingerprint,
            "count": len(images),
            "mirrored": self.mirrored,
            "architecture": dict(self.tokenizer.identity),
            "weights": self.weights,
            "latent": self.latent,
            "noise": [NOISE, self.seed] if self.latent == "sample" else None,
            "precision": self.precision,
            "dtype": str(DTYPE),
        }
        return CacheKey("evaluated", label, images.source, content)


class EncodedRows:
    """Rows that are encoded at every access, without a cache."""

    def __init__(self, encoder: Encoder, images: ImageSet) -> None:
        self.encoder, self.images = encoder, images

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, positions: np.ndarray) -> Float[Tensor, "B C *n"]:
        """Encode the images at `positions`; the latents are float32, on the encoder's device."""
        return self.encoder.encode(self.images, positions).to(self.encoder.device)


class CachedRows:
    """Rows of a memory-mapped cache, read to a device."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.cache, self.device = LatentCache(folder), device

    def __len__(self) -> int:
        return len(self.cache)

    def batch(self, positions: np.ndarray) -> Float[Tensor, "B C *n"]:
        """Read the latents at `positions` to the device, float32."""
        return self.cache.batch(positions)[FIELD].to(self.device)


def cache_rows(
    encoder: Encoder,
    images: ImageSet,
    cache: Path,
    name: str,
    watch: Callable[[int], None] | None = None,
) -> CachedRows:
    """Encode the rows that are missing, each process its share of the shards, in float32 (4 bytes a value).

    Args:
        name: the name of the progress bar.
        watch: called before each batch with the number of images that are done.
    """
    shape = tuple(encoder.encode(images, np.arange(1)).shape[1:])
    rows = RowCache(cache, encoder.key(images), {FIELD: shape}, len(images), DTYPE)

    def compute(positions: np.ndarray) -> dict[str, Tensor]:
        if watch is not None:
            watch(int(positions[0]))
        return {FIELD: encoder.encode(images, positions)}

    rows.filled(compute, encoder.batch_size, name)
    return CachedRows(rows.folder, encoder.device)


def noise(like: Tensor, positions: np.ndarray | range, seed: int) -> Tensor:
    """Return standard normal noise that depends on seed and position alone, not on batch or process."""
    rows = [
        torch.randn(like.shape[1:], generator=stream(seed, int(position), NOISE)) for position in positions
    ]
    return torch.stack(rows).to(like)


def make_encoder(
    tokenizer: Tokenizer, device: torch.device, latent: str, precision: str, seed: int, batch_size: int
) -> Encoder:
    """Return an encoder with its precision resolved for the device."""
    resolved = resolve_precision(precision, device)
    return Encoder(tokenizer.to(device).eval(), device, latent, resolved, seed, batch_size)
