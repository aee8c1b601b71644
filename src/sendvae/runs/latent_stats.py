"""The latent statistics that a generator was trained with, kept with it so that sampling needs no data."""

from __future__ import annotations

import json
from pathlib import Path

from sendvae.errors import UserError
from sendvae.files import write_text
from sendvae.tokenizers import LatentStats

MEASURED = "latent-stats.json"


def save_measured(stats: LatentStats, images: int | None, folder: Path) -> None:
    """Write `latent-stats.json` into the folder of a run, or of a tokenizer.

    Args:
        images: the number of training images that were measured; None where the statistics are the tokenizer's own.
    """
    write_text(folder / MEASURED, json.dumps({"images": images, **stats.document()}) + "\n")


def load_measured(folder: Path) -> LatentStats | None:
    """Return the statistics that a run measured; None where its tokenizer declared its own.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / MEASURED
    if not path.is_file():
        return None
    try:
        return LatentStats.of_document(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged", given=error, next_step="remove it and run the training command again"
        ) from None
