"""A generator with its tokenizer and classes, loaded from a run, a checkpoint or a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sendvae.diffusion import (
    DIFFUSION_MODELS,
    Generator,
    load_checkpoint_file,
    load_generator,
    locate_generator,
    named_model,
    trained_generator,
)
from sendvae.errors import UserError
from sendvae.nn import LatentNorm, weights_digest
from sendvae.runs import (
    Checkpoint,
    Classes,
    RunFolder,
    latest_checkpoint,
    load_classes,
    load_measured,
    open_checkpoint,
)
from sendvae.tokenizers import LatentStats, Tokenizer, load_tokenizer

KINDS = ("diffusion", "joint")  # of runs that images can be drawn from
STEPS_SHOWN = 10


@dataclass(frozen=True)
class DiffusionModel:
    """A generator, the tokenizer that decodes its latents, and its classes.

    Attributes:
        name: the name for pictures and tables.
        origin: where both came from and digests of their weights, for the record.
    """

    name: str
    generator: Generator
    tokenizer: Tokenizer
    classes: Classes
    origin: dict[str, str | int]

    def to(self, device: torch.device) -> DiffusionModel:
        """Move both networks."""
        self.generator.to(device)
        self.tokenizer.to(device)
        return self

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Return (C, h, w) of a latent, or (C, N) of tokens without a grid."""
        return self.generator.latent_shape

    @property
    def pixels(self) -> int:
        """Return the side of an image in pixels."""
        if self.tokenizer.one_size:
            return self.tokenizer.image_size
        return self.latent_shape[-1] * self.tokenizer.downsampling


def is_diffusion_run(source: str) -> bool:
    """Return whether this names a diffusion model or is the folder of a run of one, finished or not."""
    if named_model(source) is not None:
        return True
    run = RunFolder(Path(source))
    return run.config_path.is_file() and run.configuration().get("kind") in KINDS


def load_model(
    source: str, tokenizer: str | None = None, step: int | None = None, raw: bool = False
) -> DiffusionModel:
    """Load a diffusion model to the CPU, in evaluation mode.

    Args:
        source: a name in `DIFFUSION_MODELS`, a run of `sendvae train diffusion` or `joint`, one of its checkpoints, an
            exported generator, or a file of SiT, LightningDiT, REPA or REPA-E.
        tokenizer: instead of the model's own; needed where `source` is neither a name nor a run.
        step: the step of a checkpoint of the run, instead of the exported model.
        raw: the weights as trained instead of their average; of `step`, or of the newest checkpoint.

    Raises:
        UserError: no such run, unfinished, no such checkpoint; a tokenizer that is missing or does not fit.
    """
    path = locate_generator(source)
    if path.parent.name == "checkpoints":
        if step is not None:
            raise UserError(
                "a checkpoint and --checkpoint", given=f"{source}, {step}", expected="one of them"
            )
        path, step = path.parent.parent, open_checkpoint(path).step
    if not path.exists():
        raise UserError(
            "no such run",
            given=source,
            expected=f"a run folder, a checkpoint, a generator's file, or one of {', '.join(DIFFUSION_MODELS)}",
        )
    if is_diffusion_run(str(path)):
        model = _of_run(RunFolder(path), tokenizer, step, raw)
    elif RunFolder(path).config_path.is_file():
        kind = RunFolder(path).configuration().get("kind")
        raise UserError(
            f"{source} is no run to draw images from",
            given=f"kind: {kind}",
            expected="a run of sendvae train diffusion or joint",
            next_step=f"train one: sendvae train diffusion PRESET tokenizer={source}"
            if kind == "tokenizer"
            else None,
        )
    else:
        if step is not None or raw:
            raise UserError(
                "--checkpoint and --raw-weights belong to a run", given=f"{source}, which is none"
            )
        row = named_model(source)
        model = _of_file(source, path, tokenizer or (row.tokenizer if row else None))
    _check_fit(model)
    return model


def _of_run(run: RunFolder, tokenizer: str | None, step: int | None, raw: bool) -> DiffusionModel:
    config = run.configuration()
    checkpoint = _checkpoint(run, step, raw)
    if checkpoint is None:
        generator, step_name = load_generator(run.path), "last"
        own = str(run.path) if config["kind"] == "joint" else run.recorded("tokenizer")
        decoder = _tokenizer(tokenizer or own, run)
    else:
        step_name = str(checkpoint.step)
        if config["kind"] == "joint":
            generator, decoder, own = _joint_checkpoint(checkpoint, config, tokenizer, raw)
        else:
            weights = checkpoint.tensors("sit" if raw else "ema")
            generator = trained_generator(weights, config, checkpoint.path)
            own = run.recorded("tokenizer")
            decoder = _tokenizer(tokenizer or own, run)
    origin: dict[str, str | int] = {
        "run": str(run.path),
        "checkpoint": step_name,
        "weights": "raw" if raw else "ema",
    }
    name = run.path.resolve().name + (f" {step_name}" if checkpoint else "") + (" raw" if raw else "")
    return _model(
        name, generator, decoder, load_classes(run.path, generator.num_classes), origin, tokenizer or own
    )


