"""Configurations whose names are looked up when they are read, so that a misspelt name costs seconds, not hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from sendvae.config import (
    AlignmentConfig,
    DiffusionConfig,
    JointConfig,
    NameOf,
    Section,
    load_config,
    no_preset,
    preset_names,
)
from sendvae.errors import UserError
from sendvae.registry import unknown_name

Config = TypeVar("Config", bound=Section)
FRESH = "fresh:"
ELSEWHERE = ("hf-hub:", "local-dir:")  # beginnings of names that say where a tokenizer lies


def read_config(schema: type[Config], source: str, overrides: Sequence[str] = ()) -> Config:
    """Return a configuration whose names all exist and whose sizes fit together.

    Raises:
        UserError: `load_config` refuses the configuration, a name is unknown, heads do not divide a width, or a
            depth exceeds the number of the generator's blocks.
    """
    config = load_config(schema, source, overrides)
    for field, kind, value in _names(config):
        try:
            LOOKUPS[kind](value)
        except UserError as error:
            raise UserError(
                f"configuration key '{field}': {error.problem}",
                given=error.given,
                expected=error.expected,
                next_step=error.next_step,
            ) from None
    _check_sizes(config)
    return config


def _names(section: Section, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the field, the kind of name and the value of everything that a configuration names."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _names(value, f"{prefix}{name}.")
        for mark in field.metadata:
            if isinstance(mark, NameOf) and value is not None:
                for one in value if isinstance(value, list) else [value]:
                    yield f"{prefix}{name}", mark.kind, one


def _check_sizes(config: Section) -> None:
    alignment = getattr(config, "alignment", None)
    if isinstance(alignment, AlignmentConfig):
        from sendvae.vision import BACKBONES

        alignment.check_heads(BACKBONES[alignment.backbone].width)
    if isinstance(config, DiffusionConfig | JointConfig):
        from sendvae.diffusion import GeneratorName

        blocks = GeneratorName.parse(config.model).size.depth
        for name in ("repa", "dispersive"):
            section = getattr(config, name)
            if section is not None and section.depth is not None and section.depth > blocks:
                raise UserError(
                    f"{config.model} has no block {section.depth}",
                    given=f"{name}.depth={section.depth}",
                    expected=f"1 to {blocks}",
                )


def _tokenizer(name: str) -> None:
    """Raise an error for a tokenizer that is neither in the table nor a place.

    A path may come to exist later; it is looked for when training starts.
    """
    from sendvae.tokenizers import TOKENIZERS

    is_place = name.startswith(ELSEWHERE) or "/" in name or Path(name).expanduser().exists()
    if name not in TOKENIZERS and not is_place:
        raise unknown_name("tokenizer (and no such file or folder)", name, list(TOKENIZERS))


def _tokenizer_or_architecture(name: str) -> None:
    if not name.startswith(FRESH):
        return _tokenizer(name)
    from sendvae.tokenizers import ARCHITECTURES

    ARCHITECTURES[name.removeprefix(FRESH)]
    return None


def _generator(name: str) -> None:
    from sendvae.diffusion import GeneratorName

    GeneratorName.parse(name)


def _diffusion_model(name: str) -> None:
    from sendvae.diffusion import DIFFUSION_MODELS

    DIFFUSION_MODELS[name]


def _path(name: str) -> None:
    from sendvae.diffusion import PATHS

    PATHS[name]


def _projector(name: str) -> None:
    from sendvae.diffusion import PROJECTORS

    PROJECTORS[name]


def _backbone(name: str) -> None:
    from sendvae.vision import BACKBONES

    BACKBONES[name]


def _sampler(name: str) -> None:
    from sendvae.diffusion import SAMPLERS

    SAMPLERS[name]


def _perceptual(name: str) -> None:
    from sendvae.autoencoding import PERCEPTUAL

    PERCEPTUAL[name]


def _tracker(name: str) -> None:
    from sendvae.runs import TRACKERS

    TRACKERS[name]


def _feature_network(name: str) -> None:
    from sendvae.evaluation.networks import NETWORKS

    NETWORKS[name]


def _metric(name: str) -> None:
    from sendvae.metrics import METRICS

    METRICS[name]


def _score(name: str) -> None:
    from sendvae.latents import SCORES

    SCORES[name]


def _preset(name: str) -> None:
    if name not in preset_names() and not Path(name).is_file():
        raise no_preset(name)


LOOKUPS: dict[str, Callable[[str], None]] = {
    "tokenizer": _tokenizer,
    "tokenizer or architecture": _tokenizer_or_architecture,
    "generator": _generator,
    "diffusion model": _diffusion_model,
    "path": _path,
    "projector": _projector,
    "vision backbone": _backbone,
    "sampler": _sampler,
    "perceptual network": _perceptual,
    "tracker": _tracker,
    "feature network": _feature_network,
    "metric": _metric,
    "score": _score,
    "preset": _preset,
}
