"""Before a run computes anything: is it finished, and is everything there that it starts from?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from safetensors import SafetensorError

from sendvae.autoencoding import pull_perceptual
from sendvae.config import DiffusionConfig, TokenizerConfig, TrainingConfig
from sendvae.config.schema_common import HOW_FAST
from sendvae.errors import UserError
from sendvae.runs import RunFolder, check_tracker, describe_environment, latest_checkpoint, say
from sendvae.tokenizers import (
    TrainableTokenizer,
    build_tokenizer,
    check_trainable,
    load_tokenizer,
    trainable,
)
from sendvae.tokenizers.sources import locate
from sendvae.vision import BACKBONES

FRESH = "fresh:"  # begins `init` where a new tokenizer of that architecture is meant


def open_run(folder: Path, config: TrainingConfig, *exports: str) -> AbstractContextManager[RunFolder]:
    """Open the folder of a run; `exports` are the models that it will hold."""
    free = [f"loop.{name}" for name in HOW_FAST]
    return RunFolder(folder).prepare(config.model_dump(mode="json"), describe_environment(), exports, free)


def is_exported(run: RunFolder, exported: Path, load: Callable[[Path], object]) -> bool:
    """Return whether a run has exported a model that can be loaded.

    One that cannot is exported again from the last checkpoint; this says so.

    Raises:
        UserError: there is no checkpoint to export it from.
    """
    if not exported.is_dir():
        return False
    try:
        load(exported)
    except (UserError, SafetensorError, OSError, ValueError) as error:
        newest = latest_checkpoint(run.checkpoints)
        reason = error.problem if isinstance(error, UserError) else str(error)
        if newest is None:
            raise UserError(
                f"the exported model {exported} is damaged, and there is no checkpoint to export it from",
                given=reason,
                next_step=f"remove {run.path} and train again, or restore the folder",
            ) from None
        say(f"the exported model {exported} is damaged ({reason}); it is exported again from {newest.path}")
        return False
    return True


def find_weights_of(config: TrainingConfig) -> None:
    """Find, or fetch, every weight file that a run starts from, before anything is computed for it.

    Raises:
        UserError: one cannot be had; says which file to put where.
    """
    if not isinstance(config, DiffusionConfig):
        for source in (config.init, config.losses.discriminator_init):
            if source is not None and not source.startswith(FRESH):
                locate(source)
        pull_perceptual(config.losses.perceptual)
    target = config.alignment if isinstance(config, TokenizerConfig) else config.repa
    if target is not None:
        BACKBONES[target.backbone].weights.pull()
    for name in config.loop.trackers:
        check_tracker(name)


def check_start(init: str) -> None:
    """Refuse a tokenizer that cannot be trained before its weights are read.

    Raises:
        UserError: it cannot, or there is none.
    """
    if not init.startswith(FRESH):
        check_trainable(init)


def starting_tokenizer(init: str) -> TrainableTokenizer:
    """Return the tokenizer that training starts from; with "fresh:", a new one of that architecture.

    Raises:
        UserError: it cannot be loaded, or not be trained.
    """
    if init.startswith(FRESH):
        return build_tokenizer(init.removeprefix(FRESH))
    return trainable(load_tokenizer(init), init)
