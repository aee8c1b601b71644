"""Configurations of the measurements of an experiment's cell, and the numbers that others report for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from sendvae.config.schema_common import Section
from sendvae.config.schema_evaluate import GenerationConfig, LatentsConfig, ReconstructionConfig
from sendvae.config.schema_sample import SampleConfig


class EvaluationConfig(Section):
    """The protocols by which the cells of an experiment are measured. Each is a protocol of `sendvae evaluate`."""

    reconstruction: ReconstructionConfig = ReconstructionConfig()
    latents: LatentsConfig = LatentsConfig()
    generation: GenerationConfig = GenerationConfig()


class TokenizerScoresConfig(Section):
    """The measurements of a tokenizer: its latent space, and its reconstruction of the test images of the same data."""

    kind: Literal["tokenizer-scores"] = "tokenizer-scores"
    latents: LatentsConfig = LatentsConfig()
    reconstruction: ReconstructionConfig = ReconstructionConfig()
    shown: PositiveInt = Field(8, description="test images in the pictures")

    @model_validator(mode="after")
    def _latents_are_those_of_training(self) -> TokenizerScoresConfig:
        if self.latents.latent != "mean" or self.latents.uniformity.flips:
            raise ValueError(
                "a cell scores the posterior means that training caches: set latents.latent=mean and"
                " latents.uniformity.flips=false"
            )
        return self


class SamplesConfig(Section):
    """The samples that are drawn from a diffusion model, and the reference they are compared with."""

    kind: Literal["samples"] = "samples"
    sampling: SampleConfig = SampleConfig()
    generation: GenerationConfig = GenerationConfig()
    reference: str = Field("embedded:emoji", description="any source of images, or an npz file of statistics")
    shown: PositiveInt = Field(32, description="samples in the picture")


class MilestoneConfig(SamplesConfig):
    """The samples of a checkpoint that a training keeps before its end, and their reference."""

    kind: Literal["milestone-samples"] = "milestone-samples"  # type: ignore[assignment]
    at: PositiveInt = Field(description="images of the training after which the checkpoint was written")
    batch_size: PositiveInt = Field(description="of the training, which tells the step")

    @property
    def step(self) -> int:
        """Return the step of the checkpoint, which is the first at which `at` images have been seen."""
        return -(-self.at // self.batch_size)


class Expected(Section):
    """A number that somebody reports for a cell.

    Attributes:
        metric: the name of the metric in results.
        value: the reported number.
        source: who reports it, and where.
    """

    metric: str
    value: float
    source: str
