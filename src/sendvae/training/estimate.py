"""What a training run costs, before anything is loaded: parameters, FLOPs, memory, hours.

The stage itself is built on the meta device, and its losses run there, forward and backward, under PyTorch's FLOP
counter. So an estimate follows the code, adaptive weights and frozen parts included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig, TrainingConfig
from sendvae.data import open_images, to_float
from sendvae.diffusion import SiT, build_sit
from sendvae.errors import UserError
from sendvae.tokenizers import ARCHITECTURES, TOKENIZERS, Architecture, load_tokenizer
from sendvae.training.jobs import FRESH
from sendvae.training.meta import COUNTED, META, BlankDraws, BlankImages, Counter, blank_tokenizer
from sendvae.training.source import Batch, Source
from sendvae.training.stages import DiffusionStage, JointStage, TokenizerStage
from sendvae.training.stages.vae import VAETraining
from sendvae.vision import BACKBONES, load_backbone

FLOAT = 4  # bytes: weights, gradients and averages are float32
ADAM = 2  # running moments of a parameter
Configuration = TypeVar("Configuration", TokenizerConfig, DiffusionConfig, JointConfig)


@dataclass(frozen=True)
class Network:
    """Parameters of one network: all, those that are trained, those kept a second time as an average."""

    name: str
    parameters: int
    trained: int
    averaged: int = 0


@dataclass(frozen=True)
class Estimate:
    """What was counted.

    Attributes:
        networks: everything in memory.
        flops: an image of a step, forward and backward, by part. A multiplication with an addition counts as
            two; normalisation and other elementwise work, and the optimiser, count nothing.
        once: FLOPs an image of the data set, before training: what is cached.
        activations: bytes an image: what the largest part of a step keeps for its backward pass, in float32 and
            with attention weights stored. An upper estimate: bf16 and fused attention keep less.
        images, batch_size, accumulate: of the configuration.
        sharded: whether FSDP2 spreads the SiT over the processes.
    """

    networks: Sequence[Network]
    flops: dict[str, float]
    once: dict[str, float]
    activations: float
    images: int
    batch_size: int
    accumulate: int
    sharded: bool

    @property
    def steps(self) -> int:
        return -(-self.images // self.batch_size)

    @property
    def flops_per_image(self) -> float:
        return sum(self.flops.values())

    @property
    def flops_per_step(self) -> float:
        return self.flops_per_image * self.batch_size

    @property
    def flops_total(self) -> float:
        return self.flops_per_step * self.steps

    def share(self, processes: int = 1) -> int:
        """Images that go through a process at a time."""
        return -(-self.batch_size // (processes * self.accumulate))

    def memory(self, processes: int = 1) -> dict[str, float]:
        """Bytes of one process: weights, gradients, optimiser, average; activations of its share."""
        totals = dict.fromkeys(("weights", "gradients", "optimiser", "average"), 0.0)
        for network in self.networks:
            parts = processes if self.sharded and network.name == "SiT" else 1
            totals["weights"] += FLOAT * network.parameters / parts
            totals["gradients"] += FLOAT * network.trained / parts
            totals["optimiser"] += ADAM * FLOAT * network.trained / parts
            totals["average"] += FLOAT * network.averaged / parts
        return totals | {"activations": self.activations * self.share(processes)}

    def hours(self, images_per_second: float | None = None, tflops: float | None = None) -> float:
        """Of the whole run, at a throughput, or at sustained TFLOP/s, of all devices together."""
        if images_per_second is not None:
            return self.images / images_per_second / 3600
        if tflops is not None:
            return self.flops_total / (tflops * 1e12) / 3600
        raise ValueError("hours need images_per_second or tflops")


def estimate(config: TrainingConfig) -> Estimate:
    """Of the training command that this configuration is for.

    Raises:
        UserError: the configuration does not tell the size of the images, and there is no data set that would.
    """
    size, classes = _size_and_classes(config)
    if isinstance(config, TokenizerConfig):
        return _estimate_tokenizer(_plain(config), size)
    if isinstance(config, JointConfig):
        return _estimate_joint(_plain(config), size, classes)
    return _estimate_diffusion(_plain(config), size, classes)


def architecture_of(source: str) -> Architecture:
    """Of "fresh:ARCHITECTURE" or a name of the zoo without reading weights; of a file or folder by reading it."""
    if source.startswith(FRESH):
        return ARCHITECTURES[source.removeprefix(FRESH)]
    if source in TOKENIZERS:
        return ARCHITECTURES[TOKENIZERS[source].architecture]
    return load_tokenizer(source).architecture


def _estimate_tokenizer(config: TokenizerConfig, size: int) -> Estimate:
    tokenizer, a = blank_tokenizer(architecture_of(config.init)), config.alignment
    width = BACKBONES[a.backbone].width if a else None
    with META:
        stage = TokenizerStage(config, tokenizer, Source(BlankImages(size)), META, token_width=width)
    batch, images = _batch(size, a.grid if a else None, width)
    count = Counter(stage.tokenizer, stage.discriminator, stage.vae.perceptual, stage.alignment)
    with count("tokenizer"):
        total, _, _, reconstruction = stage._losses(batch, images, BlankDraws(), _position(config))
        total.backward()
    _count_discriminator(count, stage.vae, images, reconstruction)
    networks = _vae_networks(stage.vae, averaged=stage.ema is not None)
    if stage.alignment is not None:
        networks.append(_network("alignment head", stage.alignment))
    return _estimate(config, networks, count, (a.backbone, a.grid) if a else None, size)


def _estimate_diffusion(config: DiffusionConfig, size: int, classes: int) -> Estimate:
    tokenizer = blank_tokenizer(architecture_of(config.tokenizer))
    assert tokenizer.latent_stats is not None
    sit = _sit(config, tokenizer.architecture, size, classes)
    stage = DiffusionStage(config, sit, tokenizer.latent_stats, Source(BlankImages(size)), META)
    width = BACKBONES[config.repa.backbone].width if config.repa else None
    batch, images = _batch(size, sit.grid if config.repa else None, width)
    latent = torch.zeros(COUNTED, sit.latent_channels, sit.latent_size, sit.latent_size, device=META)
    count = Counter(stage.sit)
    with count("SiT"):
        stage._losses(Batch(None, batch.labels, latent, latent, batch.tokens), BlankDraws())[
            "loss"
        ].backward()
    found = _estimate(
        config,
        [_network("SiT", stage.sit, averaged=True)],
        count,
        (config.repa.backbone, sit.grid) if config.repa else None,
        size,
    )
    encoding = Counter()
    with encoding("latents"), torch.no_grad():
        tokenizer.encode(images)
    if config.data.latents == "cached":
        found.once.update(_views(config, encoding.flops))
        return found
    networks = [*found.networks, _network("tokenizer", tokenizer.requires_grad_(False))]
    return replace(found, networks=networks, flops=found.flops | encoding.flops)


def _estimate_joint(config: JointConfig, size: int, classes: int) -> Estimate:
    tokenizer = blank_tokenizer(architecture_of(config.init))
    sit = _sit(config, tokenizer.architecture, size, classes)
    with META:
        stage = JointStage(config, tokenizer, sit, Source(BlankImages(size)), META)
    batch, images = _batch(size, sit.grid, BACKBONES[config.repa.backbone].width)
    count = Counter(stage.tokenizer, stage.discriminator, stage.vae.perceptual, stage.sit)
    with count("tokenizer, through the frozen SiT"):
        total, _, z, reconstruction = stage._vae_losses(batch, images, BlankDraws(), _position(config))
        total.backward()
    _count_discriminator(count, stage.vae, images, reconstruction)
    with count("SiT"):
        stage._sit_losses(batch, z.detach(), BlankDraws())["loss"].backward()
    networks = [*_vae_networks(stage.vae), _network("SiT", stage.sit, averaged=True)]
    return _estimate(config, networks, count, (config.repa.backbone, sit.grid), size)


def _count_discriminator(count: Counter, vae: VAETraining, images: Tensor, reconstruction: Tensor) -> None:
    with count("discriminator"):
        vae._discriminator_loss(images, reconstruction.detach()).backward()


def _estimate(
    config: TrainingConfig,
    networks: list[Network],
    count: Counter,
    target: tuple[str, int] | None,
    size: int,
) -> Estimate:
    """Adds the foundation model that is aligned with (name, grid): to every step, or to what is done once."""
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
            once.update(_views(config, forward.flops))
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


def _views(config: TrainingConfig, flops: dict[str, float]) -> dict[str, float]:
    """Of what is cached of an image: with flips, of the mirrored one, too."""
    return {name: value * (2 if config.data.flip else 1) for name, value in flops.items()}


def _plain(config: Configuration) -> Configuration:
    """The same computation without files to load, and without a device's number format."""
    changes: dict[str, Any] = {"loop": config.loop.model_copy(update={"precision": "fp32"})}
    if not isinstance(config, DiffusionConfig):
        changes["losses"] = config.losses.model_copy(update={"discriminator_init": None})
    return config.model_copy(update=changes)


