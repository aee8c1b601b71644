"""The files that make up a tokenizer: weights, configuration, statistics and discriminator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sendvae.errors import UserError
from sendvae.weights import SUFFIXES, read_weight_file

CONFIG = "config.json"
WEIGHTS = "model.safetensors"  # the name in our own folders
INDEX = ".index"  # part of the name of a file that lists the shards of the weights
# The usual names of weights, in order of preference. Those after the first are diffusers', the fp16 ones its variants
# in half precision.
USUAL = (
    WEIGHTS,
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
)
DESCRIBED = ("model.", "diffusion_pytorch_model.")  # a config.json beside such files describes them
# The folders in which a training run and a diffusers pipeline keep their VAE.
INNER = ("tokenizer", "vae")
STATISTICS, DISCRIMINATOR = "-latents-stats", "-discriminator-ckpt"  # REPA-E's side files: STEM + this + .pt
COMMON_STATISTICS = "latents_stats.pt"  # LightningDiT's name, for weights of any name


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of one tokenizer, of which only the weights must exist.

    Attributes:
        weights: the weight file, or the index of several shards.
        shards: the shards that the index lists.
        config: the `config.json` that describes the weights.
        statistics: the side file with the statistics of the latents.
        discriminator: the side file with the discriminator.
    """

    weights: Path
    shards: tuple[Path, ...] = ()
    config: Path | None = None
    statistics: Path | None = None
    discriminator: Path | None = None

    @property
    def present(self) -> tuple[Path, ...]:
        """Return all files that are there, the weights first."""
        found = (self.weights, *self.shards, self.config, self.statistics, self.discriminator)
        return tuple(path for path in found if path is not None)


def files_beside(weights: Path) -> TokenizerFiles:
    """Return a weight file with the files that belong to it: shards, the configuration of its folder, side files."""
    found = {
        role: next((path for name in names if (path := weights.with_name(name)).is_file()), None)
        for role, names in _companions(weights.name).items()
    }
    names = [path.name for path in weights.parent.iterdir()] if INDEX in weights.name else []
    shards = tuple(weights.with_name(name) for name in _shards(weights.name, sorted(names)))
    return TokenizerFiles(weights, shards, **found)


def choose_files(names: list[str], main: str | None = None) -> list[str]:
    """Return the names of the files that make up a tokenizer, the weights first; an empty list without weights.

    Args:
        names: the names of the files of a folder, and of files in its folders as "FOLDER/NAME".
        main: the name of the weights, if it is known. Otherwise they are looked for, first where a run or a
            pipeline keeps its VAE.

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
    shards = _shards(weights, here)
    beside = [name for candidates in _companions(weights).values() for name in candidates]
    return [inner + weights, *(inner + name for name in (*shards, *beside) if name in here)]


def _shards(weights: str, names: Iterable[str]) -> list[str]:
    """Return the names that are shards of the index `weights`; an empty list if `weights` is no index."""
    stem, found, rest = weights.partition(f".safetensors{INDEX}")
    if not found:
        return []
    variant = rest.removesuffix(".json")  # "" or ".fp16"
    pattern = re.compile(re.escape(f"{stem}{variant}") + r"-\d{5}-of-\d{5}\.safetensors")
    return [name for name in names if pattern.fullmatch(name)]


def _companions(weights: str) -> dict[str, tuple[str, ...]]:
    """Return the possible names of the other files of a tokenizer, by role."""
    stem = Path(weights).stem
    return {
        "config": (CONFIG,) if weights.startswith(DESCRIBED) else (),
        "statistics": (f"{stem}{STATISTICS}.pt", COMMON_STATISTICS),
        "discriminator": (f"{stem}{DISCRIMINATOR}.pt",),
    }


def _main_file(names: Iterable[str]) -> str | None:
    """Return the name of the file that holds the VAE among the files of a folder, or None.

    Raises:
        UserError: several files could be the weights.
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


def read_weights(files: TokenizerFiles) -> dict[str, Any]:
    """Return the content of the weight file, or of all shards that its index lists.

    Raises:
        UserError: a file is damaged or missing, or holds Python objects that are not trusted.
    """
    if INDEX not in files.weights.name:
        return read_weight_file(files.weights)
    index = read_json(files.weights).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(name, str) for name in index.values()):
        raise UserError(f"{files.weights} is no index of weights", expected="weight_map: names to files")
    here, listed = {path.name: path for path in files.shards}, sorted(set(index.values()))
    if missing := [name for name in listed if name not in here]:
        raise UserError(
            f"weights that {files.weights} lists are missing",
            given=f"no {', '.join(missing)}",
            next_step="download the whole folder again",
        )
    return {key: value for name in listed for key, value in read_weight_file(here[name]).items()}


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        UserError: the file is damaged, or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged", given=error, next_step="copy or export it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is no configuration", given=type(content).__name__, expected="an object")
    return content
