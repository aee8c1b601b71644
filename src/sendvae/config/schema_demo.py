"""The configuration of `sendvae demo`: what it shows as shipped, what it trains, and how results are measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from sendvae.config.schema_cell import EvaluationConfig
from sendvae.config.schema_common import NameOf, Section
from sendvae.config.schema_sample import SamplingConfig


class DemoConfig(Section):
    """The configuration of `sendvae demo`."""

    kind: Literal["demo"] = "demo"
    base: Annotated[str, NameOf("tokenizer")] = Field(
        "demo-f8d16", description="tokenizer every method starts from"
    )
    base_images: PositiveInt = Field(
        140_000, description="images of the base's training, with --from-scratch"
    )
    tokenizers: Annotated[list[str], NameOf("tokenizer")] = Field(
        description="trained tokenizers that are scored, in the order of the table; the first is the control"
    )
    models: Annotated[list[str], NameOf("diffusion model")] = Field(
        description="trained generators that are sampled, each on one of these tokenizers"
    )
    methods: Annotated[list[str], NameOf("preset")] = Field(
        description="tokenizer presets that are trained, starting from the base"
    )
    diffusion: Annotated[str, NameOf("preset")] = Field(
        description="diffusion preset that is trained on latents"
    )
    latents: Annotated[list[str], NameOf("tokenizer")] = Field(
        description="tokenizers on whose latents it is trained"
    )
    limit: PositiveInt | None = Field(None, description="use only the first so many images of every split")
    tokenizer_images: PositiveInt = Field(description="images of each fine-tuning")
    diffusion_images: PositiveInt = Field(description="images of each diffusion training")
    sampling: SamplingConfig = SamplingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
