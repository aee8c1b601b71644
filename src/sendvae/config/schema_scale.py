"""The configuration of a scale of `sendvae reproduce`: what replaces each row of the paper, on which data, how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sendvae.config.schema_cell import EvaluationConfig
from sendvae.config.schema_common import NameOf, Section
from sendvae.config.schema_sample import SamplingConfig


class VariantConfig(Section):
    """A tokenizer that a preset trains, that is published, or that is the same as another variant."""

    preset: Annotated[str | None, NameOf("preset")] = Field(
        None, description="of its training, alone or joint"
    )
    overrides: list[str] = Field([], description="key=value changes of the preset")
    init: str | None = Field(
        None, description="variant whose tokenizer it starts from, instead of the preset's"
    )
    tokenizer: Annotated[str | None, NameOf("tokenizer")] = Field(None, description="taken as it is")
    same_as: str | None = Field(None, description="variant that is the same at this scale")
    seeds: PositiveInt | None = Field(None, description="instead of the scale's")
    note: str = Field("", description="how it differs from the paper's")

    @model_validator(mode="after")
    def _one_of_three(self) -> VariantConfig:
        given = [name for name in ("preset", "tokenizer", "same_as") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a variant has one of preset, tokenizer and same_as, not {given or 'none'}")
        if self.preset is None and (self.overrides or self.init):
            raise ValueError("overrides and init belong to a preset")
        return self


class GeneratorConfig(Section):
    """A diffusion model that is trained on the latents of variants."""

    preset: Annotated[str | None, NameOf("preset")] = None
    overrides: list[str] = Field([], description="key=value changes of the preset")
    same_as: str | None = Field(None, description="generator that is the same at this scale")
    reference: str | None = Field(
        None, description="what its samples are held against, instead of evaluation.latents.data"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> GeneratorConfig:
        if (self.preset is None) == (self.same_as is None):
            raise ValueError("a generator has either preset or same_as")
        return self


class ScaleConfig(Section):
    """A scale of `sendvae reproduce`.

    What an experiment names and a scale lacks is left out at this scale, and the page says so.
    """

    kind: Literal["scale"] = "scale"
    title: str
    limits: str = Field(description="what keeps this scale from the paper's, in a sentence or two")
    data: str = Field(description="how to get the images")
    machine: str = Field(description="what the stated rate is of")
    tflops: PositiveFloat = Field(description="sustained TFLOP/s of that machine")
    seeds: PositiveInt = Field(description="of every cell: 0, 1, ...")
    overrides: list[str] = Field([], description="key=value changes of every training")
    variants: dict[str, VariantConfig | None] = Field(description="null: not at this scale")
    generators: dict[str, GeneratorConfig | None] = Field(description="null: not at this scale")
    samplings: dict[str, SamplingConfig]
    probes: dict[str, str] = Field({}, description="further data sets with attributes, by name")
    metrics: dict[str, str] = Field(
        {}, description="what stands for a metric of the paper; others go by the paper's name"
    )
    evaluation: EvaluationConfig = EvaluationConfig()