def _checkpoint(run: RunFolder, step: int | None, raw: bool) -> Checkpoint | None:
    """Return the requested checkpoint; None for the exported model."""
    steps = sorted(int(path.name.rpartition("-")[2]) for path in run.checkpoints.glob("step-*"))
    shown = ("..., " if len(steps) > STEPS_SHOWN else "") + ", ".join(map(str, steps[-STEPS_SHOWN:]))
    if step is not None:
        if step not in steps:
            raise UserError(
                f"{run.path} has no such checkpoint",
                given=f"step {step}",
                expected=f"one of {shown or 'none'}",
            )
        return open_checkpoint(run.checkpoints / f"step-{step:09d}")
    if raw:
        newest = latest_checkpoint(run.checkpoints)
        if newest is None:
            raise UserError(f"{run.path} has no checkpoint, and raw weights are kept nowhere else")
        return newest
    if not (run.path / "sit").is_dir():
        raise UserError(
            f"{run.path} is not finished",
            given="no folder 'sit' in it",
            next_step="run its training command again"
            + (f", or sample a checkpoint: --checkpoint {steps[-1]}" if steps else ""),
        )
    return None


def _joint_checkpoint(
    checkpoint: Checkpoint, config: Mapping[str, Any], tokenizer: str | None, raw: bool
) -> tuple[Generator, Tokenizer, str]:
    """Load generator and tokenizer of one step of joint training, with the generator's latent statistics."""
    if raw:
        weights, buffers = checkpoint.tensors("sit"), checkpoint.tensors("latent_norm")
    else:
        averaged = checkpoint.tensors("ema")
        weights, buffers = _below("sit.", averaged), _below("latent_norm.", averaged)
    generator = trained_generator(weights, config, checkpoint.path)
    norm = LatentNorm(len(buffers["running_mean"]))
    norm.load_state_dict(buffers)
    own = checkpoint.path / "tokenizer.safetensors"
    decoder = load_tokenizer(tokenizer or own)
    if tokenizer is None:
        decoder.latent_stats = _statistics(norm)
    return generator, decoder, str(own)


def _of_file(source: str, path: Path, tokenizer: str | None) -> DiffusionModel:
    if tokenizer is None:
        raise UserError(
            f"{source} does not say which tokenizer its latents are of",
            expected="a run of sendvae train diffusion, or --tokenizer",
            next_step="name it: --tokenizer NAME",
        )
    decoder = load_tokenizer(tokenizer)
    if path.is_file():
        generator, norm = load_checkpoint_file(path)
        if norm is not None:  # REPA-E samples with the averaged statistics of its SiT
            decoder.latent_stats = _statistics(norm)
        classes = Classes(generator.num_classes)
    else:
        generator = load_generator(path)
        classes = load_classes(path, generator.num_classes)
    origin: dict[str, str | int] = {"run": source, "checkpoint": "last", "weights": "ema"}
    return _model(path.resolve().stem, generator, decoder, classes, origin, tokenizer)


def _model(
    name: str,
    generator: Generator,
    decoder: Tokenizer,
    classes: Classes,
    origin: dict[str, str | int],
    tokenizer: str,
) -> DiffusionModel:
    digests: dict[str, str | int] = {
        "sit_digest": weights_digest(generator),
        "tokenizer": tokenizer,
        "tokenizer_digest": weights_digest(decoder),
        "statistics_digest": _statistics_digest(decoder.latent_stats),
    }
    return DiffusionModel(name, generator.eval(), decoder.eval(), classes, origin | digests)


def _statistics_digest(stats: LatentStats | None) -> str:
    values = [] if stats is None else [stats.mean.tolist(), stats.std.tolist()]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _tokenizer(source: str, run: RunFolder) -> Tokenizer:
    try:
        tokenizer = load_tokenizer(source)
    except UserError as error:
        raise UserError(
            f"the tokenizer of {run.path} cannot be loaded: {error.problem}",
            given=error.given or source,
            expected=error.expected,
            next_step="say where it is: --tokenizer FOLDER (paths in a run's configuration start where it was trained)",
        ) from None
    tokenizer.latent_stats = tokenizer.latent_stats or load_measured(run.path)
    return tokenizer


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _statistics(norm: LatentNorm) -> LatentStats:
    return LatentStats(norm.running_mean.cpu(), norm.running_var.sqrt().cpu())


def _check_fit(model: DiffusionModel) -> None:
    tokenizer, channels = model.tokenizer, model.tokenizer.latent_channels
    if channels != model.latent_shape[0]:
        raise UserError(
            f"the tokenizer does not fit the generator of {model.name}",
            given=f"{model.origin['tokenizer']}: latents of {channels} channels",
            expected=f"{model.latent_shape[0]} channels",
        )
    if tokenizer.latent_stats is None:
        raise UserError(
            f"{model.origin['tokenizer']} carries no latent statistics",
            expected="the tokenizer that the generator was trained on, with the statistics of its latents",
        )
