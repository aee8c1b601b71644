"""Caches of tensors that do not change during training: patch tokens, posteriors, latent statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sendvae.data import FLIP, ImageSet, LatentCache, to_float
from sendvae.data.latent_cache import Fields
from sendvae.nn import Moments, channel_rows, weights_digest
from sendvae.nn.precision import autocast, number_format, resolve_precision
from sendvae.runs import SHARD, CacheKey, RowCache
from sendvae.tokenizers import LatentStats, Tokenizer
from sendvae.vision import Backbone

BATCH = 32  # images; on a CPU larger ones leave its caches
DTYPE = torch.float16  # of tokens and posteriors on disk
# Of a backbone's row: what does not change its tokens.
NOT_CONTENT = {"source", "tokens", "parameters", "licence", "paper"}


def token_rows(
    cache: Path, backbone: Backbone, images: ImageSet, grid: int, device: torch.device, flip: bool = False
) -> RowCache:
    """Return the cache of an image set's patch tokens, with its key and fields."""
    row = {name: value for name, value in asdict(backbone.spec).items() if name not in NOT_CONTENT}
    content = {
        **_views(images, flip),
        "precision": resolve_precision("auto", device),
        "backbone": backbone.name,
        "row": row,
        "weights": weights_digest(backbone),
        "grid": grid,
    }
    key = CacheKey("tokens", f"{backbone.name}-{grid}-{images.split}", images.source, content)
    fields = {"tokens": (grid * grid, backbone.width)}
    return RowCache(cache, key, _both_views(fields, flip), len(images), DTYPE)


def cached_tokens(
    cache: Path, backbone: Backbone, images: ImageSet, grid: int, device: torch.device, flip: bool = False
) -> LatentCache:
    """Return patch tokens (N, grid * grid, D) of an image set, fp16, computed on first use.

    With `flip`, also "tokens_flip" of the mirrored images.
    """
    backbone = backbone.to(device)

    def compute(batch: Tensor) -> dict[str, Tensor]:
        with autocast(resolve_precision("auto", device), device):
            return {"tokens": backbone.patch_tokens(batch, grid)}

    rows = token_rows(cache, backbone, images, grid, device, flip)
    return _filled(rows, images, compute, device, flip, f"{backbone.name} tokens")


def latent_rows(
    cache: Path,
    tokenizer: Tokenizer,
    images: ImageSet,
    flip: bool = False,
    shard_size: int = SHARD,
) -> RowCache:
    """Return the cache of an image set's posteriors, with its key and fields."""
    content = {
        **_views(images, flip),
        "precision": "fp32",
        "architecture": dict(tokenizer.identity),
        "weights": weights_digest(tokenizer),
    }
    key = CacheKey("latents", f"{tokenizer.label}-{images.split}", images.source, content)
    fields = dict.fromkeys(("mean", "std"), tokenizer.latent_shape(images[0].image.shape[-1]))
    return RowCache(cache, key, _both_views(fields, flip), len(images), DTYPE, shard_size)


def cached_latents(
    cache: Path,
    tokenizer: Tokenizer,
    images: ImageSet,
    device: torch.device,
    name: str = "latents",
    flip: bool = False,
    shard_size: int = SHARD,
) -> LatentCache:
    """Return posterior mean and std (N, C, h, w) of an image set, computed in float32 on first use, kept in fp16.

    With `flip`, also "mean_flip" and "std_flip" of the mirrored images.
    """
    tokenizer = tokenizer.to(device).eval()

    def compute(batch: Tensor) -> dict[str, Tensor]:
        with number_format("fp32", device):
            posterior = tokenizer.encode(batch.contiguous(memory_format=torch.channels_last))
            return {"mean": posterior.mean, "std": posterior.std}

    rows = latent_rows(cache, tokenizer, images, flip, shard_size)
    return _filled(rows, images, compute, device, flip, name)


@torch.no_grad()
def measure_statistics(
    tokenizer: Tokenizer, images: ImageSet, count: int, seed: int, device: torch.device
) -> LatentStats:
    """Return the channel statistics of sampled latents over `count` images spread evenly over the set, in float32."""
    tokenizer = tokenizer.to(device).eval()
    generator = torch.Generator(device).manual_seed(seed)
    moments = Moments("diagonal")
    picked = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    for start in range(0, len(picked), BATCH):
        batch = to_float(images.batch(picked[start : start + BATCH]).images.to(device))
        with number_format("fp32", device):
            posterior = tokenizer.encode(batch)
        moments.update(channel_rows(posterior.sample(generator)))
    return LatentStats.of(moments)


def _views(images: ImageSet, flip: bool) -> dict[str, object]:
    """Return the part of a cache key that every cache of an image set has."""
    return {
        "images": images.fingerprint,
        "count": len(images),
        "flip": flip,
        "dtype": str(DTYPE),
    }


def _both_views(fields: Fields, flip: bool) -> Fields:
    return {**fields, **{name + FLIP: shape for name, shape in fields.items()}} if flip else fields


def _filled(
    rows: RowCache,
    images: ImageSet,
    compute: Callable[[Tensor], dict[str, Tensor]],
    device: torch.device,
    flip: bool,
    name: str,
) -> LatentCache:
    @torch.no_grad()
    def of_positions(positions: np.ndarray) -> Mapping[str, Tensor]:
        batch = to_float(images.batch(positions).images.to(device))
        values = compute(batch)
        if flip:
            values |= {field + FLIP: value for field, value in compute(batch.flip(-1)).items()}
        return values

    return rows.filled(of_positions, BATCH, name)
