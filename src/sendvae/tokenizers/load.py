"""Tokenizers on disk: a folder of `config.json` and `model.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sendvae.errors import UserError
from sendvae.files import new_folder
from sendvae.registry import unknown_name
from sendvae.tokenizers.autoencoder import Architecture, Autoencoder
from sendvae.tokenizers.statistics import LatentStats
from sendvae.tokenizers.zoo import TOKENIZERS

CONFIG, WEIGHTS = "config.json", "model.safetensors"
EXPORTED = "tokenizer"  # where a training run keeps its result


def load_tokenizer(source: str | Path) -> Autoencoder:
    """A tokenizer by zoo name, exported folder, or training run; strict, float32, in evaluation mode.

    Raises:
        UserError: unknown name, missing or damaged file, or weights that do not fit the architecture.
    """
    folder = _folder(source)
    try:
        config = json.loads((folder / CONFIG).read_text())
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} is not a tokenizer",
            given=f"no {Path(error.filename).name}",
            expected=f"{CONFIG} and {WEIGHTS}",
        ) from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise UserError(
            f"a file in {folder} is damaged", given=error, next_step="copy or export it again"
        ) from None
    shape: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in config["architecture"].items()
    }
    stats = config.get("latent_stats")
    tokenizer = Autoencoder(
        Architecture(**shape),
        LatentStats(torch.tensor(stats["mean"]), torch.tensor(stats["std"])) if stats else None,
    )
    load_strictly(tokenizer, {name: tensor.float() for name, tensor in weights.items()}, folder)
    return tokenizer.eval()


def load_strictly(tokenizer: Autoencoder, weights: Mapping[str, Tensor], source: object) -> None:
    """Loads weights whose names and shapes fit exactly.

    Raises:
        UserError: one error that lists missing, unexpected and mis-shaped keys.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in tokenizer.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    faults = {
        "missing": sorted(expected.keys() - given.keys()),
        "unexpected": sorted(given.keys() - expected.keys()),
        "mis-shaped": [
            f"{name} {given[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & given.keys())
            if expected[name] != given[name]
        ],
    }
    if any(faults.values()):
        lines = [
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in faults.items()
            if names
        ]
        raise UserError(f"the weights in {source} do not fit the architecture", given="; ".join(lines))
    tokenizer.load_state_dict(dict(weights))


def save_tokenizer(
    tokenizer: Autoencoder,
    folder: Path,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Writes a folder that `load_tokenizer` reads; it appears whole or not at all.

    Args:
        card: anything worth knowing about the weights (JSON), kept in the configuration.
        dtype: storage format; torch.float16 halves the file.
    """
    stats = tokenizer.latent_stats
    config = {
        "architecture": asdict(tokenizer.architecture),
        "latent_stats": {"mean": stats.mean.tolist(), "std": stats.std.tolist()} if stats else None,
        "card": dict(card or {}),
    }
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tokenizer.state_dict().items()
    }
    with new_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        save_file(weights, temporary / WEIGHTS)


def _folder(source: str | Path) -> Path:
    path = Path(source)
    if (path / EXPORTED / CONFIG).is_file():
        return path / EXPORTED
    if path.is_dir():
        return path
    if str(source) in TOKENIZERS:
        return TOKENIZERS[str(source)].folder
    raise unknown_name("tokenizer (and no such folder)", str(source), list(TOKENIZERS))
