"""The configuration of diffusers' AutoencoderKL: written from an architecture, read for its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sendvae.tokenizers.autoencoder import Architecture
from sendvae.tokenizers.statistics import LatentStats

CLASS = "AutoencoderKL"
DEFAULT_SCALING = 0.18215  # AutoencoderKL's own default, Stable Diffusion's value


def diffusers_config(architecture: Architecture, stats: LatentStats | None) -> dict[str, Any]:
    """Return the `config.json` of a diffusers folder.

    Statistics equal in all channels become `scaling_factor` and `shift_factor`, which every pipeline applies;
    others go into `latents_mean` and `latents_std`.
    """
    attention = [attends for _, attends in architecture.levels]
    config: dict[str, Any] = {
        "_class_name": CLASS,
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
        "scaling_factor": 1.0,
        "shift_factor": None,
        "latents_mean": None,
        "latents_std": None,
    }
    return config | diffusers_statistics(stats)


def diffusers_statistics(stats: LatentStats | None) -> dict[str, Any]:
    """Return the fields that declare statistics; none for None."""
    if stats is None:
        return {}
    if bool((stats.mean == stats.mean[0]).all()) and bool((stats.std == stats.std[0]).all()):
        shift = float(stats.mean[0])
        return {"scaling_factor": 1.0 / float(stats.std[0]), "shift_factor": shift or None}
    return {"latents_mean": stats.mean.tolist(), "latents_std": stats.std.tolist()}


def is_diffusers_config(config: Mapping[str, Any]) -> bool:
    return config.get("_class_name") == CLASS


def latent_stats_of(config: Mapping[str, Any]) -> LatentStats | None:
    """Statistics that a diffusers configuration declares; a scaling factor of 1 without shift declares none."""
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and std is not None:
        return LatentStats(torch.tensor(mean).flatten(), torch.tensor(std).flatten())
    scale, shift = config.get("scaling_factor", DEFAULT_SCALING), config.get("shift_factor") or 0.0
    if scale == 1.0 and shift == 0.0:
        return None
    channels = config.get("latent_channels", 4)
    return LatentStats(torch.full((channels,), float(shift)), torch.full((channels,), 1.0 / scale))
