"""The parts of an experiment: cells, and the stages of work that they share."""

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
    """A piece of work that is done once, and whose result is kept.

    Attributes:
        kind: the name of a row of `sendvae.experiments.stages.STAGES`.
        label: a name for people. Two stages that differ only in their labels are the same work.
        config: a configuration of the kind's schema. Its fields that name inputs are ignored: `inputs` replaces them.
        inputs: what the stage needs, by the kind's names of inputs: another stage, or a source that a user would name
            ("demo-f8d16", a path).
    """

    kind: str
    label: str
    config: Section
    inputs: Mapping[str, Stage | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One method with one seed: the stages that train it and measure it.

    Attributes:
        name: the unique name of the cell ("plain-seed-0").
        method: the name that cells of several seeds share.
        stages: the stages by their role in the cell, in the order in which they matter.
        expected: the numbers that somebody reports for the cell.
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
    """Return the cell of a tokenizer and of a diffusion model on its latents.

    Args:
        name: the name of the cell, which also labels its stages.
        tokenizer: the configuration of the tokenizer to train, the stage that trains it, or the name of one that is
            there.
        diffusion: the configuration of a diffusion model to train on the tokenizer's latents (its field `tokenizer` is
            ignored), or a name of `DIFFUSION_MODELS` or a run, which is sampled as it is. With None the tokenizer is
            only scored.
        evaluation: the protocols of evaluation.
        sampling: the settings with which the diffusion model is sampled; None: the defaults.
        seed: the seed of the samples. The configurations of the trainings hold their own seeds.
        method: the method that the cell belongs to; None: its name.
        init: the stage that trains the initial tokenizer; None: the one that the tokenizer's configuration names.
        reference: the images that samples are compared with; None: those of `evaluation.latents.data`.
        expected: the numbers that somebody reports for the cell.
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
