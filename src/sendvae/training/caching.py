"""What does not change during training is computed once: patch tokens, posteriors, latent statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sendvae.data import FLIP, ImageSet, LatentCache, LatentCacheWriter, to_float
from sendvae.distributed import barrier, is_main, rank, world_size
from sendvae.nn.precision import autocast, resolve_precision
from sendvae.runs import progress
from sendvae.tokenizers import Autoencoder, LatentStats, LatentStatsAccumulator
from sendvae.vision import Backbone

BATCH = 64
SHARD = 4096  # rows of a cache shard: a restart recomputes at most one


def cached_tokens(
    cache: Path, backbone: Backbone, images: ImageSet, grid: int, device: torch.device, flip: bool = False
) -> LatentCache:
    """Patch tokens (N, grid * grid, D) of an image set, fp16, computed on first use.

    With `flip`, also "tokens_flip" of the mirrored images.
    """
    backbone = backbone.to(device)

    def compute(batch: Tensor) -> dict[str, Tensor]:
        return {"tokens": backbone.patch_tokens(batch, grid)}

    fields = {"tokens": (grid * grid, backbone.width)}
    fingerprint = f"tokens of {backbone.name} at grid {grid}; {images.fingerprint}"
    folder = cache / f"tokens-{backbone.name}-{grid}-{images.split}{'-flip' if flip else ''}"
    return _cached(folder, f"{backbone.name} tokens", images, fields, fingerprint, compute, device, flip)


def cached_latents(
    cache: Path,
    tokenizer: Autoencoder,
    images: ImageSet,
    device: torch.device,
    name: str = "latents",
    flip: bool = False,
    shard_size: int = SHARD,
) -> LatentCache:
    """Posterior mean and std (N, C, h, w) of an image set, fp16, computed on first use.

    With `flip`, also "mean_flip" and "std_flip" of the mirrored images. The folder below `cache` is named after
    the weights, so whoever needs these latents finds them.
    """
    tokenizer = tokenizer.to(device).eval()
    weights = weights_hash(tokenizer)

    def compute(batch: Tensor) -> dict[str, Tensor]:
        posterior = tokenizer.encode(batch)
        return {"mean": posterior.mean, "std": posterior.std}

    fingerprint = f"posterior of {weights}; {images.fingerprint}"
    folder = latent_folder(cache, weights, images.split, flip)
    size = images[0].image.shape[-1] // tokenizer.architecture.downsampling
    fields = dict.fromkeys(("mean", "std"), (tokenizer.architecture.z_channels, size, size))
    return _cached(folder, name, images, fields, fingerprint, compute, device, flip, shard_size)


def latent_folder(cache: Path, weights: str, split: str, flip: bool = False) -> Path:
    """Where the latents of a split are kept, by the hash of the tokenizer's weights."""
    return cache / f"latents-{weights}-{split}{'-flip' if flip else ''}"


@torch.no_grad()
def measure_statistics(
    tokenizer: Autoencoder, images: ImageSet, count: int, seed: int, device: torch.device
) -> LatentStats:
    """Channel statistics of sampled latents over `count` images spread evenly over the set."""
    tokenizer = tokenizer.to(device).eval()
    generator = torch.Generator(device).manual_seed(seed)
    accumulator = LatentStatsAccumulator()
    picked = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64)
    for start in range(0, len(picked), BATCH):
        batch = to_float(images.batch(picked[start : start + BATCH]).images.to(device))
        with autocast(resolve_precision("auto", device), device):
            posterior = tokenizer.encode(batch)
        accumulator.update(posterior.sample(generator).float())
    return accumulator.result()


def weights_hash(network: torch.nn.Module) -> str:
    """Short SHA-256 of a network's tensors: what a cache was computed with."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def _cached(
    folder: Path,
    name: str,
    images: ImageSet,
    fields: Mapping[str, tuple[int, ...]],
    fingerprint: str,
    compute: Callable[[Tensor], dict[str, Tensor]],
    device: torch.device,
    flip: bool = False,
    shard_size: int = SHARD,
) -> LatentCache:
    """Every process computes its share of the shards, in a folder that they all see."""
    if flip:
        fields = {**fields, **{name + FLIP: shape for name, shape in fields.items()}}
    precision = resolve_precision("auto", device)
    if not is_main():
        barrier()
    writer = LatentCacheWriter(folder, fields, len(images), fingerprint, shard_size, rank(), world_size())
    if is_main():
        barrier()
    with writer, progress(name, writer.share, unit="img", start=writer.position) as bar:
        for rows in writer.rows(BATCH):
            batch = to_float(images.batch(rows).images.to(device))
            with autocast(precision, device):
                values = compute(batch)
                if flip:
                    values |= {name + FLIP: value for name, value in compute(batch.flip(-1)).items()}
            writer.append({field: value.to("cpu", torch.float16) for field, value in values.items()})
            bar.advance(len(rows))
    barrier()
    return LatentCache(folder)
