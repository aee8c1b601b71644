"""Estimates the cost of a training run before anything is loaded: parameters, FLOPs, memory, hours.

The stage itself is built on the meta device, and its losses run there, forward and backward, under PyTorch's FLOP
counter. So an estimate follows the code, adaptive weights and frozen parts included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch
from torch import nn

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, TrainingConfig
from sendvae.data import LIGHTNINGDIT, open_images, to_float
from sendvae.diffusion import Generator
from sendvae.errors import UserError
from sendvae.tokenizers import TOKENIZERS, Tokenizer, trainable
from sendvae.training.cost import GENERATOR, Estimate, Network
from sendvae.training.given_latents import open_given, pixels_of
from sendvae.training.meta import (
    COUNTED,
    META,
    BlankDraws,
    BlankImages,
    Counter,
    blank_batch,
    blank_tokenizer,
)
from sendvae.training.micro_batches import MicroBatch
from sendvae.training.networks import (
    VAENetworks,
    fresh_generator,
    generator_shape,
    tokenizer_networks,
    vae_networks,
)
from sendvae.training.parts import Part
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage
from sendvae.training.start import FRESH
from sendvae.vision import BACKBONES, load_backbone


def estimate(config: TrainingConfig) -> Estimate:
    """Return what the training command of this configuration costs.

    Raises:
        UserError: the configuration does not tell the size of the images, and there is no data set that would.
    """
    size, classes = _size_and_classes(config)
    source = config.tokenizer if isinstance(config, DiffusionConfig) else config.init
    by_name = source in TOKENIZERS or source.startswith(FRESH)
    found = (_counted if by_name else _counted.__wrapped__)(_step_of(config), size, classes)
    loop = config.loop
    if config.data.source.startswith(LIGHTNINGDIT):  # latents that are there are not computed
        found = replace(found, once={})
    return replace(
        found,
        images=loop.images,
        batch_size=loop.batch_size,
        accumulate=loop.accumulate,
        sharded=loop.parallel == "fsdp",
    )


@dataclass(frozen=True)
class _Step:
    """What a step computes of an image, as a key: equal where nothing but the length or the seed of a run differs."""

    text: str
    config: TrainingConfig = field(compare=False)


def _step_of(config: TrainingConfig) -> _Step:
    """Drop the loop, the seed, a device's number format, and which images are read."""
    loop = type(config.loop)(images=COUNTED, batch_size=COUNTED, precision="fp32", compile="off")
    data = config.data.model_copy(update={"source": "blank", "limit": None})
    plain = config.model_copy(update={"loop": loop, "data": data, "seed": 0})
    return _Step(repr(plain), plain)


@cache
def _counted(step: _Step, size: int, classes: int) -> Estimate:
    """Count a step. Results are memoised for tokenizers by name only, since one in a folder may change."""
    config = step.config
    if isinstance(config, TokenizerConfig):
        return _estimate_tokenizer(config, size)
    if isinstance(config, JointConfig):
        return _estimate_joint(config, size, classes)
    return _estimate_diffusion(config, size, classes)


def estimate_passes(config: DiffusionConfig) -> dict[str, float]:
    """Return the FLOPs of an image of single passes: "encode", "decode", and "network", one evaluation of the generator.

    Raises:
        UserError: as `estimate`.
    """
    size, classes = _size_and_classes(config)
    tokenizer = blank_tokenizer(config.tokenizer)
    generator = _generator(config, tokenizer, size, classes)
    images = torch.zeros(COUNTED, 3, size, size, device=META)
    latent = torch.zeros(COUNTED, *generator.latent_shape, device=META)
    passes = {
        "encode": lambda: tokenizer.encode(images),
        "decode": lambda: tokenizer.decode(latent),
        "network": lambda: generator(
            latent, torch.zeros(COUNTED, device=META), torch.zeros(COUNTED, dtype=torch.int64, device=META)
        ),
    }
    count = Counter()
    for name, run in passes.items():
        with count(name), torch.no_grad():
            run()
    return count.flops


def _estimate_tokenizer(config: TokenizerConfig, size: int) -> Estimate:
    tokenizer, a = trainable(blank_tokenizer(config.init), config.init), config.alignment
    width = BACKBONES[a.backbone].width if a else None
    with META:
        networks = tokenizer_networks(config, tokenizer, size, width, pretrained=False)
    stage = TokenizerStage(config, networks, Source(BlankImages(size)), META)
    count = _count(
        stage.parts, blank_batch(size, a.grid if a else None, width), config, *_modules(networks).values()
    )
    found = _vae_networks(networks, averaged=stage.ema is not None)
    return _estimate(config, found, count, (a.backbone, a.grid) if a else None, size)


