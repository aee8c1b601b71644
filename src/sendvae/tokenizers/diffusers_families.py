"""The autoencoder classes of diffusers: how each takes images, names its latents and declares their statistics.

There is one row per class. The conventions were read off diffusers' pipelines and conversion scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sendvae.registry import Registry
from sendvae.tokenizers.diffusers_layout import latent_stats_of
from sendvae.tokenizers.packing import pack_posterior, unpack
from sendvae.tokenizers.posterior import Posterior
from sendvae.tokenizers.statistics import LatentStats

Network = Any  # a module of diffusers; its classes share no type that has these methods
Config = Mapping[str, Any]  # the configuration of a network, with the defaults of its class

RGB = 3
RAE_EPS = 1e-5  # AutoencoderRAE adds it to the standard deviations


def _gaussian(network: Network, images: Tensor) -> Posterior:
    found = network.encode(images).latent_dist
    return Posterior(found.mean, found.logvar)


def _point(name: str, network: Network, images: Tensor) -> Posterior:
    return Posterior.at(getattr(network.encode(images), name))


def _first_frame(network: Network, images: Tensor) -> Posterior:
    found = network.encode(images[:, :, None]).latent_dist
    return Posterior(found.mean[:, :, 0], found.logvar[:, :, 0])


def _packed(network: Network, images: Tensor) -> Posterior:
    return pack_posterior(_gaussian(network, images), network.config.patch_size[0])


def _representation(network: Network, images: Tensor) -> Posterior:
    """Return raw latents of AutoencoderRAE, which takes images in [0, 1] and gives normalised latents."""
    z, stats = network.encode((images + 1.0) / 2.0).latent, _normalisation(network)
    return Posterior.at(z if stats is None else stats.denormalize(z))


def _decode(network: Network, z: Tensor) -> Tensor:
    return network.decode(z).sample


def _decode_frame(network: Network, z: Tensor) -> Tensor:
    return network.decode(z[:, :, None]).sample[:, :, 0]


def _decode_packed(network: Network, z: Tensor) -> Tensor:
    return network.decode(unpack(z, network.config.patch_size[0])).sample


def _decode_representation(network: Network, z: Tensor) -> Tensor:
    stats = _normalisation(network)
    return network.decode(z if stats is None else stats.normalize(z)).sample * 2.0 - 1.0


def _declared(channels: str, network: Network) -> LatentStats | None:
    return latent_stats_of(network.config, network.config[channels])


def _batch_norm(network: Network) -> LatentStats:
    return LatentStats(
        network.bn.running_mean.clone(), (network.bn.running_var + network.config.batch_norm_eps).sqrt()
    )


def _normalisation(network: Network) -> LatentStats | None:
    """Return the statistics, per channel or per channel and position, by which AutoencoderRAE normalises, or None."""
    mean, std, scale = network._latents_mean, network._latents_std, network.config.scaling_factor
    if mean.numel() == 1 and std.numel() == 1 and scale == 1.0:
        return None
    channels = network.config.encoder_hidden_size
    mean, std = (values.expand(channels) if values.numel() == 1 else values for values in (mean, std))
    shape = torch.broadcast_shapes(_by_channel(mean).shape, _by_channel(std).shape)
    mean, std = (_by_channel(values).expand(shape) for values in (mean, std))
    if shape[1:] == (1, 1):
        mean, std = mean.flatten(), std.flatten()
    return LatentStats(mean.clone(), (std + RAE_EPS) / scale)


def _by_channel(values: Tensor) -> Tensor:
    """Return values of shape (C,), (C, h, w) or (1, C, h, w) as (C, h, w), with h = w = 1 for (C,)."""
    return values[:, None, None] if values.ndim == 1 else values.reshape(values.shape[-3:])


def _vq_channels(config: Config) -> int:
    return config["vq_embed_dim"] or config["latent_channels"]


def _vq_statistics(network: Network) -> LatentStats | None:
    return latent_stats_of(network.config, _vq_channels(network.config))


def _halvings(field: str, config: Config) -> int:
    return 2 ** (len(config[field]) - 1)


def _field(name: str, config: Config) -> int:
    return config[name]


def _patched(config: Config) -> int:
    return config["patch_size"] or 1


def _rae_size(network: Network) -> int:
    return network.decoder_image_size


@dataclass(frozen=True)
class Family:
    """How a class of diffusers is used.

    Attributes:
        description: one line for people, with what differs from a plain VAE.
        since: the first version of diffusers that has the class.
        channels: computes the latent channels, as latents are used here, from the configuration.
        downsampling: computes the pixels per latent position along one side from the configuration.
        encode: encodes images in [-1, 1] to a posterior of raw latents.
        decode: decodes raw latents to images in [-1, 1].
        statistics: reads the statistics that the weights or the configuration declare; None if neither can.
        image_fields: the fields of the configuration that tell the number of image channels.
        image_patch: computes the side of the squares of pixels that count as channels; None if pixels are not grouped.
        only_size: computes the side in pixels of the only images that a network takes; None if it takes any.
    """

    description: str
    since: str
    channels: Callable[[Config], int]
    downsampling: Callable[[Config], int]
    encode: Callable[[Network, Tensor], Posterior]
    decode: Callable[[Network, Tensor], Tensor]
    statistics: Callable[[Network], LatentStats | None] | None
    image_fields: tuple[str, ...] = ("in_channels", "out_channels")
    image_patch: Callable[[Config], int] | None = None
    only_size: Callable[[Network], int] | None = None


_LATENT_CHANNELS = partial(_field, "latent_channels")
_SCALED = partial(_declared, "latent_channels")

RAW_FLUX2 = Family(
    "FLUX.2's VAE before its latents are packed",
    "0.36.0",
    _LATENT_CHANNELS,
    partial(_halvings, "block_out_channels"),
    _gaussian,
    _decode,
    None,
)
FAMILIES: Registry[Family] = Registry(
    "class of diffusers",
    {
        "AutoencoderKL": Family(
            "latent-diffusion's VAE with another activation or without attention in the middle",
            "0.18.0",
            _LATENT_CHANNELS,
            partial(_halvings, "block_out_channels"),
            _gaussian,
            _decode,
            _SCALED,
        ),
        "AutoencoderKLFlux2": Family(
            "FLUX.2's VAE with another decoder; latents packed 2 x 2 and normalised by its BatchNorm",
            "0.36.0",
            lambda config: config["latent_channels"] * config["patch_size"][0] ** 2,
            lambda config: _halvings("block_out_channels", config) * config["patch_size"][0],
            _packed,
            _decode_packed,
            _batch_norm,
        ),
        "AsymmetricAutoencoderKL": Family(
            "Stable Diffusion's encoder with a larger decoder, used without its inpainting mask",
            "0.19.0",
            _LATENT_CHANNELS,
            partial(_halvings, "down_block_out_channels"),
            _gaussian,
            _decode,
            _SCALED,
        ),
        "AutoencoderTiny": Family(
            "TAESD and its kin; deterministic; never the 8-bit latents of its forward pass",
            "0.20.0",
            _LATENT_CHANNELS,
            partial(_halvings, "num_encoder_blocks"),
            partial(_point, "latents"),
            _decode,
            _SCALED,
        ),
        "AutoencoderDC": Family(
            "DC-AE, f32 to f128; deterministic",
            "0.32.0",
            _LATENT_CHANNELS,
            partial(_halvings, "encoder_block_out_channels"),
            partial(_point, "latent"),
            _decode,
            _SCALED,
            image_fields=("in_channels",),
        ),
        "AutoencoderKLHunyuanImage": Family(
            "HunyuanImage 2.1's VAE, f32",
            "0.36.0",
            _LATENT_CHANNELS,
            partial(_field, "spatial_compression_ratio"),
            _gaussian,
            _decode,
            _SCALED,
        ),
        "AutoencoderKLQwenImage": Family(
            "Qwen-Image's VAE of videos, of one frame",
            "0.35.0",
            partial(_field, "z_dim"),
            partial(_halvings, "dim_mult"),
            _first_frame,
            _decode_frame,
            partial(_declared, "z_dim"),
            image_fields=("input_channels",),
        ),
        "AutoencoderKLWan": Family(
            "Wan's VAE of videos (2.1 and 2.2), of one frame",
            "0.33.0",
            partial(_field, "z_dim"),
            lambda config: _halvings("dim_mult", config) * _patched(config),
            _first_frame,
            _decode_frame,
            partial(_declared, "z_dim"),
            image_patch=_patched,
        ),
        "AutoencoderRAE": Family(
            "a frozen foundation model with a decoder; deterministic, of one image size",
            "0.37.0",
            partial(_field, "encoder_hidden_size"),
            partial(_field, "patch_size"),
            _representation,
            _decode_representation,
            _normalisation,
            image_fields=("num_channels",),
            only_size=_rae_size,
        ),
        "VQModel": Family(
            "latents before quantisation, deterministic; decoding quantises them",
            "0.18.0",
            _vq_channels,
            partial(_halvings, "block_out_channels"),
            partial(_point, "latents"),
            _decode,
            _vq_statistics,
        ),
    },
)
