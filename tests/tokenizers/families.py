"""Every autoencoder class of diffusers at small width, with weights and statistics that no default hides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import nn

KL: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 8,
    "latent_channels": 4,
    "sample_size": 32,
}
VIDEO: dict[str, Any] = {
    "base_dim": 8,
    "z_dim": 4,
    "dim_mult": [1, 2],
    "num_res_blocks": 1,
    "temperal_downsample": [False],
    "latents_mean": [0.5, -1.0, 2.0, 0.1],
    "latents_std": [2.0, 0.5, 3.0, 1.5],
}
RAE: dict[str, Any] = {
    "encoder_hidden_size": 64,
    "encoder_num_hidden_layers": 1,
    "encoder_input_size": 56,
    "decoder_hidden_size": 32,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 64,
    "patch_size": 8,
}
# By a name of ours: the class, its fields, and the (C, h, w) of a latent of 32 x 32 pixels.
SMALL: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    "relu": (
        "AutoencoderKL",
        {**KL, "act_fn": "relu", "scaling_factor": 0.3, "shift_factor": 0.7},
        (4, 16, 16),
    ),
    "no attention": ("AutoencoderKL", {**KL, "mid_block_add_attention": False}, (4, 16, 16)),
    "FLUX.2's small decoder": (
        "AutoencoderKLFlux2",
        {**KL, "decoder_block_out_channels": (8, 24)},
        (16, 8, 8),
    ),
    "asymmetric": (
        "AsymmetricAutoencoderKL",
        {
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "down_block_out_channels": (16, 32),
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "up_block_out_channels": (24, 32),
            "norm_num_groups": 8,
            "scaling_factor": 0.25,
        },
        (4, 16, 16),
    ),
    "tiny": (
        "AutoencoderTiny",
        {
            "encoder_block_out_channels": (8, 8, 8),
            "decoder_block_out_channels": (8, 8, 8),
            "num_encoder_blocks": (1, 1, 1),
            "num_decoder_blocks": (1, 1, 1),
        },
        (4, 8, 8),
    ),
    "DC-AE": (
        "AutoencoderDC",
        {
            "latent_channels": 8,
            "attention_head_dim": 8,
            "encoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
            "decoder_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"),
            "encoder_block_out_channels": (8, 16, 16),
            "decoder_block_out_channels": (8, 16, 16),
            "encoder_layers_per_block": (1, 1, 1),
            "decoder_layers_per_block": (1, 1, 1),
            "encoder_qkv_multiscales": ((), (), (5,)),
            "decoder_qkv_multiscales": ((), (), (5,)),
            "scaling_factor": 0.41407,
        },
        (8, 8, 8),
    ),
    "HunyuanImage": (
        "AutoencoderKLHunyuanImage",
        {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "block_out_channels": (32, 64, 64),
            "layers_per_block": 1,
            "spatial_compression_ratio": 4,
            "sample_size": 32,
            "scaling_factor": 0.75289,
        },
        (4, 8, 8),
    ),
    "Qwen-Image": ("AutoencoderKLQwenImage", VIDEO, (4, 16, 16)),
    "Wan 2.1": ("AutoencoderKLWan", VIDEO, (4, 16, 16)),
    "Wan 2.2": (
        "AutoencoderKLWan",
        {
            **VIDEO,
            "dim_mult": [1, 2, 2],
            "temperal_downsample": [False, True],
            "is_residual": True,
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
        },
        (4, 4, 4),
    ),
    "RAE": ("AutoencoderRAE", RAE, (64, 4, 4)),
    "RAE of MAE": ("AutoencoderRAE", {**RAE, "encoder_type": "mae"}, (64, 4, 4)),
    "RAE by position": (
        "AutoencoderRAE",
        {
            **RAE,
            "latents_mean": torch.randn(64, 4, 4).tolist(),
            "latents_std": (torch.rand(64, 4, 4) + 0.5).tolist(),
        },
        (64, 4, 4),
    ),
    "RAE by channel": (
        "AutoencoderRAE",
        {
            **RAE,
            "latents_mean": torch.randn(1, 64, 1, 1).tolist(),
            "latents_std": (torch.rand(1, 64, 1, 1) + 0.5).tolist(),
            "scaling_factor": 0.5,
        },
        (64, 4, 4),
    ),
    "VQ": ("VQModel", {**KL, "num_vq_embeddings": 64, "vq_embed_dim": 3}, (3, 16, 16)),
}
FIXED = {name for name, (kind, _, _) in SMALL.items() if kind == "AutoencoderRAE"}  # of one image size


def save_small(name: str, folder: Path, fields: dict[str, Any] | None = None, **options: Any) -> Any:
    """Save a network of diffusers with seeded weights; return it, in evaluation mode.

    Args:
        fields: fields of its configuration, which replace those of `SMALL`.
        options: the options of diffusers' `save_pretrained`.
    """
    kind, usual, _ = SMALL[name]
    torch.manual_seed(0)
    network = getattr(diffusers, kind)(**(usual | (fields or {}))).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 2.0)
    network.save_pretrained(folder, **options)
    return network


def encode(network: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return diffusers' latent of images in [-1, 1], and its standard deviation where it is Gaussian."""
    kind = type(network).__name__
    if kind == "AutoencoderRAE":
        return network.encode(images / 2 + 0.5).latent, None
    if kind in ("AutoencoderKLQwenImage", "AutoencoderKLWan"):
        found = network.encode(images.unsqueeze(2)).latent_dist
        return found.mean.squeeze(2), found.std.squeeze(2)
    output = network.encode(images)
    if kind in ("AutoencoderTiny", "VQModel"):
        return output.latents, None
    if kind == "AutoencoderDC":
        return output.latent, None
    return output.latent_dist.mode(), output.latent_dist.std


def decode(network: Any, z: torch.Tensor) -> torch.Tensor:
    """Return diffusers' images in [-1, 1] of its own latents."""
    kind = type(network).__name__
    if kind == "AutoencoderRAE":
        return network.decode(z).sample * 2 - 1
    if kind in ("AutoencoderKLQwenImage", "AutoencoderKLWan"):
        return network.decode(z.unsqueeze(2)).sample.squeeze(2)
    return network.decode(z).sample
