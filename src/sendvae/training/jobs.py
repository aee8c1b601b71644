"""The training jobs, from a configuration to an exported model in the run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, TrainingConfig, to_yaml
from sendvae.config.schema_common import DataConfig
from sendvae.config.schema_diffusion import DiffusionDataConfig
from sendvae.data import (
    ImageSet,
    LabelledLatents,
    LatentCache,
    MappedRows,
)
from sendvae.diffusion import Generator, GeneratorName, load_generator, save_generator
from sendvae.distributed import barrier, is_main, single_process, whole, world_size
from sendvae.nn import LatentNorm
from sendvae.nn.precision import resolve_precision
from sendvae.runs import (
    Classes,
    RunFolder,
    check_space,
    latest_checkpoint,
    load_measured,
    save_measured,
    say,
)
from sendvae.tokenizers import (
    LatentStats,
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
)
from sendvae.training.caching import (
    cached_latents,
    cached_tokens,
    latent_rows,
    measure_statistics,
    token_rows,
)
from sendvae.training.device import placed
from sendvae.training.estimate import estimate
from sendvae.training.given_latents import given_size, given_statistics, open_given
from sendvae.training.images import fitting_size, open_training_images
from sendvae.training.loop import train
from sendvae.training.networks import fresh_generator, generator_shape, tokenizer_networks, vae_networks
from sendvae.training.source import Source
from sendvae.training.speed import Speed
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage
from sendvae.training.start import check_start, find_weights_of, is_exported, open_run, starting_tokenizer
from sendvae.vision import Backbone, load_backbone

PreviewFactory = Callable[[Tokenizer, ImageSet, Path], Callable[[Generator, int], dict[str, float]]]


def default_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_tokenizer(config: TokenizerConfig, folder: Path, cache: Path, name: str = "tokenizer") -> Path:
    """Fine-tune (or, from "fresh:ARCHITECTURE", train) a tokenizer; return the exported folder.

    Args:
        config: the resolved configuration.
        folder: the run folder; the same call on the same folder resumes.
        cache: where patch tokens of the training images are kept, shared between runs.
        name: what progress lines call this run.
    """
    device = default_device()
    exported = folder / "tokenizer"
    with open_run(folder, config, "tokenizer") as run:
        if is_exported(run, exported, load_tokenizer):
            return exported
        check_start(config.init)
        images = open_training_images(config.data)
        find_weights_of(config)
        torch.manual_seed(config.seed)
        tokenizer = starting_tokenizer(config.init)
        size = fitting_size(tokenizer, images)
        target = _Target()
        if config.alignment is not None:
            a = config.alignment
            target = _target(load_backbone(a.backbone), a.grid, images, config.data, cache, device)
        networks = tokenizer_networks(config, tokenizer, size, target.width)
        source = Source(images, tokens=target.tokens, flip=config.data.flip)
        stage = TokenizerStage(config, networks, source, device, target.backbone, name)
        speed = _speed(config, size, None, device)
        train(stage, run, config.loop, config.seed, config.data.workers, speed=speed)
        tokenizer = stage.ema.network if stage.ema else stage.tokenizer
        tokenizer.latent_stats = measure_statistics(
            tokenizer, images, config.statistics_images, config.seed, device
        )
        if is_main():
            save_tokenizer(tokenizer, exported, card={"trained with": to_yaml(config)})
        barrier()
    return exported


def train_diffusion(
    config: DiffusionConfig,
    folder: Path,
    cache: Path,
    name: str = "diffusion",
    preview: PreviewFactory | None = None,
) -> Path:
    """Train a generator on the latents of `config.tokenizer`; return the exported folder (EMA weights).

    Args:
        config, folder, cache, name: as in `train_tokenizer`.
        preview: makes what draws `config.preview`'s samples, from the tokenizer, the images, and a folder.
    """
    device = default_device()
    exported = folder / "sit"
    with open_run(folder, config, "sit") as run:
        if is_exported(run, exported, load_generator):
            return exported
        given = open_given(config)
        images = given.images if given else open_training_images(config.data)
        tokenizer = load_tokenizer(config.tokenizer)
        size = given_size(given, tokenizer, config.data.size) if given else fitting_size(tokenizer, images)
        shape = generator_shape(config, tokenizer, size)
        grid = GeneratorName.parse(config.model).grid(shape[-1])
        find_weights_of(config)
        record_classes(run, images)
        stats = tokenizer.latent_stats or _measured(run, config, tokenizer, given or images, device)
        tokenizer.latent_stats = stats
        torch.manual_seed(config.seed)
        backbone = None
        if config.repa is not None:
            backbone = load_backbone(config.repa.backbone)
        latents: MappedRows | None = given
        if given is None:
            _check_space(config.data, cache, tokenizer, backbone, grid, images, device)
        if given is None and config.data.latents == "cached":
            latents = cached_latents(cache, tokenizer, images, device, f"{name}: latents", config.data.flip)
        target = _Target()
        if backbone is not None:
            target = _target(backbone, grid, images, config.data, cache, device)
        generator = fresh_generator(config, shape, len(images.class_names))
        encoder = placed(tokenizer, device) if latents is None else None
        pixels = encoder is not None or target.backbone is not None
        source = Source(images, latents, target.tokens, pixels, config.data.flip)
        stage = DiffusionStage(config, generator, stats, source, device, encoder, target.backbone, name)
        drawing = None
        if config.preview is not None and preview is not None:
            draw = preview(tokenizer, images, run.samples)
            drawing = (config.preview.every, lambda images_seen: draw(stage.ema.network, images_seen))
        speed = _speed(config, size, len(images.class_names), device)
        train(stage, run, config.loop, config.seed, config.data.workers, drawing, speed)
        averaged = type(generator)(**generator.arguments)
        averaged.load_state_dict({name: whole(t) for name, t in stage.ema.tensors().items()})
        if is_main():
            save_generator(averaged, exported)
        barrier()
    return exported


def train_joint(config: JointConfig, folder: Path, cache: Path, name: str = "joint") -> Path:
    """Train a tokenizer and a generator end to end (REPA-E); return the run folder with "tokenizer" and "sit" in it.

    The tokenizer carries the averaged latent statistics that its generator was trained with.
    """
    device = default_device()
    with open_run(folder, config, "tokenizer", "sit") as run:
        finished = [
            is_exported(run, folder / "tokenizer", load_tokenizer),
            is_exported(run, folder / "sit", load_generator),
        ]
        if all(finished):
            return folder
        check_start(config.init)
        images = open_training_images(config.data)
        find_weights_of(config)
        tokenizer = starting_tokenizer(config.init)
        size = fitting_size(tokenizer, images)
        shape = generator_shape(config, tokenizer, size)
        grid = GeneratorName.parse(config.model).grid(shape[-1])
        record_classes(run, images)
        if tokenizer.latent_stats is None:
            tokenizer.latent_stats = measure_statistics(
                tokenizer, images, config.statistics_images, config.seed, device
            )
        target = _target(load_backbone(config.repa.backbone), grid, images, config.data, cache, device)
        torch.manual_seed(config.seed)
        generator = fresh_generator(config, shape, len(images.class_names))
        source = Source(images, tokens=target.tokens, flip=config.data.flip)
        networks = vae_networks(config, tokenizer)
        stage = JointStage(config, networks, generator, source, device, target.backbone, name)
        speed = _speed(config, size, len(images.class_names), device)
        train(stage, run, config.loop, config.seed, config.data.workers, speed=speed)
        averaged = stage.ema.network
        generator, norm = averaged["sit"], averaged["latent_norm"]
        assert isinstance(generator, Generator)
        assert isinstance(norm, LatentNorm)
        tokenizer.latent_stats = LatentStats(norm.running_mean.cpu(), norm.running_var.sqrt().cpu())
        if is_main():
            save_tokenizer(tokenizer, folder / "tokenizer", card={"trained with": to_yaml(config)})
            save_generator(generator, folder / "sit")
        barrier()
    return folder


def record_classes(run: RunFolder, images: ImageSet) -> None:
    """Keep the names of the classes with the run, so that sampling from it needs no data."""
    if is_main():
        Classes.of(images).save(run.path)


def _speed(config: TrainingConfig, size: int, classes: int | None, device: torch.device) -> Speed | None:
    """Return what the main process computes rates from: the FLOPs of an image, by the estimator."""
    if not is_main():
        return None
    data = config.data.model_copy(update={"size": size, "classes": classes})
    # What is built to be counted draws random numbers, and is not spread over the processes.
    with single_process(), torch.random.fork_rng(devices=[]):
        found = estimate(config.model_copy(update={"data": data}))
    memory = sum(found.memory(world_size()).values())
    return Speed(found.flops_per_image, device, resolve_precision(config.loop.precision, device), memory)


def _measured(
    run: RunFolder,
    config: DiffusionConfig,
    tokenizer: Tokenizer,
    data: ImageSet | LabelledLatents,
    device: torch.device,
) -> LatentStats:
    """Return the statistics of latents of which nothing was declared; they are kept with the run."""
    resumed = latest_checkpoint(run.checkpoints) is not None
    if resumed and (stats := load_measured(run.path)) is not None:
        return stats
    count = min(config.statistics_images, len(data))
    if isinstance(data, LabelledLatents):
        stats = given_statistics(data, count)
    else:
        say(
            f"{config.tokenizer} declares no latent statistics: they are measured on {count:,} training images"
        )
        stats = measure_statistics(tokenizer, data, count, config.seed, device)
    if is_main():
        save_measured(stats, count, run.path)
    barrier()
    return stats


@dataclass(frozen=True)
class _Target:
    """The target of alignment: the foundation model, or its cached tokens; and the width of its tokens."""

    backbone: Backbone | None = None
    tokens: LatentCache | None = None
    width: int | None = None


def _target(
    backbone: Backbone, grid: int, images: ImageSet, data: DataConfig, cache: Path, device: torch.device
) -> _Target:
    if data.tokens == "online":
        return _Target(placed(backbone, device), None, backbone.width)
    tokens = cached_tokens(cache, backbone, images, grid, device, data.flip)
    return _Target(None, tokens, backbone.width)


def _check_space(
    data: DiffusionDataConfig,
    cache: Path,
    tokenizer: Tokenizer,
    backbone: Backbone | None,
    grid: int,
    images: ImageSet,
    device: torch.device,
) -> None:
    """Refuse latents and tokens that do not both fit, before either is computed."""
    rows = []
    if data.latents == "cached":
        rows.append(latent_rows(cache, tokenizer, images, data.flip))
    if backbone is not None and data.tokens == "cached":
        rows.append(token_rows(cache, backbone, images, grid, device, data.flip))
    if len(rows) > 1 and is_main():
        check_space(cache, sum(one.missing_bytes() for one in rows), "latents and tokens")
