"""The networks of training, ready-made for its stages: with their weights, or blank for an estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sendvae.alignment import build_alignment
from sendvae.autoencoding import PatchDiscriminator, load_perceptual
from sendvae.config import DiffusionConfig, JointConfig, TokenizerConfig
from sendvae.diffusion import GENERATORS, SIZES, Generator, GeneratorName, build_generator
from sendvae.errors import UserError
from sendvae.tokenizers import Tokenizer, TrainableTokenizer
from sendvae.tokenizers.load import load_parts
from sendvae.vision import BACKBONES

NOT_OF_THE_HEAD = {"method", "backbone", "weight", "weighting", "normalisation", "lr"}


@dataclass(frozen=True)
class VAENetworks:
    """A tokenizer, and what judges it.

    Attributes:
        tokenizer: trained in place.
        perceptual: frozen; (reconstruction, images) to distances.
        discriminator: trained in place.
        alignment: the head between latents and patch tokens, trained in place; None without alignment.
    """

    tokenizer: TrainableTokenizer
    perceptual: nn.Module
    discriminator: PatchDiscriminator
    alignment: nn.Module | None = None


def vae_networks(
    config: TokenizerConfig | JointConfig, tokenizer: TrainableTokenizer, pretrained: bool = True
) -> VAENetworks:
    """Return a tokenizer with its judges; fresh ones depend on `config.seed` alone.

    Args:
        config: names the perceptual network and the discriminator's size and start.
        tokenizer: the VAE to train.
        pretrained: False reads no weights: shapes alone are right.

    Raises:
        UserError: weights are not found, or do not fit.
    """
    losses = config.losses
    torch.manual_seed(config.seed)
    perceptual = load_perceptual(losses.perceptual, pretrained=pretrained)
    discriminator = PatchDiscriminator(losses.discriminator_width, losses.discriminator_layers)
    if losses.discriminator_init is not None and pretrained:
        _warm_start(discriminator, losses.discriminator_init)
    return VAENetworks(tokenizer, perceptual, discriminator)


def tokenizer_networks(
    config: TokenizerConfig,
    tokenizer: TrainableTokenizer,
    image_size: int,
    token_width: int | None = None,
    pretrained: bool = True,
) -> VAENetworks:
    """Return `vae_networks`, with a fresh alignment head where the configuration has one.

    Args:
        config, tokenizer, pretrained: as in `vae_networks`.
        image_size: pixels along one side.
        token_width: width of the foundation model's patch tokens; None without alignment.

    Raises:
        UserError: weights are not found, or do not fit; the head does not fit the latents or the tokens.
    """
    networks = vae_networks(config, tokenizer, pretrained)
    if config.alignment is None:
        return networks
    if token_width is None:
        raise ValueError("alignment needs token_width")
    if config.alignment.normalisation == "fixed" and tokenizer.latent_stats is None:
        raise UserError(
            "alignment.normalisation=fixed needs the statistics of the latents",
            given=f"{config.init}, which carries none",
            next_step="use normalisation=running, or a tokenizer with statistics",
        )
    config.alignment.check_heads(token_width)
    head = build_alignment(
        config.alignment.method,
        latent_channels=tokenizer.latent_channels,
        token_width=token_width,
        patch_size=_patch_size(config.alignment.grid, tokenizer.latent_shape(image_size)[-1]),
        **config.alignment.model_dump(exclude=NOT_OF_THE_HEAD),
    )
    return replace(networks, alignment=head)


def generator_shape(
    config: DiffusionConfig | JointConfig, tokenizer: Tokenizer, size: int
) -> tuple[int, ...]:
    """Return (C, h, w) of the latents of images of `size` pixels a side, or (C, N) of tokens without a grid.

    Raises:
        UserError: the latents do not fit the generator of the configuration.
    """
    shape = tokenizer.latent_shape(size)
    name = GeneratorName.parse(config.model)
    if len(shape) == 3:
        name.grid(shape[-1])  # patches that do not divide it are an error
        return shape
    if GENERATORS[name.network].needs_grid or name.patch_size != 1 or config.repa is not None:
        raise UserError(
            "latents without a grid do not fit this generator",
            given=f"model={config.model}, repa={'null' if config.repa is None else config.repa.backbone}"
            f", for latents of {shape[1]} tokens",
            expected="patch 1, no REPA (its foundation model has a grid), and a network without rotary positions",
            next_step=f"set model={_without_grid(name)}/1 repa=null",
        )
    return shape


def _without_grid(name: GeneratorName) -> str:
    """Return the size that takes tokens without a grid and is nearest in width to the one that was named."""
    free = [size for size in SIZES if not GENERATORS[size.partition("-")[0]].needs_grid]
    return min(free, key=lambda size: abs(SIZES[size].width - name.size.width))


def fresh_generator(
    config: DiffusionConfig | JointConfig, latent_shape: tuple[int, ...], num_classes: int
) -> Generator:
    """Return the generator of a configuration, freshly initialised by PyTorch's global generator.

    Args:
        config: names network and options; with REPA, the foundation model whose width the projector has.
        latent_shape: the shape by `generator_shape`; h = w.
        num_classes: the classes of the data set; with one, all images are of it: the generator is unconditional, and
            no label is dropped.
    """
    channels, side = latent_shape[:2]
    repa = config.repa
    options: dict[str, Any] = {}
    if repa is not None:
        options = {
            "repa_width": BACKBONES[repa.backbone].width,
            "repa_depth": repa.depth,
            "projector": repa.projector,
        }
    return build_generator(
        config.model,
        latent_channels=channels,
        latent_size=side,
        num_classes=num_classes,
        label_dropout=config.label_dropout if num_classes > 1 else 0.0,
        path=config.path,
        qk_norm=config.qk_norm,
        one_dimensional=len(latent_shape) == 2,
        **options,
    )


def _patch_size(grid: int, latent_size: int) -> int:
    """Return latent positions per token along one side."""
    if latent_size % grid:
        raise UserError(
            "the latent does not divide into the tokens' grid",
            given=f"alignment.grid={grid} for a latent of {latent_size} x {latent_size}",
            expected=f"a divisor of {latent_size}",
            next_step="set alignment.grid",
        )
    return latent_size // grid


def _warm_start(discriminator: PatchDiscriminator, source: str) -> None:
    """Take the discriminator that a released checkpoint keeps or stands beside.

    Raises:
        UserError: there is none, or it is of another size.
    """
    weights = load_parts(source).get("discriminator")
    if weights is None:
        raise UserError(
            "no discriminator to start from",
            given=f"losses.discriminator_init={source}",
            expected="a checkpoint that holds one, or a discriminator's file",
            next_step="leave it out, and delay losses.adversarial_start until a fresh one has trained",
        )
    expected = {name: tuple(tensor.shape) for name, tensor in discriminator.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        raise UserError(
            f"the discriminator of {source} does not fit",
            given=f"differing: {', '.join(differing[:4])}",
            expected=f"{len(expected)} tensors of a PatchGAN with losses.discriminator_width and _layers",
            next_step="set losses.discriminator_width and losses.discriminator_layers to the checkpoint's",
        )
    discriminator.load_state_dict(weights)
