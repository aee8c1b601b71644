"""Exports the generator of a run, or the tokenizer of any of its checkpoints, also before the run is finished."""

from __future__ import annotations

import json
from pathlib import Path

from sendvae.config import TokenizerConfig, validate
from sendvae.diffusion import Generator, load_generator, save_generator, trained_generator
from sendvae.errors import UserError
from sendvae.runs import RunFolder, latest_checkpoint, load_classes, load_measured, open_checkpoint
from sendvae.tokenizers import LatentStats, TrainableTokenizer
from sendvae.training.caching import measure_statistics
from sendvae.training.images import open_training_images
from sendvae.training.jobs import default_device
from sendvae.training.start import starting_tokenizer

CHECKPOINTS = "checkpoints"  # folder of a run
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
        run: the run of `sendvae train diffusion`.
        source: its folder, or one of its checkpoints.
        folder: the folder that is written; `load_generator` reads it.
        licence: the licence of the weights, for the card.

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
    save_generator(generator, folder, _card(generator, source, run, licence))
    classes = load_classes(run.path, generator.num_classes)
    if classes.names is not None:
        classes.save(folder)
    return generator


def tokenizer_of_checkpoint(source: Path) -> TrainableTokenizer | None:
    """Return the tokenizer in a checkpoint of `sendvae train tokenizer`, on the CPU, as the run's end would export it.

    Its latent statistics are measured on the run's images, which must be there.

    Returns:
        None if `source` is no such checkpoint.

    Raises:
        UserError: the checkpoint is damaged, or does not fit the run's configuration.
    """
    run = RunFolder(source.parent.parent)
    if source.parent.name != CHECKPOINTS or not run.config_path.is_file():
        return None
    recorded = run.configuration()
    if recorded.get("kind") != "tokenizer":
        return None
    config = validate(TokenizerConfig, recorded)
    weights = open_checkpoint(source).tensors("ema" if config.ema is not None else "tokenizer")
    tokenizer = starting_tokenizer(config.init)
    try:
        tokenizer.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f"{source} does not fit the configuration of its run", given=" ".join(str(error).split())[:200]
        ) from None
    device = default_device()
    tokenizer.latent_stats = measure_statistics(
        tokenizer, open_training_images(config.data), config.statistics_images, config.seed, device
    )
    return tokenizer.to("cpu").eval()


def _card(generator: Generator, source: Path, run: RunFolder, licence: str | None) -> str:
    return CARD.format(
        licence=f"license: {licence.lower()}\n" if licence else "",
        name=run.path.name,
        model=run.recorded("model"),
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        shape=" x ".join(map(str, generator.latent_shape)),
        classes=generator.num_classes,
        source=source.name,
        tokenizer=run.recorded("tokenizer"),
        statistics=_statistics(load_measured(run.path)),
        configuration=run.config_path.read_text().rstrip(),
    )


def _statistics(measured: LatentStats | None) -> str:
    """Return the card's sentence on latent statistics that were measured; empty for the tokenizer's own."""
    if measured is None:
        return ""
    return (
        f", which declares no statistics: they were measured in training, {json.dumps(measured.document())}"
    )
