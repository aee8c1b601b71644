"""What an experiment is made of: cells, and the stages of work that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sendvae.config import (
    DiffusionConfig,
    EvaluationConfig,
    Expected,
    SampleConfig,
    SamplesConfig,
    SamplingConfig,
    Section,
    TokenizerConfig,
    TokenizerScoresConfig,
)


@dataclass(frozen=True)
class Stage:
    """A piece of work that is done once, and kept.

    Attributes:
        kind: a row of `sendvae.experiments.stages.STAGES`.
        label: for people; two stages that differ in nothing else are the same work.
        config: of the kind's schema. What its fields say of inputs does not count.
        inputs: by the kind's names: other stages, or what a user would give ("demo-f8d16", a path).
    """

    kind: str
    label: str
    config: Section
    inputs: Mapping[str, Stage | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One row of an experiment: what is trained, and how it is measured.

    Attributes:
        name: of the cell alone ("plain-seed-0").
        method: what cells of several seeds have in common.
        stages: by their role in the cell, in the order in which they matter.
        expected: numbers that somebody reports for it.
    """

    name: str
    method: str
    seed: int
    stages: Mapping[str, Stage]
    expected: Sequence[Expected] = ()


def build_cell(
    name: str,
    tokenizer: TokenizerConfig | Stage | str,
    diffusion: DiffusionConfig | str | None,
    evaluation: EvaluationConfig,
    sampling: SamplingConfig | None = None,
    *,
    seed: int = 0,
    method: str | None = None,
    init: Stage | None = None,
    reference: str | None = None,
    expected: Sequence[Expected] = (),
) -> Cell:
    """Return the cell of a tokenizer, and of a diffusion model on its latents.

    Args:
        tokenizer: to train; or one that another stage trains, or that is there by name.
        diffusion: to train on the tokenizer's latents, whatever its field `tokenizer` says; or a name of
            `DIFFUSION_MODELS`, or a run, which is sampled as it is; None: the tokenizer is only scored.
        evaluation: the protocols.
        sampling: of the diffusion model.
        seed: of the samples; those of the trainings stand in their configurations.
        init: the stage that trains the tokenizer to start from; None: what the configuration says.
        reference: what samples are held against; None: the images of `evaluation.latents.data`.
    """
    stages: dict[str, Stage] = {}
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = Stage("tokenizer", name, tokenizer, {"init": init or tokenizer.init})
    if isinstance(tokenizer, Stage):
        stages["tokenizer"] = tokenizer
    if isinstance(diffusion, DiffusionConfig):
        run = stages["diffusion"] = Stage("diffusion", name, diffusion, {"tokenizer": tokenizer})
    else:
        run = diffusion
    if run is not None:
        drawn = SampleConfig(**(sampling or SamplingConfig()).model_dump(), seed=seed)
        samples = SamplesConfig(
            sampling=drawn,
            generation=evaluation.generation,
            reference=reference or evaluation.latents.data,
        )
        stages["samples"] = Stage("samples", name, samples, {"run": run, "tokenizer": tokenizer})
    scores = TokenizerScoresConfig(latents=evaluation.latents, reconstruction=evaluation.reconstruction)
    stages["scores"] = Stage("tokenizer-scores", name, scores, {"tokenizer": tokenizer})
    return Cell(name, method or name, seed, stages, expected)
