"""The zoo: tokenizers by name, with how each is built, its weights and its paper."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sendvae.registry import Registry
from sendvae.tokenizers import maetok, patches, softvq
from sendvae.tokenizers.autoencoder import build_tokenizer
from sendvae.tokenizers.files import choose_files
from sendvae.tokenizers.maetok import MAETok
from sendvae.tokenizers.patches import PIXELS, PatchTokenizer
from sendvae.tokenizers.softvq import SoftVQ
from sendvae.tokenizers.spec import DIFFUSERS_FILES, TokenizerSpec, on_hub
from sendvae.tokenizers.zoo_diffusers import ROWS
from sendvae.weights import Shipped, Weights

F8D4, F16D32, F8D16, F16D128 = 83_653_863, 69_836_067, 83_819_683, 84_046_115  # parameters
DEMO_F8D16 = 2_768_355
PATCH = 8  # the side of the controls' patches, in pixels
MAETOK = 173_102_624  # nothing reads the others of the 173,891,360 in its file
SOFTVQ = 608_136_992  # those of softvq-l-64, without what only its training reads


def _repa_e_files(stem: str) -> tuple[str, ...]:
    """Return the names of REPA-E's files for a VAE: weights, statistics of its latents, discriminator."""
    return (f"{stem}.pt", f"{stem}-latents-stats.pt", f"{stem}-discriminator-ckpt.pt")


def _in_package(name: str, parameters: int) -> Weights:
    """Return weights that are part of this package."""
    return Weights(
        name=name,
        source=Shipped(Path(__file__).parent / "weights" / name),
        files=("model.safetensors", "config.json"),
        licence="Apache-2.0",
        parameters=parameters,
        choose=choose_files,
    )


def _shipped(name: str, description: str) -> TokenizerSpec:
    """Return a row for weights of the demo's architecture that are part of this package."""
    return TokenizerSpec(partial(build_tokenizer, "demo-f8d16"), _in_package(name, DEMO_F8D16), description)


def _control(name: str, channels: int, description: str) -> TokenizerSpec:
    """Return a row without a network: a linear map of patches of 8 x 8 pixels."""
    values = PIXELS * PATCH**2
    return TokenizerSpec(
        partial(PatchTokenizer, PATCH, channels),
        _in_package(name, channels * values + values),
        description,
        untrainable=patches.UNTRAINABLE,
    )


