"""Stages of training as the commands build them, with random weights, and a batch that they can step on.

The foundation model is left out: its tokens are given, as from a cache. So are a generator's latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, TrainingConfig, kind_of, load_config
from sendvae.tokenizers import TOKENIZERS, LatentStats, build_tokenizer, trainable
from sendvae.tokenizers.autoencoder import Autoencoder
from sendvae.training.meta import BlankImages, blank_tokenizer
from sendvae.training.networks import (
    fresh_generator,
    generator_shape,
    tokenizer_networks,
    vae_networks,
)
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage
from sendvae.training.start import FRESH
from sendvae.vision import BACKBONES

Stage = DiffusionStage | TokenizerStage | JointStage
Config = TypeVar("Config", bound=TrainingConfig)
KINDS: dict[str, type[TrainingConfig]] = {
    "diffusion": DiffusionConfig,
    "tokenizer": TokenizerConfig,
    "joint": JointConfig,
}
GIVEN = ("loop.accumulate=1", "data.tokens=cached", "optimizer.warmup=0", "optimizer.schedule=constant")
EMBEDDED = 64  # pixels a side of the images that ship
CLASSES = 1000
POSITION = 10_000  # images seen before the step; every loss of these presets is on then, and no gradient share measured


def load_step(preset: str, batch: int, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Return the configuration of a preset for steps of `batch` images that go through the networks at once."""
    return load_step_as(KINDS[str(kind_of(preset))], preset, batch, overrides)


def load_step_as(schema: type[Config], preset: str, batch: int, overrides: Sequence[str] = ()) -> Config:
    """Return what `load_step` returns, for a preset whose class of configurations is known."""
    return load_config(schema, preset, [*GIVEN, f"loop.batch_size={batch}", *overrides])


def build(config: TrainingConfig, device: torch.device) -> tuple[Stage, Batch]:
    """Return the stage of a configuration, and a batch of its size."""
    torch.manual_seed(config.seed)
    if isinstance(config, DiffusionConfig):
        stage, batch = _diffusion(config, device)
    elif isinstance(config, TokenizerConfig):
        stage, batch = _tokenizer(config, device)
    else:
        stage, batch = _joint(config, device)
    return stage, batch.to(device)


def _diffusion(config: DiffusionConfig, device: torch.device) -> tuple[Stage, Batch]:
    size, classes = config.data.size or EMBEDDED, config.data.classes or CLASSES
    shape = generator_shape(config, blank_tokenizer(config.tokenizer), size)
    generator = fresh_generator(config, shape, classes)
    stats = LatentStats(torch.zeros(shape[0]), torch.ones(shape[0]))
    stage = DiffusionStage(config, generator, stats, Source(BlankImages(size)), device)
    count = config.loop.batch_size
    mean, std = torch.randn(count, *shape), torch.rand(count, *shape)
    tokens = None
    if config.repa is not None:
        tokens = torch.randn(count, generator.grid**2, BACKBONES[config.repa.backbone].width)
    return stage, Batch(None, torch.randint(classes, (count,)), mean, std, tokens)


def _tokenizer(config: TokenizerConfig, device: torch.device) -> tuple[Stage, Batch]:
    network, size, aligned = _random_tokenizer(config.init), config.data.size or EMBEDDED, config.alignment
    width = BACKBONES[aligned.backbone].width if aligned else None
    networks = tokenizer_networks(config, network, size, width, pretrained=False)
    stage = TokenizerStage(config, networks, Source(BlankImages(size)), device)
    count = config.loop.batch_size
    tokens = torch.randn(count, aligned.grid**2, width) if aligned and width else None
    return stage, Batch(_noise(count, size), torch.zeros(count, dtype=torch.int64), tokens=tokens)


def _joint(config: JointConfig, device: torch.device) -> tuple[Stage, Batch]:
    network, size = _random_tokenizer(config.init), config.data.size or EMBEDDED
    classes, count = config.data.classes or CLASSES, config.loop.batch_size
    generator = fresh_generator(config, generator_shape(config, network, size), classes)
    networks = vae_networks(config, network, pretrained=False)
    stage = JointStage(config, networks, generator, Source(BlankImages(size)), device)
    tokens = torch.randn(count, generator.grid**2, BACKBONES[config.repa.backbone].width)
    return stage, Batch(_noise(count, size), torch.randint(classes, (count,)), tokens=tokens)


def _random_tokenizer(source: str) -> Autoencoder:
    """Return the network behind a name of the zoo, or "fresh:ARCHITECTURE", without trained weights."""
    found = (
        TOKENIZERS[source].build() if source in TOKENIZERS else build_tokenizer(source.removeprefix(FRESH))
    )
    network = trainable(found, source)
    assert isinstance(network, Autoencoder)
    channels = network.latent_channels
    network.latent_stats = LatentStats(torch.zeros(channels), torch.ones(channels))
    return network


def _noise(count: int, size: int) -> torch.Tensor:
    """Return uint8 images of noise."""
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
