"""Tokenizers by name: architecture, where the weights are, licence, paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sendvae.registry import Registry


@dataclass(frozen=True)
class TokenizerSpec:
    """A row of the zoo.

    Attributes:
        architecture: name in `ARCHITECTURES`.
        source: "package:FOLDER" for weights that ship with sendvae, or "hf-hub:OWNER/REPOSITORY[/FILE]".
        licence: of the weights.
        description: one line for people.
        parameters: of encoder, decoder and the two 1x1 convolutions.
        paper: arXiv identifier, where there is one.
        files: of the source that belong to it, the weights first; "*" where the makers do not document a name.
    """

    architecture: str
    source: str
    licence: str
    description: str
    parameters: int
    paper: str | None = None
    files: tuple[str, ...] = ()

    @property
    def packaged(self) -> Path | None:
        """The folder inside this package, if the weights ship with it."""
        if not self.source.startswith("package:"):
            return None
        return Path(__file__).parent / self.source.removeprefix("package:")


F8D4, F16D32 = 83_653_863, 69_836_067
DIFFUSERS_FILES = ("diffusion_pytorch_model.safetensors", "config.json")


def _repa_e_files(stem: str) -> tuple[str, ...]:
    """What REPA-E publishes for a VAE: weights, statistics of its latents, discriminator."""
    return (f"{stem}.pt", f"{stem}-latents-stats.pt", f"{stem}-discriminator-ckpt.pt")


TOKENIZERS: Registry[TokenizerSpec] = Registry(
    "tokenizer",
    {
        "demo-f8d16": TokenizerSpec(
            architecture="demo-f8d16",
            source="package:weights/demo-f8d16",
            licence="Apache-2.0",
            description="the demo's base: f8, 16 channels, trained on 64-pixel emoji by the preset demo/base",
            parameters=2_768_355,
            files=("model.safetensors", "config.json"),
        ),
        "sd-vae-ft-mse": TokenizerSpec(
            "f8d4",
            "hf-hub:stabilityai/sd-vae-ft-mse",
            "MIT",
            "Stable Diffusion's VAE, decoder fine-tuned with a stronger MSE",
            F8D4,
            "2112.10752",
            DIFFUSERS_FILES,
        ),
        "sd-vae-ft-ema": TokenizerSpec(
            "f8d4",
            "hf-hub:stabilityai/sd-vae-ft-ema",
            "MIT",
            "Stable Diffusion's VAE, decoder fine-tuned, EMA weights",
            F8D4,
            "2112.10752",
            DIFFUSERS_FILES,
        ),
        "sdvae-f8d4": TokenizerSpec(
            "f8d4",
            "hf-hub:REPA-E/sdvae/sdvae-f8d4.pt",
            "MIT",
            "SD-VAE as REPA-E and Send-VAE start from it, with statistics and discriminator",
            F8D4,
            "2504.10483",
            _repa_e_files("sdvae-f8d4"),
        ),
        "invae-f16d32": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/invae",
            "MIT",
            "IN-VAE: trained on ImageNet without alignment",
            F16D32,
            "2504.10483",
            _repa_e_files("*"),
        ),
        "vavae-f16d32": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/vavae",
            "MIT",
            "VA-VAE as REPA-E repackaged it, with statistics and discriminator",
            F16D32,
            "2501.01423",
            _repa_e_files("*"),
        ),
        "vavae-f16d32-lightningdit": TokenizerSpec(
            "f16d32",
            "hf-hub:hustvl/vavae-imagenet256-f16d32-dinov2/vavae-imagenet256-f16d32-dinov2.pt",
            "MIT",
            "VA-VAE as released, with projection and discriminator",
            F16D32,
            "2501.01423",
            ("vavae-imagenet256-f16d32-dinov2.pt", "latents_stats.pt"),
        ),
        "e2e-sdvae-f8d4": TokenizerSpec(
            "f8d4",
            "hf-hub:REPA-E/e2e-sdvae/e2e-sdvae-400k.pt",
            "MIT",
            "SD-VAE tuned end to end with a SiT",
            F8D4,
            "2504.10483",
            _repa_e_files("e2e-sdvae-400k"),
        ),
        "e2e-sdvae-f8d4-hf": TokenizerSpec(
            "f8d4",
            "hf-hub:REPA-E/e2e-sdvae-hf",
            "MIT",
            "SD-VAE tuned end to end, as its makers' diffusers folder",
            F8D4,
            "2504.10483",
            DIFFUSERS_FILES,
        ),
        "e2e-invae-f16d32": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/e2e-invae/e2e-invae-400k.pt",
            "MIT",
            "IN-VAE tuned end to end with a SiT",
            F16D32,
            "2504.10483",
            _repa_e_files("e2e-invae-400k"),
        ),
        "e2e-invae-f16d32-hf": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/e2e-invae-hf",
            "MIT",
            "IN-VAE tuned end to end, as its makers' diffusers folder",
            F16D32,
            "2504.10483",
            DIFFUSERS_FILES,
        ),
        "e2e-vavae-f16d32": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/e2e-vavae/e2e-vavae-400k.pt",
            "MIT",
            "VA-VAE tuned end to end with a SiT",
            F16D32,
            "2504.10483",
            _repa_e_files("e2e-vavae-400k"),
        ),
        "e2e-vavae-f16d32-hf": TokenizerSpec(
            "f16d32",
            "hf-hub:REPA-E/e2e-vavae-hf",
            "MIT",
            "VA-VAE tuned end to end, as its makers' diffusers folder",
            F16D32,
            "2504.10483",
            DIFFUSERS_FILES,
        ),
    },
)
