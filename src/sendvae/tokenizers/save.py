"""Saving a tokenizer as a folder of `config.json` and `model.safetensors`, which `load_tokenizer` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sendvae.files import new_folder
from sendvae.tokenizers.files import CONFIG, WEIGHTS
from sendvae.tokenizers.protocol import Tokenizer, TrainableTokenizer


def save_tokenizer(
    tokenizer: TrainableTokenizer,
    folder: Path,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a folder that `load_tokenizer` reads. It appears whole or not at all.

    Args:
        tokenizer: the tokenizer to save.
        folder: the folder to write; an old one is replaced.
        card: anything worth knowing about the weights (JSON), which is kept in the configuration.
        dtype: the number format in which weights are stored; torch.float16 halves the file.
    """
    with new_folder(folder) as temporary:
        write_folder(tokenizer, temporary, card, dtype)


def write_folder(
    tokenizer: Tokenizer, folder: Path, card: Mapping[str, Any] | None, dtype: torch.dtype
) -> None:
    """Write `config.json` and `model.safetensors` into an existing folder."""
    stats = tokenizer.latent_stats
    config = {
        "architecture": dict(tokenizer.identity),
        "latent_stats": stats.document() if stats else None,
        "card": dict(card or {}),
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
    write_safetensors(stored(tokenizer, dtype), folder / WEIGHTS)


def write_safetensors(weights: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a file with the usual permissions, since safetensors makes its files readable by their owner only."""
    path.touch()
    permissions = path.stat().st_mode
    save_file(weights, path, metadata=metadata)
    path.chmod(permissions)


def stored(tokenizer: Tokenizer, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the state dict for a file: on the CPU, contiguous, in `dtype`."""
    return {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tokenizer.state_dict().items()
    }
