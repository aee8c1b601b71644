"""The generator of a run, finished or not, as one folder: `config.json`, `model.safetensors`, and a card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sendvae.diffusion import Generator, load_generator, save_generator, trained_generator
from sendvae.errors import UserError
from sendvae.runs import RunFolder, latest_checkpoint, load_classes, load_measured, open_checkpoint
from sendvae.tokenizers import LatentStats

CARD = """---
library_name: sendvae
{licence}---
# {name}

A generator ({model}) of {parameters:,} parameters: velocities of normalised latents {shape}, for {classes} classes;
averaged weights of {source}. Its latents are those of the tokenizer `{tokenizer}`{statistics}.

```python
from sendvae.diffusion import load_generator

generator = load_generator("PATH OF THIS FOLDER")
```

## configuration

```
{configuration}
```
"""


def export_generator(run: RunFolder, source: Path, folder: Path, licence: str | None = None) -> Generator:
    """Write the averaged weights of a finished run, or of one checkpoint, however many shards it has; return them.

    Args:
        run: of `sendvae train diffusion`.
        source: its folder, or one of its checkpoints.
        folder: to write; `load_generator` reads it.
        licence: of the weights, for the card.

    Raises:
        UserError: the run is not finished; the checkpoint is not complete.
    """
    config = run.configuration()
    if source != run.path:
        generator = trained_generator(open_checkpoint(source).tensors("ema"), config, source)
    elif (run.path / "sit").is_dir():
        generator = load_generator(run.path)
    else:
        newest = latest_checkpoint(run.checkpoints)
        raise UserError(
            f"{run.path} is not finished",
            given="no folder 'sit' in it",
            next_step="run its training command again"
            + (f", or export {newest.path}" if newest is not None else ""),
        )
    save_generator(generator, folder, _card(generator, source, run, config, licence))
    classes = load_classes(run.path, generator.num_classes)
    if classes.names is not None:
        classes.save(folder)
    return generator


def _card(
    generator: Generator, source: Path, run: RunFolder, config: Mapping[str, Any], licence: str | None
) -> str:
    return CARD.format(
        licence=f"license: {licence.lower()}\n" if licence else "",
        name=run.path.name,
        model=config["model"],
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        shape=" x ".join(map(str, generator.latent_shape)),
        classes=generator.num_classes,
        source=source.name,
        tokenizer=config["tokenizer"],
        statistics=_statistics(load_measured(run.path)),
        configuration=run.config_path.read_text().rstrip(),
    )


def _statistics(measured: LatentStats | None) -> str:
    """What to say of the statistics that the latents were normalised by; nothing of the tokenizer's own."""
    if measured is None:
        return ""
    return (
        f", which declares no statistics: they were measured in training, {json.dumps(measured.document())}"
    )
