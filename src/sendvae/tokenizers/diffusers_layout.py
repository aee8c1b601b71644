"""Configurations of diffusers' AutoencoderKL and AutoencoderKLFlux2: writing, checking and reading their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from sendvae.errors import UserError
from sendvae.tokenizers.architecture import Architecture
from sendvae.tokenizers.batch_norm import NORM_EPS
from sendvae.tokenizers.statistics import LatentStats

CLASS, PACKED_CLASS = "AutoencoderKL", "AutoencoderKLFlux2"
DEFAULT_CHANNELS = 4  # AutoencoderKL's own default
DEFAULT_SCALING = 0.18215  # AutoencoderKL's own default, Stable Diffusion's value
# The values of each field that our VAE computes. A field that is absent has its first value.
COMPUTED: dict[str, tuple[object, ...]] = {
    "in_channels": (3,),
    "out_channels": (3,),
    "act_fn": ("silu", "swish"),  # two names of one function
    "mid_block_add_attention": (True,),
    "use_quant_conv": (True, False),
    "use_post_quant_conv": (True, False),
}
BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
}
# Fields that are read here, that repeat the shapes of the weights, or that do not affect what is computed here
# (force_upcast keeps half precision from overflowing, but weights are float32 here).
KNOWN = {
    "block_out_channels", "layers_per_block", "latent_channels", "norm_num_groups", "sample_size", "scaling_factor",
    "shift_factor", "latents_mean", "latents_std", "force_upcast",
}  # fmt: skip
KNOWN_PACKED = {
    "block_out_channels", "layers_per_block", "latent_channels", "norm_num_groups", "sample_size", "patch_size",
    "batch_norm_eps", "batch_norm_momentum", "force_upcast",
}  # fmt: skip


def diffusers_config(architecture: Architecture, stats: LatentStats | None) -> dict[str, Any]:
    """Return the `config.json` of a diffusers folder.

    Statistics that are equal in all channels become `scaling_factor` and `shift_factor`, which every pipeline applies;
    others become `latents_mean` and `latents_std`. Statistics of packed latents are stored among the weights.
    """
    a = architecture
    attention = [attends for _, attends in architecture.levels]
    config: dict[str, Any] = {
        "_class_name": diffusers_class(a),
        "act_fn": "silu",
        "block_out_channels": [channels for channels, _ in architecture.levels],
        "down_block_types": ["AttnDownEncoderBlock2D" if a else "DownEncoderBlock2D" for a in attention],
        "up_block_types": ["AttnUpDecoderBlock2D" if a else "UpDecoderBlock2D" for a in reversed(attention)],
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": architecture.z_channels,
        "layers_per_block": architecture.num_res_blocks,
        "norm_num_groups": architecture.norm_groups,
        "sample_size": architecture.resolution,
        "use_quant_conv": a.quant_conv,
        "use_post_quant_conv": a.post_quant_conv,
    }
    if a.packing > 1:
        return config | {"batch_norm_eps": NORM_EPS, "patch_size": [a.packing, a.packing]}
    undeclared = {"scaling_factor": 1.0, "shift_factor": None, "latents_mean": None, "latents_std": None}
    return config | undeclared | diffusers_statistics(stats)


def diffusers_class(architecture: Architecture) -> str:
    """Return the name of the diffusers class that computes this architecture."""
    return CLASS if architecture.packing == 1 else PACKED_CLASS


def configured(architecture: Architecture, config: Mapping[str, Any]) -> Architecture:
    """Return an architecture read off weights, with what shapes do not tell taken from a checked configuration."""
    side = config.get("patch_size", (2, 2))[0] if config["_class_name"] == PACKED_CLASS else 1
    return replace(
        architecture,
        quant_conv=config.get("use_quant_conv", True),
        post_quant_conv=config.get("use_post_quant_conv", True),
        packing=side,
    )


def diffusers_statistics(stats: LatentStats | None) -> dict[str, Any]:
    """Return the configuration fields that declare statistics; an empty dict for None."""
    if stats is None:
        return {}
    if bool((stats.mean == stats.mean[0]).all()) and bool((stats.std == stats.std[0]).all()):
        shift = float(stats.mean[0])
        return {"scaling_factor": 1.0 / float(stats.std[0]), "shift_factor": shift or None}
    return {"latents_mean": stats.mean.tolist(), "latents_std": stats.std.tolist()}


def is_diffusers_config(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is one of diffusers, of any class."""
    return "_class_name" in config


def is_native(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration describes a network that this library computes itself, and so can train."""
    name = config["_class_name"]
    if name not in (CLASS, PACKED_CLASS):
        return False
    known = KNOWN if name == CLASS else KNOWN_PACKED
    return all(_computed(field, value, known) for field, value in config.items())


def _computed(field: str, value: Any, known: set[str]) -> bool:
    if field in COMPUTED:
        return value in COMPUTED[field]
    if field in BLOCKS:
        return set(value) <= set(BLOCKS[field])
    return field in known or field.startswith("_") or value is None


def check_statistics(config: Mapping[str, Any], source: object) -> None:
    """Raise an error for declared statistics whose combination has no meaning in any pipeline.

    Raises:
        UserError: a shift_factor stands beside latents_mean, or one of latents_mean and latents_std is missing.
    """
    mean, std, shift = (config.get(name) for name in ("latents_mean", "latents_std", "shift_factor"))
    if mean is not None and shift:
        raise _contradiction(source, "shift_factor", shift, "none beside latents_mean")
    if (mean is None) != (std is None):
        raise _contradiction(source, "latents_mean", mean, "both it and latents_std")


def _contradiction(source: object, field: str, value: object, expected: str) -> UserError:
    return UserError(
        f"{source} declares statistics that do not go together",
        given=f"{field}: {value!r}",
        expected=expected,
    )


def latent_stats_of(config: Mapping[str, Any], channels: int) -> LatentStats | None:
    """Return the statistics that a configuration declares, or None.

    Pipelines normalise by (z - shift_factor) * scaling_factor; where `latents_mean` and `latents_std` are there,
    by (z - latents_mean) * scaling_factor / latents_std (diffusers' StableDiffusionXLPipeline, for Playground 2.5).
    A scaling factor of 1 or none, without a shift, declares nothing.

    Args:
        config: the configuration, with the defaults of its class.
        channels: the number of channels of a latent.
    """
    scale, shift = config.get("scaling_factor") or 1.0, config.get("shift_factor") or 0.0
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:
        return LatentStats(torch.tensor(mean).flatten(), torch.tensor(std).flatten() / scale)
    if scale == 1.0 and shift == 0.0:
        return None
    return LatentStats(torch.full((channels,), float(shift)), torch.full((channels,), 1.0 / scale))


def native_statistics(config: Mapping[str, Any]) -> LatentStats | None:
    """Return the statistics that a configuration of AutoencoderKL declares. Those of AutoencoderKLFlux2 are weights."""
    if config["_class_name"] == PACKED_CLASS:
        return None
    full = {"scaling_factor": DEFAULT_SCALING, **config}
    return latent_stats_of(full, config.get("latent_channels", DEFAULT_CHANNELS))