TOKENIZERS: Registry[TokenizerSpec] = Registry(
    "tokenizer",
    {
        "demo-f8d16": _shipped(
            "demo-f8d16",
            "the demo's base: f8, 16 channels, trained on 64-pixel emoji by the preset demo/base",
        ),
        "demo-plain": _shipped(
            "demo-plain", "the demo's base, fine-tuned without alignment by the preset shipped/demo-plain"
        ),
        "demo-direct": _shipped(
            "demo-direct", "the demo's base, aligned directly as VA-VAE by the preset shipped/demo-direct"
        ),
        "demo-mapper": _shipped(
            "demo-mapper", "the demo's base, Send-VAE without noise, by the preset shipped/demo-mapper"
        ),
        "demo-send-vae": _shipped(
            "demo-send-vae", "the demo's base, fine-tuned as Send-VAE by the preset shipped/demo-send-vae"
        ),
        "sd-vae-ft-mse": TokenizerSpec(
            partial(build_tokenizer, "f8d4"),
            on_hub("sd-vae-ft-mse", "hf-hub:stabilityai/sd-vae-ft-mse", DIFFUSERS_FILES, F8D4),
            "Stable Diffusion's VAE, decoder fine-tuned with a stronger MSE",
            "2112.10752",
        ),
        "sd-vae-ft-ema": TokenizerSpec(
            partial(build_tokenizer, "f8d4"),
            on_hub("sd-vae-ft-ema", "hf-hub:stabilityai/sd-vae-ft-ema", DIFFUSERS_FILES, F8D4),
            "Stable Diffusion's VAE, decoder fine-tuned, EMA weights",
            "2112.10752",
        ),
        "sdvae-f8d4": TokenizerSpec(
            partial(build_tokenizer, "f8d4"),
            on_hub("sdvae-f8d4", "hf-hub:REPA-E/sdvae/sdvae-f8d4.pt", _repa_e_files("sdvae-f8d4"), F8D4),
            "SD-VAE as REPA-E and Send-VAE start from it, with statistics and discriminator",
            "2504.10483",
        ),
        "invae-f16d32": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub("invae-f16d32", "hf-hub:REPA-E/invae", _repa_e_files("*"), F16D32),
            "IN-VAE: trained on ImageNet without alignment",
            "2504.10483",
        ),
        "vavae-f16d32": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub("vavae-f16d32", "hf-hub:REPA-E/vavae", _repa_e_files("*"), F16D32),
            "VA-VAE as REPA-E repackaged it, with statistics and discriminator",
            "2501.01423",
        ),
        "vavae-f16d32-lightningdit": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub(
                "vavae-f16d32-lightningdit",
                "hf-hub:hustvl/vavae-imagenet256-f16d32-dinov2/vavae-imagenet256-f16d32-dinov2.pt",
                ("vavae-imagenet256-f16d32-dinov2.pt", "latents_stats.pt"),
                F16D32,
            ),
            "VA-VAE as released, with projection and discriminator",
            "2501.01423",
        ),
        "e2e-sdvae-f8d4": TokenizerSpec(
            partial(build_tokenizer, "f8d4"),
            on_hub(
                "e2e-sdvae-f8d4",
                "hf-hub:REPA-E/e2e-sdvae/e2e-sdvae-400k.pt",
                _repa_e_files("e2e-sdvae-400k"),
                F8D4,
            ),
            "SD-VAE tuned end to end with a SiT",
            "2504.10483",
        ),
        "e2e-sdvae-f8d4-hf": TokenizerSpec(
            partial(build_tokenizer, "f8d4"),
            on_hub("e2e-sdvae-f8d4-hf", "hf-hub:REPA-E/e2e-sdvae-hf", DIFFUSERS_FILES, F8D4),
            "SD-VAE tuned end to end, as its makers' diffusers folder",
            "2504.10483",
        ),
        "e2e-invae-f16d32": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub(
                "e2e-invae-f16d32",
                "hf-hub:REPA-E/e2e-invae/e2e-invae-400k.pt",
                _repa_e_files("e2e-invae-400k"),
                F16D32,
            ),
            "IN-VAE tuned end to end with a SiT",
            "2504.10483",
        ),
        "e2e-invae-f16d32-hf": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub("e2e-invae-f16d32-hf", "hf-hub:REPA-E/e2e-invae-hf", DIFFUSERS_FILES, F16D32),
            "IN-VAE tuned end to end, as its makers' diffusers folder",
            "2504.10483",
        ),
        "e2e-vavae-f16d32": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub(
                "e2e-vavae-f16d32",
                "hf-hub:REPA-E/e2e-vavae/e2e-vavae-400k.pt",
                _repa_e_files("e2e-vavae-400k"),
                F16D32,
            ),
            "VA-VAE tuned end to end with a SiT",
            "2504.10483",
        ),
        "e2e-vavae-f16d32-hf": TokenizerSpec(
            partial(build_tokenizer, "f16d32"),
            on_hub("e2e-vavae-f16d32-hf", "hf-hub:REPA-E/e2e-vavae-hf", DIFFUSERS_FILES, F16D32),
            "VA-VAE tuned end to end, as its makers' diffusers folder",
            "2504.10483",
        ),
        "sd3.5-f8d16": TokenizerSpec(
            partial(build_tokenizer, "f8d16"),
            on_hub(
                "sd3.5-f8d16",
                "hf-hub:stabilityai/stable-diffusion-3.5-medium/vae",
                DIFFUSERS_FILES,
                F8D16,
                "Stability AI Community",
            ),
            "the VAE of Stable Diffusion 3 and 3.5",
            "2403.03206",
        ),
        "flux1-f8d16": TokenizerSpec(
            partial(build_tokenizer, "f8d16"),
            on_hub(
                "flux1-f8d16",
                "hf-hub:black-forest-labs/FLUX.1-schnell/vae",
                DIFFUSERS_FILES,
                F8D16,
                "Apache-2.0",
            ),
            "the VAE of FLUX.1",
        ),
        "flux2-f16d128": TokenizerSpec(
            partial(build_tokenizer, "f16d128"),
            on_hub(
                "flux2-f16d128",
                "hf-hub:black-forest-labs/FLUX.2-dev/vae",
                DIFFUSERS_FILES,
                F16D128,
                "Apache-2.0",
            ),
            "the VAE of FLUX.2, in the packed space that its diffusion models see",
        ),
        "e2e-sd3.5-f8d16": TokenizerSpec(
            partial(build_tokenizer, "f8d16"),
            on_hub("e2e-sd3.5-f8d16", "hf-hub:REPA-E/e2e-sd3.5-vae", DIFFUSERS_FILES, F8D16, "see its page"),
            "SD3.5's VAE tuned end to end",
            "2504.10483",
        ),
        "e2e-flux1-f8d16": TokenizerSpec(
            partial(build_tokenizer, "f8d16"),
            on_hub("e2e-flux1-f8d16", "hf-hub:REPA-E/e2e-flux-vae", DIFFUSERS_FILES, F8D16, "see its page"),
            "FLUX.1's VAE tuned end to end",
            "2504.10483",
        ),
        "demo-pca": _control(
            "demo-pca", 16, "a control: the 16 leading principal components of 64-pixel emoji's 8 x 8 patches"
        ),
        "demo-pixels": _control("demo-pixels", 192, "a control: the pixels of 8 x 8 patches as channels"),
        "maetok-b-128": TokenizerSpec(
            MAETok,
            on_hub(
                "maetok-b-128",
                "hf-hub:MAETok/maetok-b-128",
                ("model.safetensors", "config.json"),
                MAETOK,
                "Apache-2.0",
            ),
            "MAETok: 128 tokens of 32 dimensions without a grid",
            "2502.03444",
            maetok.UNTRAINABLE,
        ),
        "softvq-l-64": TokenizerSpec(
            SoftVQ,
            on_hub(
                "softvq-l-64",
                "hf-hub:SoftVQVAE/softvq-l-64",
                ("model.safetensors", "config.json"),
                SOFTVQ,
                "Apache-2.0",
            ),
            "SoftVQ: 64 tokens of 32 dimensions without a grid, averages of a codebook",
            "2412.10958",
            softvq.UNTRAINABLE,
        ),
        **ROWS,
    },
)
