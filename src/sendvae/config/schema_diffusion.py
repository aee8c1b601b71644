"""The configuration of `sendvae train diffusion`: a generator on the latents of a frozen tokenizer.

The REPA loss is on by default.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from sendvae.config.schema_common import (
    DataConfig,
    Decay,
    LoopConfig,
    NameOf,
    OptimizerConfig,
    Section,
    TimeShift,
)
from sendvae.config.schema_sample import SamplingConfig

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class DiffusionDataConfig(DataConfig):
    """The training images, and whether their features and latents are kept on disk."""

    latents: Literal["cached", "online"] = Field(
        "cached", description="the tokenizer's posteriors: computed once and kept on disk, or at every step"
    )


class RepaConfig(Section):
    """The representation alignment of the transformer's hidden tokens (REPA)."""

    backbone: Annotated[str, NameOf("vision backbone")] = "dinov2-b"
    weight: NonNegativeFloat = 0.5
    depth: PositiveInt | None = Field(None, description="block whose output is aligned; default: the model's")
    projector: Annotated[str, NameOf("projector")] = Field(
        "mlp", description="between hidden tokens and the foundation model's; iREPA: conv"
    )
    mean_share: Probability | None = Field(
        None,
        description="how much of an image's mean token is taken off the foundation model's tokens before they are"
        " divided by their standard deviations; iREPA: .6; null: neither",
    )


class DispersiveConfig(Section):
    """The dispersive loss on hidden tokens (Diffuse and Disperse)."""

    weight: PositiveFloat = 0.25
    depth: PositiveInt | None = Field(
        None, description="block whose output is dispersed; default: the last of the first quarter"
    )


class PreviewConfig(Section):
    """Samples of the EMA that show progress during training. Final figures come from `sendvae evaluate`."""

    every: PositiveInt = Field(
        description="images between two previews; they are drawn when a line is logged"
    )
    sampling: SamplingConfig = SamplingConfig(steps=50, images=64, batch_size=64, labels="proportional")
    features: Annotated[str | None, NameOf("feature network")] = Field(
        None, description="network of a small-sample Frechet distance against the training images; none: off"
    )


class DiffusionConfig(Section):
    """The configuration of `sendvae train diffusion`."""

    kind: Literal["diffusion"] = "diffusion"
    seed: NonNegativeInt = 0
    tokenizer: Annotated[str, NameOf("tokenizer")] = Field(
        description="tokenizer whose latents are modelled: a name or a path"
    )
    model: Annotated[str, NameOf("generator")] = Field(
        "SiT-B/1", description="generator, its size, its patch"
    )
    data: DiffusionDataConfig = DiffusionDataConfig()
    repa: RepaConfig | None = RepaConfig()
    qk_norm: bool = Field(False, description="normalise queries and keys, against losses that are not finite")
    path: Annotated[str, NameOf("path")] = Field(
        "linear", description="interpolant between data and noise; REPA, REPA-E and LightningDiT: linear"
    )
    label_dropout: Probability = 0.1
    time_sampling: Literal["uniform", "lognormal"] = "uniform"
    time_shift: TimeShift = Field(
        1.0,
        description="s of s t / (1 + (s - 1) t): above 1 more noise is trained; dimension: RAE's, by the latent's size",
    )
    direction_weight: NonNegativeFloat = Field(
        0.0, description="of 1 - cosine between the channels of velocities; LightningDiT: 1"
    )
    dispersive: DispersiveConfig | None = None
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4)
    loop: LoopConfig
    ema: Decay = 0.9999
    statistics_images: PositiveInt = Field(
        10_000, description="images measured for the latent statistics, where the tokenizer declares none"
    )
    preview: PreviewConfig | None = Field(None, description="samples during training; none: off")
