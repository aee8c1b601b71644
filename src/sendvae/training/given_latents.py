"""Training on latents that are given, in LightningDiT's layout, and writing such folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sendvae.config import DiffusionConfig
from sendvae.data import (
    FLIP,
    LIGHTNINGDIT,
    ImageSet,
    LabelledLatents,
    LatentCache,
    MappedRows,
    open_lightningdit,
    to_float,
)
from sendvae.data.lightningdit import LABELS, LATENTS, STATISTICS
from sendvae.distributed import barrier, is_main
from sendvae.errors import UserError
from sendvae.nn import Moments, channel_rows, weights_digest
from sendvae.nn.precision import number_format
from sendvae.randomness import stream
from sendvae.runs import SHARD, CacheKey, Classes, RowCache, recorded_classes
from sendvae.tokenizers import LatentStats, Tokenizer
from sendvae.tokenizers.statistics import read_latent_stats

BATCH = 32  # images; on a CPU larger ones leave its caches
STATISTICS_LATENTS = 10_000  # measured for latents_stats.pt (hustvl/LightningDiT)
SEED = 0  # of the posterior samples on disk
# The statistics of a tokenizer and of its latents differ by less, whatever images they were measured on.
MEAN_BOUND, STD_BOUND = 2.0, 4.0


def open_given(config: DiffusionConfig) -> LabelledLatents | None:
    """Return the latents that a configuration names as its data; None where it names images.

    Raises:
        UserError: they are no such folder, or the configuration asks for what only images can give.
    """
    data = config.data
    if not data.source.startswith(LIGHTNINGDIT):
        return None
    preview = config.preview
    if config.repa is not None:
        raise _no_images(data.source, f"repa.backbone={config.repa.backbone}", "set repa=null")
    if data.latents == "online":
        raise _no_images(data.source, "data.latents=online", "set data.latents=cached")
    if preview is not None and preview.features is not None:
        raise _no_images(data.source, f"preview.features={preview.features}", "set preview.features=null")
    classes = recorded_classes(Path(data.source.removeprefix(LIGHTNINGDIT)))
    given = open_lightningdit(data.source, data.classes, data.limit, classes.names if classes else None)
    if data.flip and not given.mirrored:
        raise UserError(
            f"{data.source} holds no latents of mirrored images",
            given="data.flip=true",
            expected=f"tensors named {LATENTS}{FLIP}",
            next_step="set data.flip=false",
        )
    return given


def _no_images(source: str, given: str, next_step: str) -> UserError:
    return UserError(f"{source} holds latents, and this needs images", given=given, next_step=next_step)


def pixels_of(given: LabelledLatents, tokenizer: Tokenizer) -> int:
    """Return the side, in pixels, of the images that latents of this tokenizer encode."""
    if tokenizer.one_size:
        return tokenizer.image_size
    return given.shape(LATENTS)[-1] * tokenizer.downsampling


def given_size(given: LabelledLatents, tokenizer: Tokenizer, expected: int | None) -> int:
    """Return the side, in pixels, of the images that the latents encode.

    Args:
        expected: the size that the configuration expects.

    Raises:
        UserError: these are not the latents of this tokenizer, or not of images of the expected size.
    """
    shape = given.shape(LATENTS)
    size = pixels_of(given, tokenizer)
    wanted = tokenizer.latent_shape(size)
    if shape != wanted:
        raise UserError(
            f"the latents of {given.folder} are not of this tokenizer",
            given=" x ".join(map(str, shape)),
            expected=" x ".join(map(str, wanted)),
            next_step="set tokenizer to the one that they were computed with",
        )
    if expected not in (None, size):
        raise UserError(
            f"the latents of {given.folder} are of images of another size",
            given=f"{size} pixels",
            expected=f"data.size={expected}",
        )
    _check_scale(given, tokenizer.latent_stats)
    return size


def _check_scale(given: LabelledLatents, stats: LatentStats | None) -> None:
    """Refuse latents whose file of statistics shows that they are of another tokenizer, or normalised."""
    if stats is None or not given.statistics.is_file():
        return
    found = read_latent_stats(given.statistics)
    if found.mean.shape == stats.mean.shape:
        apart = ((found.mean - stats.mean).abs() / stats.std).max().item()
        ratio = (found.std / stats.std).log().abs().max().exp().item()
        if apart <= MEAN_BOUND and ratio <= STD_BOUND:
            return
        given_text = (
            f"means apart by up to {apart:.1f} standard deviations, these by a factor of up to {ratio:.1f}"
        )
    else:
        given_text = f"statistics {tuple(found.mean.shape)} for {tuple(stats.mean.shape)}"
    raise UserError(
        f"the statistics of {given.folder} are not those of this tokenizer",
        given=given_text,
        expected="raw latents of the tokenizer",
        next_step=f"set tokenizer to the one that they were computed with, or remove {STATISTICS} if it is wrong",
    )


def given_statistics(given: LabelledLatents, count: int) -> LatentStats:
    """Return the statistics beside the latents; where there are none, those of at most `count` of them."""
    if given.statistics.is_file():
        return read_latent_stats(given.statistics)
    return _measured(given, "mean", min(count, len(given.images)))


def write_lightningdit(
    folder: Path, tokenizer: Tokenizer, images: ImageSet, device: torch.device, shard_size: int = SHARD
) -> LatentCache:
    """Write posterior samples (float32) of images and of their mirror images into FOLDER/SPLIT; a restart goes on.

    The statistics beside them are the tokenizer's own, so that a generator trained there samples here with the same;
    where it declares none, they are measured on the latents.

    Args:
        folder: the files go into a folder in it that is named as the split.
        tokenizer: a tokenizer whose latents have a grid.
        images: the images of one split.
        device: where latents are computed.
        shard_size: images a file.

    Raises:
        UserError: latents without a grid; the folder holds something else.
    """
    shape = tokenizer.latent_shape(images[0].image.shape[-1])
    if len(shape) != 3:
        raise UserError(
            "LightningDiT's layout holds latents with a grid",
            given=f"{shape[1]} tokens of {shape[0]} channels",
            next_step="leave out --layout",
        )
    tokenizer = tokenizer.to(device).eval()
    rows = _rows(folder, tokenizer, images, shape, shard_size)

    @torch.no_grad()
    def compute(positions: np.ndarray) -> Mapping[str, Tensor]:
        batch = images.batch(positions)
        pixels = to_float(batch.images.to(device))
        values = {LABELS: batch.labels}
        for name, view in ((LATENTS, pixels), (LATENTS + FLIP, pixels.flip(-1))):
            noise = [torch.randn(shape, generator=stream(SEED, int(n), name)) for n in positions]
            with number_format("fp32", device):
                posterior = tokenizer.encode(view.contiguous(memory_format=torch.channels_last))
            values[name] = posterior.sample(noise=torch.stack(noise).to(device))
        return values

    cache = rows.filled(compute, BATCH, f"{images.split} latents")
    if is_main():
        stats = tokenizer.latent_stats or _measured(cache, LATENTS, min(STATISTICS_LATENTS, len(cache)))
        _save_statistics(stats, rows.folder / STATISTICS)
        Classes.of(images).save(rows.folder)
    barrier()
    return cache


def _rows(
    folder: Path, tokenizer: Tokenizer, images: ImageSet, shape: tuple[int, ...], shard_size: int
) -> RowCache:
    content = {
        "images": images.fingerprint,
        "count": len(images),
        "architecture": dict(tokenizer.identity),
        "weights": weights_digest(tokenizer),
        "seed": SEED,
    }
    key = CacheKey("lightningdit", f"{tokenizer.label}-{images.split}", images.source, content)
    fields = {LATENTS: shape, LATENTS + FLIP: shape, LABELS: ()}
    return RowCache(folder, key, fields, len(images), torch.float32, shard_size, images.split)


def _measured(rows: MappedRows, field: str, count: int) -> LatentStats:
    """Return the statistics of `count` rows, spread evenly."""
    moments = Moments("diagonal")
    picked = np.linspace(0, len(rows) - 1, count).round().astype(np.int64)
    for start in range(0, len(picked), BATCH):
        moments.update(channel_rows(rows.batch(picked[start : start + BATCH])[field]))
    return LatentStats.of(moments)


def _save_statistics(stats: LatentStats, path: Path) -> None:
    """Write mean and std (1, C, 1, 1), or (1, C, h, w) of statistics per position."""
    shape = (1, -1, 1, 1) if stats.mean.ndim == 1 else (1, *stats.mean.shape)
    temporary = path.with_name(path.name + ".part")
    torch.save(
        {"mean": stats.mean.reshape(shape).clone(), "std": stats.std.reshape(shape).clone()}, temporary
    )
    temporary.replace(path)
