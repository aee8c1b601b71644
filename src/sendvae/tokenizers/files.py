"""Which files make up a tokenizer: the weights, their configuration, statistics and discriminator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sendvae.errors import UserError
from sendvae.weights import SUFFIXES

CONFIG = "config.json"
WEIGHTS = "model.safetensors"  # as our own folders call them
# In order of preference; the last two are diffusers'.
USUAL = (WEIGHTS, "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
DESCRIBED = ("model.", "diffusion_pytorch_model.")  # files that the config.json beside them is about
# Folders in which a training run, and a diffusers pipeline, keep their VAE.
INNER = ("tokenizer", "vae")
STATISTICS, DISCRIMINATOR = "-latents-stats", "-discriminator-ckpt"  # REPA-E's side files: STEM + this + .pt
COMMON_STATISTICS = "latents_stats.pt"  # LightningDiT's name, whatever the weights are called


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of one tokenizer; only the weights must exist."""

    weights: Path
    config: Path | None = None
    statistics: Path | None = None
    discriminator: Path | None = None


def files_beside(weights: Path) -> TokenizerFiles:
    """Return a weight file with what belongs to it: the configuration of its folder, side files."""
    found = {
        role: next((path for name in names if (path := weights.with_name(name)).is_file()), None)
        for role, names in _companions(weights.name).items()
    }
    return TokenizerFiles(weights, **found)


def choose_files(names: list[str], main: str | None = None) -> list[str]:
    """Return the names that make up a tokenizer, the weights first; none if there are no weights.

    Args:
        names: of the files of a folder, and of files in its folders as "FOLDER/NAME".
        main: name of the weights, if it is known; else they are looked for, first where a run or a pipeline
            keeps its VAE.

    Raises:
        UserError: several files could be the weights.
    """
    if main is None:
        inner = next((f"{folder}/" for folder in INNER if f"{folder}/{CONFIG}" in names), "")
        here = [name.removeprefix(inner) for name in names if name.startswith(inner)]
    else:
        inner, here = "", names
    weights = main if main is not None else _main_file(name for name in here if "/" not in name)
    if weights is None or weights not in here:
        return []
    beside = [name for candidates in _companions(weights).values() for name in candidates]
    return [inner + weights, *(inner + name for name in beside if name in here)]


def _companions(weights: str) -> dict[str, tuple[str, ...]]:
    """Return the names that the other files of a tokenizer may have, by their role."""
    stem = Path(weights).stem
    return {
        "config": (CONFIG,) if weights.startswith(DESCRIBED) else (),
        "statistics": (f"{stem}{STATISTICS}.pt", COMMON_STATISTICS),
        "discriminator": (f"{stem}{DISCRIMINATOR}.pt",),
    }


def _main_file(names: Iterable[str]) -> str | None:
    """Return the one with the VAE among the files of a folder.

    Raises:
        UserError: several could be meant.
    """
    names = list(names)
    for usual in USUAL:
        if usual in names:
            return usual
    candidates = [
        name
        for name in sorted(names)
        if name.endswith(SUFFIXES)
        and name != COMMON_STATISTICS
        and STATISTICS not in name
        and DISCRIMINATOR not in name
    ]
    if len(candidates) > 1:
        raise UserError(
            "several files could be the tokenizer", given=", ".join(candidates), next_step="name one of them"
        )
    return candidates[0] if candidates else None
