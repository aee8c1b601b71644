"""Images, tokenizers and networks that stages need and that are not on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sendvae.autoencoding import PERCEPTUAL_WEIGHTS
from sendvae.config import JointConfig, SamplesConfig, TokenizerConfig, TokenizerScoresConfig
from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.contents import Contents
from sendvae.experiments.stages import STAGES
from sendvae.metrics import FEATURE_WEIGHTS
from sendvae.tokenizers import TOKENIZERS
from sendvae.vision import BACKBONES
from sendvae.weights import Weights


class Missing:
    """A search for everything that stages need, which looks for each thing once.

    Args:
        contents: the digests, to which those of the images and weights found are added.
        fetch: whether to download weights that are not on this machine.
    """

    def __init__(self, contents: Contents, fetch: bool) -> None:
        self.contents, self.fetch = contents, fetch
        self._known: dict[str, UserError | None] = {}

    def of(self, cell: Cell) -> list[UserError]:
        """Return the reasons why a cell cannot be run, each once; an empty list if it can."""
        found = [error for stage in cell.stages.values() for error in self._of_stage(stage)]
        return list({str(error): error for error in found}.values())

    def _of_stage(self, stage: Stage) -> Iterator[UserError]:
        row = STAGES[stage.kind]
        for name, given in stage.inputs.items():
            if isinstance(given, Stage):
                yield from self._of_stage(given)
            elif (error := self._weights_of(given)) is not None:
                yield error
            else:
                yield from self._look(
                    f"{stage.kind} {name} {given}", lambda g=given, n=name: row.inputs[n](self.contents, g)
                )
        config = stage.config
        key = f"{stage.kind} reads {config.model_copy(update={'seed': 0}).model_dump_json()}"
        if (discriminator := _discriminator(config)) and (
            error := self._weights_of(discriminator)
        ) is not None:
            yield error
        else:
            yield from self._look(key, lambda: row.reads(self.contents, config))
        for weights in _networks(config):
            if (error := self._absent(weights)) is not None:
                yield error

    def _weights_of(self, tokenizer: str) -> UserError | None:
        """Return why the weights of a tokenizer of the table are not here; None if they are, or for another source."""
        if tokenizer not in TOKENIZERS or Path(tokenizer).exists():
            return None
        return self._absent(TOKENIZERS[tokenizer].weights)

    def _absent(self, weights: Weights) -> UserError | None:
        def look() -> None:
            if self.fetch:
                weights.pull()
            elif not weights.find():
                raise UserError(
                    f"the weights of {weights.name} are not on this machine",
                    given=f"{', '.join(weights.files)} of {weights.source}",
                    next_step=f"sendvae models pull {weights.name}",
                )

        return next(self._look(f"weights {weights.name}", look), None)

    def _look(self, key: str, look: Callable[[], object]) -> Iterator[UserError]:
        if key not in self._known:
            try:
                look()
                self._known[key] = None
            except UserError as error:
                self._known[key] = error
        if (error := self._known[key]) is not None:
            yield error


def _discriminator(config: object) -> str | None:
    return config.losses.discriminator_init if isinstance(config, TokenizerConfig | JointConfig) else None


def _networks(config: object) -> Iterator[Weights]:
    """Yield the weights of the frozen networks that a configuration names."""
    target = getattr(config, "alignment", None) or getattr(config, "repa", None)
    if target is not None:
        yield BACKBONES[target.backbone].weights
    if isinstance(config, TokenizerConfig | JointConfig):
        yield from PERCEPTUAL_WEIGHTS[config.losses.perceptual]
    if isinstance(config, TokenizerScoresConfig):
        yield from PERCEPTUAL_WEIGHTS[config.reconstruction.perceptual]
        yield from _features(config.reconstruction.features)
    if isinstance(config, SamplesConfig):
        yield from _features(config.generation.features)


def _features(name: str) -> Iterator[Weights]:
    if name in FEATURE_WEIGHTS:
        yield FEATURE_WEIGHTS[name]
