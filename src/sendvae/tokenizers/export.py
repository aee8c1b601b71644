"""Exporting a tokenizer for diffusers, for latent-diffusion's scripts or as our own folder, with a model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sendvae.errors import UserError
from sendvae.files import new_folder
from sendvae.registry import Registry
from sendvae.tokenizers.autoencoder import Autoencoder
from sendvae.tokenizers.batch_norm import to_batch_norm
from sendvae.tokenizers.diffusers import DiffusersTokenizer
from sendvae.tokenizers.diffusers_keys import to_diffusers_state_dict
from sendvae.tokenizers.diffusers_layout import (
    PACKED_CLASS,
    diffusers_class,
    diffusers_config,
    diffusers_statistics,
)
from sendvae.tokenizers.files import CONFIG, STATISTICS
from sendvae.tokenizers.protocol import Tokenizer
from sendvae.tokenizers.save import stored, write_folder, write_safetensors

Card = Mapping[str, Any]
LICENCE_FIELDS = ("licence", "license")


def export_tokenizer(
    tokenizer: Tokenizer,
    folder: Path,
    layout: str,
    card: Card | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a folder in the layout of another project or ours, with a model card. It appears whole or not at all.

    Args:
        tokenizer: the tokenizer, of latent-diffusion's architecture.
        folder: the folder to write; an old one is replaced.
        layout: "diffusers" (for `AutoencoderKL.from_pretrained`), "ldm" (FOLDER.pt and
            FOLDER-latents-stats.pt, as latent-diffusion's and REPA-E's scripts read them) or "safetensors"
            (ours).
        card: sections of the model card by title, such as what the weights were trained on, metrics and "licence".
        dtype: the number format in which weights are stored.

    Raises:
        UserError: the layout is unknown, the tokenizer is not of latent-diffusion's architecture, or it packs its
            latents and their statistics are unknown or do not fit the layout.
    """
    write, network = LAYOUTS[layout], _exportable(tokenizer)
    with new_folder(folder) as temporary:
        write(network, temporary, folder.name, card or {}, dtype)
        (temporary / "README.md").write_text(model_card(network, folder.name, layout, card or {}))


def _exportable(tokenizer: Tokenizer) -> Autoencoder:
    if not isinstance(tokenizer, Autoencoder):
        raise UserError(
            "only a VAE of latent-diffusion's architecture can be exported",
            given=str(tokenizer.identity.get("class", type(tokenizer).__name__)),
            next_step="copy the folder or file that it was loaded from",
        )
    return tokenizer


