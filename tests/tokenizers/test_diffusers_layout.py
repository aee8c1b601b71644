"""Configurations of AutoencoderKL: what they mean for the latents, who computes them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from sendvae.errors import UserError
from sendvae.tokenizers import TrainableTokenizer, load_tokenizer
from sendvae.tokenizers.diffusers import DiffusersTokenizer, build_network
from sendvae.tokenizers.diffusers_layout import check_statistics, is_native

SMALL: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "norm_num_groups": 8,
    "sample_size": 16,
}


def saved(folder: Path, **changes: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    network = AutoencoderKL(**{**SMALL, **changes}).eval()
    network.save_pretrained(folder)
    return network


def images() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("act_fn", ["silu", "swish"])
def test_a_supported_network_is_the_same(act_fn: str, tmp_path: Path) -> None:
    theirs = saved(tmp_path, act_fn=act_fn, force_upcast=True)
    ours = load_tokenizer(tmp_path)
    torch.testing.assert_close(ours.encode(images()).mean, theirs.encode(images()).latent_dist.mean)


@torch.no_grad()
def test_another_activation_is_computed_not_ignored(tmp_path: Path) -> None:
    theirs = saved(tmp_path / "relu", act_fn="relu")
    expected = theirs.encode(images()).latent_dist.mean
    torch.testing.assert_close(load_tokenizer(tmp_path / "relu").encode(images()).mean, expected)
    plain = saved(
        tmp_path / "silu"
    )  # the same weights: loaded as if nothing were said they give other latents
    found = plain.encode(images()).latent_dist.mean
    assert float((found - expected).norm() / expected.norm()) > 0.1


@pytest.mark.parametrize(
    ("changes", "native"),
    [
        ({}, True),
        ({"act_fn": "swish"}, True),
        ({"use_quant_conv": False}, True),
        ({"act_fn": "relu"}, False),
        ({"mid_block_add_attention": False}, False),
    ],
)
def test_what_is_computed_here_can_be_trained(changes: dict[str, Any], native: bool, tmp_path: Path) -> None:
    saved(tmp_path, **changes)
    assert isinstance(load_tokenizer(tmp_path), TrainableTokenizer) == native


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "AutoencoderTiny"}, "does not know(?s:.*)down_block_types"),
        ({"_class_name": "AutoencoderOobleck"}, "_class_name: AutoencoderOobleck(?s:.*)AutoencoderKL, "),
        ({"down_block_types": ["SkipDownBlock2D"] * 2}, "do not fit(?s:.*)resnet_down"),
        ({"up_block_types": ["no such block"] * 2}, "AutoencoderKL cannot be built"),
        ({"decoder_block_out_channels": [32]}, r"decoder_block_out_channels: \[32\]"),
        ({"latents_mean": [0.0] * 4}, "latents_std"),
        ({"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4, "shift_factor": 0.1}, "shift_factor: 0.1"),
        ({"in_channels": 4, "act_fn": "relu"}, "in_channels: 4"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_field(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_channels": None}))
    load_tokenizer(tmp_path)  # an unknown field that is not set says nothing
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(UserError, match=message):
        load_tokenizer(tmp_path)


def test_statistics_and_scaling_factor_act_together(tmp_path: Path) -> None:
    """As Playground 2.5 has them: (z - mean) * scaling_factor / std, and back."""
    mean, std = [0.5, -1.0, 2.0, 0.0], [4.0, 5.0, 8.0, 2.0]
    saved(tmp_path, latents_mean=mean, latents_std=std, scaling_factor=0.5)
    stats = load_tokenizer(tmp_path).latent_stats
    assert stats is not None
    z = torch.randn(2, 4, 3, 5)
    expected = (z - torch.tensor(mean).view(1, 4, 1, 1)) * 0.5 / torch.tensor(std).view(1, 4, 1, 1)
    torch.testing.assert_close(stats.normalize(z), expected)
    torch.testing.assert_close(stats.denormalize(expected), z)


FLUX2: dict[str, Any] = {  # black-forest-labs/FLUX.2-dev, vae/config.json
    "_class_name": "AutoencoderKLFlux2",
    "act_fn": "silu",
    "batch_norm_eps": 0.0001,
    "batch_norm_momentum": 0.1,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": 32,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "patch_size": [2, 2],
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
FLUX1: dict[str, Any] = {  # black-forest-labs/FLUX.1-schnell, vae/config.json
    **{key: FLUX2[key] for key in FLUX2.keys() - {"batch_norm_eps", "batch_norm_momentum", "patch_size"}},
    "_class_name": "AutoencoderKL",
    "latent_channels": 16,
    "latents_mean": None,
    "latents_std": None,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
WAN22: dict[str, Any] = {  # Wan-AI/Wan2.2-TI2V-5B-Diffusers, vae/config.json, without its 48 statistics
    "_class_name": "AutoencoderKLWan",
    "attn_scales": [],
    "base_dim": 160,
    "clip_output": False,
    "decoder_base_dim": 256,
    "dim_mult": [1, 2, 4, 4],
    "dropout": 0.0,
    "in_channels": 12,
    "is_residual": True,
    "num_res_blocks": 2,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "temperal_downsample": [False, True, True],
    "z_dim": 48,
}


@pytest.mark.parametrize(
    ("config", "native", "label"),
    [
        (FLUX2, True, "f16d128"),
        (FLUX1, True, "f8d16"),
        (
            {**FLUX2, "decoder_block_out_channels": [96, 192, 384, 384]},
            False,
            "f16d128",
        ),  # FLUX.2-small-decoder
        (WAN22, False, "f16d48"),
    ],
)
def test_published_configurations(config: dict[str, Any], native: bool, label: str) -> None:
    assert is_native(config) == native
    check_statistics(config, "it")
    with torch.device("meta"):
        assert DiffusersTokenizer(build_network(config, "it")).label == label