def _estimate_diffusion(config: DiffusionConfig, size: int, classes: int) -> Estimate:
    tokenizer = blank_tokenizer(config.tokenizer)
    assert tokenizer.latent_stats is not None
    generator = _generator(config, tokenizer, size, classes)
    stage = DiffusionStage(config, generator, tokenizer.latent_stats, Source(BlankImages(size)), META)
    width = BACKBONES[config.repa.backbone].width if config.repa else None
    batch = blank_batch(size, generator.grid if config.repa else None, width)
    latent = torch.zeros(COUNTED, *generator.latent_shape, device=META)
    cached = replace(batch, latent_mean=latent, latent_std=latent)
    found = _estimate(
        config,
        [_network(GENERATOR, stage.generator, averaged=True)],
        _count(stage.parts, cached, config, stage.generator),
        (config.repa.backbone, generator.grid) if config.repa else None,
        size,
    )
    assert batch.images is not None
    encoding = Counter()
    with encoding("latents"), torch.no_grad():
        tokenizer.encode(to_float(batch.images))
    if config.data.latents == "cached":
        found.once.update(_with_flips(config, encoding.flops))
        return found
    networks = [*found.networks, _network("tokenizer", tokenizer.requires_grad_(False))]
    return replace(found, networks=networks, flops=found.flops | encoding.flops)


def _estimate_joint(config: JointConfig, size: int, classes: int) -> Estimate:
    tokenizer = trainable(blank_tokenizer(config.init), config.init)
    generator = _generator(config, tokenizer, size, classes)
    with META:
        networks = vae_networks(config, tokenizer, pretrained=False)
    stage = JointStage(config, networks, generator, Source(BlankImages(size)), META)
    batch = blank_batch(size, generator.grid, BACKBONES[config.repa.backbone].width)
    count = _count(stage.parts, batch, config, *_modules(networks).values(), stage.generator)
    found = [*_vae_networks(networks), _network(GENERATOR, stage.generator, averaged=True)]
    return _estimate(config, found, count, (config.repa.backbone, generator.grid), size)


def _count(parts: Sequence[Part], batch: Batch, config: TrainingConfig, *networks: nn.Module) -> Counter:
    """Run every part of a step, forward and backward, on one micro-batch."""
    count, piece = Counter(*networks), MicroBatch(batch, BlankDraws(), _position(config))
    for part in parts:
        with count(part.name):
            part.losses(piece).total.backward()
    return count


def _estimate(
    config: TrainingConfig,
    networks: list[Network],
    count: Counter,
    target: tuple[str, int] | None,
    size: int,
) -> Estimate:
    """Add the foundation model that is aligned with (name, grid): to every step, or to what is done once."""
    online = config.data.tokens == "online"
    once: dict[str, float] = {}
    if target is not None:
        name, grid = target
        with META:
            backbone = load_backbone(name, pretrained=False)
        forward = Counter()
        with forward("foundation model"):
            backbone.patch_tokens(torch.zeros(COUNTED, 3, size, size, device=META), grid)
        if online:
            count.flops.update(forward.flops)
            networks = [*networks, _network("foundation model", backbone)]
        else:
            once.update(_with_flips(config, forward.flops))
    loop = config.loop
    return Estimate(
        networks,
        count.flops,
        once,
        count.activations,
        loop.images,
        loop.batch_size,
        loop.accumulate,
        sharded=loop.parallel == "fsdp",
    )


def _with_flips(config: TrainingConfig, flops: dict[str, float]) -> dict[str, float]:
    """Return the FLOPs per image, doubled if mirrored images are cached, too."""
    return {name: value * (2 if config.data.flip else 1) for name, value in flops.items()}


def _size_and_classes(config: TrainingConfig) -> tuple[int, int]:
    """Return image size and number of classes from the configuration, else from the data set or given latents."""
    size, classes = config.data.size, config.data.classes
    if isinstance(config, DiffusionConfig) and (given := open_given(config)) is not None:
        return pixels_of(given, blank_tokenizer(config.tokenizer)), len(given.images.class_names)
    if size is None or (classes is None and not isinstance(config, TokenizerConfig)):
        try:
            images = open_images(config.data.source, config.data.split, limit=1, labelled=True)
        except UserError as error:
            raise UserError(
                "the size of the images or the number of classes is unknown",
                given=str(error),
                next_step="set data.size and data.classes, or data.source to a data set that is here",
            ) from None
        size, classes = size or images[0].image.shape[-1], classes or len(images.class_names)
    return size, classes or 0


def _generator(
    config: DiffusionConfig | JointConfig, tokenizer: Tokenizer, size: int, classes: int
) -> Generator:
    with META:
        return fresh_generator(config, generator_shape(config, tokenizer, size), classes)


def _position(config: TrainingConfig) -> int:
    """Return a number of images seen at which every loss is on and gradient shares are not measured."""
    if isinstance(config, DiffusionConfig):
        return 0
    start = max(config.losses.adversarial_start, config.losses.discriminator_start)
    if isinstance(config, JointConfig):
        return start
    every = config.gradient_share_every
    return (start // every + 1) * every + config.loop.batch_size


def _modules(networks: VAENetworks) -> dict[str, nn.Module]:
    """Return the networks by the names that are printed."""
    found = {
        "tokenizer": networks.tokenizer,
        "discriminator": networks.discriminator,
        "perceptual network": networks.perceptual,
        "alignment head": networks.alignment,
    }
    return {name: network for name, network in found.items() if network is not None}


def _vae_networks(networks: VAENetworks, averaged: bool = False) -> list[Network]:
    return [
        _network(name, network, averaged and network is networks.tokenizer)
        for name, network in _modules(networks).items()
    ]


def _network(name: str, network: nn.Module, averaged: bool = False) -> Network:
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    total = sum(n for n, _ in sizes)
    return Network(name, total, sum(n for n, trained in sizes if trained), total if averaged else 0)