def _diffusers(tokenizer: Autoencoder, folder: Path, name: str, card: Card, dtype: torch.dtype) -> None:
    del name, card
    config = diffusers_config(tokenizer.architecture, tokenizer.latent_stats)
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    weights = to_diffusers_state_dict(stored(tokenizer, dtype)) | _packed_statistics(tokenizer)
    write_safetensors(weights, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def _ldm(tokenizer: Autoencoder, folder: Path, name: str, card: Card, dtype: torch.dtype) -> None:
    del card
    torch.save(stored(tokenizer, dtype) | _packed_statistics(tokenizer), folder / f"{name}.pt")
    if stats := tokenizer.latent_stats:
        side = {"latents_scale": stats.std.reciprocal(), "latents_bias": stats.mean}
        torch.save(
            {key: value[None, :, None, None].clone() for key, value in side.items()},
            folder / f"{name}{STATISTICS}.pt",
        )


def _packed_statistics(tokenizer: Autoencoder) -> dict[str, Tensor]:
    """Return the statistics as weights for a tokenizer that packs its latents; an empty dict for any other.

    Raises:
        UserError: the statistics are not known, or FLUX.2's layout cannot hold them.
    """
    if tokenizer.architecture.packing == 1:
        return {}
    if tokenizer.latent_stats is None:
        raise UserError(
            f"{PACKED_CLASS} needs the statistics of its latents",
            given="none",
            next_step="train the tokenizer, which measures them, or export it --to safetensors",
        )
    return to_batch_norm(tokenizer.latent_stats)


def _safetensors(tokenizer: Autoencoder, folder: Path, name: str, card: Card, dtype: torch.dtype) -> None:
    del name
    write_folder(tokenizer, folder, card, dtype)


LAYOUTS: Registry[Callable[[Autoencoder, Path, str, Card, torch.dtype], None]] = Registry(
    "export layout", {"diffusers": _diffusers, "ldm": _ldm, "safetensors": _safetensors}
)


def write_component(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a tokenizer of any kind into an existing folder, from which `load_tokenizer` reads it.

    A tokenizer that diffusers has a class for is written in diffusers' layout, any other in ours.

    Raises:
        UserError: the tokenizer packs its latents but has no statistics.
    """
    if isinstance(tokenizer, Autoencoder):
        _diffusers(tokenizer, folder, folder.name, {}, torch.float32)
    elif isinstance(tokenizer, DiffusersTokenizer):
        tokenizer.network.save_pretrained(folder)
    else:
        write_folder(tokenizer, folder, None, torch.float32)


def model_card(tokenizer: Autoencoder, name: str, layout: str, card: Card) -> str:
    """Return a README.md with the hub's front matter, the network's shape, its statistics and the card's sections."""
    architecture = tokenizer.architecture
    licence = next((card[key] for key in LICENCE_FIELDS if key in card), None)
    front = ["library_name: " + ("diffusers" if layout == "diffusers" else "sendvae")]
    front += [f"license: {str(licence).lower()}"] if licence else []
    count = sum(p.numel() for p in tokenizer.parameters())
    lines = ["---", *front, "tags: [vae, image-tokenizer, latent-diffusion]", "---", f"# {name}", ""]
    lines += [
        f"An image tokenizer (VAE) of {count:,} parameters, for images in [-1, 1].",
        f"Latents have {architecture.latent_channels} channels at 1/{architecture.downsampling} of the resolution.",
        "",
    ]
    if stats := tokenizer.latent_stats:
        lines += [
            "Diffusion models should see `(z - mean) / std`, channel by channel:",
            *_block(json.dumps(stats.document())),
        ]
    lines += ["## How to load it", "", "```python", usage(tokenizer, Path(name), layout), "```", ""]
    for title, content in card.items():
        lines += [f"## {title}", ""]
        plain = isinstance(content, str) and "\n" not in content
        lines += [content, ""] if plain else _block(_text(content))
    return "\n".join(lines)


def usage(tokenizer: Tokenizer, folder: Path, layout: str) -> str:
    """Return Python code that loads an exported folder, encodes `images` to normalised latents and decodes them.

    The code takes `images` of shape (B, 3, H, W) in [-1, 1].
    """
    if layout == "diffusers":
        return "\n".join(_diffusers_usage(_exportable(tokenizer), folder))
    target = folder / f"{folder.name}.pt" if layout == "ldm" else folder
    lines = [
        "from sendvae.tokenizers import load_tokenizer",
        "",
        f'tokenizer = load_tokenizer("{target}")',
        "z = tokenizer.encode(images).sample()",
    ]
    if tokenizer.latent_stats:
        lines += ["latents = tokenizer.latent_stats.normalize(z)  # what a diffusion model should see"]
    return "\n".join([*lines, "reconstruction = tokenizer.decode(z)"])


def _diffusers_usage(tokenizer: Autoencoder, folder: Path) -> list[str]:
    name, side = diffusers_class(tokenizer.architecture), tokenizer.architecture.packing
    lines = ["import torch"] if side == 1 else ["import torch.nn.functional as F"]
    lines += [
        f"from diffusers import {name}",
        "",
        f'vae = {name}.from_pretrained("{folder}").eval()',
        "z = vae.encode(images).latent_dist.sample()",
    ]
    if side > 1:
        return [
            *lines,
            f"z = F.pixel_unshuffle(z, {side})",
            "mean = vae.bn.running_mean[:, None, None]",
            "std = (vae.bn.running_var + vae.config.batch_norm_eps).sqrt()[:, None, None]",
            "latents = (z - mean) / std  # what a diffusion model should see",
            f"reconstruction = vae.decode(F.pixel_shuffle(latents * std + mean, {side})).sample",
        ]
    if "latents_mean" in diffusers_statistics(tokenizer.latent_stats):
        return [
            *lines,
            "mean = torch.tensor(vae.config.latents_mean)[:, None, None]",
            "std = torch.tensor(vae.config.latents_std)[:, None, None]",
            "latents = (z - mean) / std  # what a diffusion model should see",
            "reconstruction = vae.decode(latents * std + mean).sample",
        ]
    return [
        *lines,
        "shift, scale = vae.config.shift_factor or 0.0, vae.config.scaling_factor",
        "latents = (z - shift) * scale  # what a diffusion model should see",
        "reconstruction = vae.decode(latents / scale + shift).sample",
    ]


def _block(text: str) -> list[str]:
    return ["```", text.rstrip(), "```", ""]


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, indent=1)
