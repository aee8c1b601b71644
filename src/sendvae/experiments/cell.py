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
        kind: the name of a row of `sendvae.experiments.stages.STAGES`.
        label: the name that people see. Two stages that differ in nothing else are the same work.
        config: the configuration, of the kind's schema. Its fields that name inputs do not count.
        inputs: the inputs by the names that the kind gives them: other stages, or what a user would give
            ("demo-f8d16", a path).
    """

    kind: str
    label: str
    config: Section
    inputs: Mapping[str, Stage | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One row of an experiment: what is trained, and how it is measured.

    Attributes:
        name: the name of this cell alone ("plain-seed-0").
        method: the name that cells of several seeds have in common.
        stages: the stages by their role in the cell, in the order in which they run.
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
        tokenizer: the configuration of a tokenizer to train, the stage that trains it, or the name of one that exists.
        diffusion: the configuration of a model to train on the tokenizer's latents, whatever its field `tokenizer`
            says; or a name of `DIFFUSION_MODELS` or a run, which is sampled as it is. With None the tokenizer is
            only scored.
        evaluation: the protocols of all measurements.
        sampling: how the diffusion model is sampled.
        seed: the seed of the samples. Those of the trainings are in their configurations.
        init: the stage that trains the tokenizer to start from; None takes the one that the configuration names.
        reference: the images that samples are compared with; None takes those of `evaluation.latents.data`.
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
