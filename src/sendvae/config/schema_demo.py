"""Configuration of `sendvae demo`: which presets it chains, and how the results are measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from sendvae.config.schema_common import Section
from sendvae.config.schema_sample import SamplingConfig


class EvaluationConfig(Section):
    images: PositiveInt = Field(description="test images for reconstruction metrics")
    tsne_samples: PositiveInt = Field(2000, description="positions per repeat of the uniformity protocol")
    tsne_repeats: PositiveInt = 1


class DemoConfig(Section):
    """`sendvae demo`."""

    kind: Literal["demo"] = "demo"
    base: str = Field("demo-f8d16", description="tokenizer every method starts from")
    base_images: PositiveInt = Field(
        140_000, description="images of the base's training, with --from-scratch"
    )
    methods: list[str] = Field(description="tokenizer presets, in the order of the table", min_length=1)
    diffusion: str = Field(description="diffusion preset trained on each latent space")
    limit: PositiveInt | None = Field(None, description="use only the first so many images of every split")
    tokenizer_images: PositiveInt = Field(description="images of each fine-tuning")
    diffusion_images: PositiveInt = Field(description="images of each diffusion training")
    sampling: SamplingConfig = SamplingConfig()
    evaluation: EvaluationConfig
