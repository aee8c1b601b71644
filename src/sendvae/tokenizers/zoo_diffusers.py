"""The rows of the zoo that diffusers computes. These tokenizers can be scored and generated in."""

from __future__ import annotations

from functools import partial
from typing import Any

from sendvae.tokenizers.diffusers import build_tokenizer_of, reason_of
from sendvae.tokenizers.spec import DIFFUSERS_FILES, TokenizerSpec, on_hub

UNSTATED = "see its page"  # a licence that was not looked up
# A row without fields has the defaults of its class as its published configuration.
DC_AE: dict[str, Any] = {  # mit-han-lab's dc_ae_f32c32 for "dc-ae-f32c32-sana-1.0"
    "encoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
    "decoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
    "downsample_block_type": "Conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
}
RAE_XL: dict[str, Any] = {  # RAE's decoder "ViT-XL"
    "decoder_hidden_size": 1152,
    "decoder_num_hidden_layers": 28,
    "decoder_num_attention_heads": 16,
    "decoder_intermediate_size": 4096,
}


def _row(
    name: str,
    address: str,
    kind: str,
    parameters: int,
    licence: str,
    description: str,
    paper: str | None = None,
    **fields: Any,
) -> tuple[str, TokenizerSpec]:
    weights = on_hub(name, f"hf-hub:{address}", DIFFUSERS_FILES, parameters, licence)
    build = partial(build_tokenizer_of, kind, fields)
    return name, TokenizerSpec(build, weights, description, paper, reason_of(kind))


ROWS: dict[str, TokenizerSpec] = dict(
    [
        _row(
            "dc-ae-f32c32-sana-1.0",
            "mit-han-lab/dc-ae-f32c32-sana-1.0-diffusers",
            "AutoencoderDC",
            312_250_275,
            UNSTATED,
            "DC-AE of SANA: f32, deterministic",
            "2410.10733",
            **DC_AE,
        ),
        _row(
            "qwen-image-f8d16",
            "Qwen/Qwen-Image/vae",
            "AutoencoderKLQwenImage",
            126_892_531,
            "Apache-2.0",
            "the VAE of Qwen-Image",
            "2508.02324",
        ),
        _row(
            "e2e-qwen-image-f8d16",
            "REPA-E/e2e-qwenimage-vae",
            "AutoencoderKLQwenImage",
            126_892_531,
            UNSTATED,
            "Qwen-Image's VAE tuned end to end",
            "2504.10483",
        ),
        _row(
            "wan2.1-f8d16",
            "Wan-AI/Wan2.1-T2V-1.3B-Diffusers/vae",
            "AutoencoderKLWan",
            126_892_531,
            "Apache-2.0",
            "the VAE of Wan 2.1, of one frame",
            "2503.20314",
        ),
        _row(
            "rae-dinov2-b",
            "nyu-visionx/RAE-dinov2-wReg-base-ViTXL-n08",
            "AutoencoderRAE",
            501_638_656,
            UNSTATED,
            "RAE: DINOv2-B with a ViT-XL decoder, for 256-pixel images",
            "2510.11690",
            **RAE_XL,
        ),
        _row(
            "taesd",
            "madebyollin/taesd",
            "AutoencoderTiny",
            2_445_063,
            "MIT",
            "a tiny autoencoder for SD-VAE's latents",
        ),
        _row(
            "taesd3",
            "madebyollin/taesd3",
            "AutoencoderTiny",
            2_458_899,
            "MIT",
            "a tiny autoencoder for SD3's latents",
            latent_channels=16,
        ),
        _row(
            "taef1",
            "madebyollin/taef1",
            "AutoencoderTiny",
            2_458_899,
            "MIT",
            "a tiny autoencoder for FLUX.1's latents",
            latent_channels=16,
        ),
    ]
)