def _size_and_classes(config: TrainingConfig) -> tuple[int, int]:
    """As configured, else those of the data set; tokenizers need no classes."""
    size, classes = config.data.size, config.data.classes
    if size is None or (classes is None and not isinstance(config, TokenizerConfig)):
        try:
            images = open_images(config.data.source, config.data.split, limit=1)
        except UserError as error:
            raise UserError(
                "the size of the images or the number of classes is unknown",
                given=str(error),
                next_step="set data.size and data.classes, or data.source to a data set that is here",
            ) from None
        size, classes = size or images[0].image.shape[-1], classes or len(images.class_names)
    return size, classes or 0


def _batch(size: int, grid: int | None, width: int | None) -> tuple[Batch, Tensor]:
    """With tokens if there is a grid; and its images as the losses take them."""
    blank = BlankImages(size).batch([0] * COUNTED)
    tokens = None
    if grid is not None and width is not None:
        tokens = torch.zeros(COUNTED, grid * grid, width, device=META)
    return Batch(blank.images, blank.labels, tokens=tokens), to_float(blank.images)


def _sit(config: DiffusionConfig | JointConfig, latent: Architecture, size: int, classes: int) -> SiT:
    with META:
        return build_sit(
            config.model,
            latent_channels=latent.z_channels,
            latent_size=size // latent.downsampling,
            num_classes=classes,
            repa_width=BACKBONES[config.repa.backbone].width if config.repa else None,
            repa_depth=config.repa.depth if config.repa else None,
        )


def _position(config: TokenizerConfig | JointConfig) -> int:
    """Images seen at a step with every loss and without the measurement of gradient shares."""
    start = max(config.losses.adversarial_start, config.losses.discriminator_start)
    if isinstance(config, JointConfig):
        return start
    every = config.gradient_share_every
    return (start // every + 1) * every + config.loop.batch_size


def _vae_networks(vae: VAETraining, averaged: bool = False) -> list[Network]:
    return [
        _network("tokenizer", vae.tokenizer, averaged),
        _network("discriminator", vae.discriminator),
        _network("perceptual network", vae.perceptual),
    ]


def _network(name: str, network: nn.Module, averaged: bool = False) -> Network:
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    total = sum(n for n, _ in sizes)
    return Network(name, total, sum(n for n, trained in sizes if trained), total if averaged else 0)
