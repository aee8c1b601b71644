"""The configuration of `sendvae train joint`: REPA-E's end-to-end training of a VAE and a generator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from sendvae.config.schema_common import (
    DataConfig,
    Decay,
    LoopConfig,
    NameOf,
    OptimizerConfig,
    Section,
    TimeShift,
)
from sendvae.config.schema_diffusion import DispersiveConfig, Probability, RepaConfig
from sendvae.config.schema_tokenizer import LossConfig

VAE_ALIGNMENT_WEIGHT = 1.5  # REPA-E's weight of the REPA loss in the VAE's objective


class JointConfig(Section):
    """The configuration of `sendvae train joint`."""

    kind: Literal["joint"] = "joint"
    seed: NonNegativeInt = 0
    init: Annotated[str, NameOf("tokenizer or architecture")] = Field(
        description="tokenizer to start from: a name, a path, or 'fresh:ARCHITECTURE'"
    )
    model: Annotated[str, NameOf("generator")] = Field(
        "SiT-XL/1", description="generator, its size, its patch"
    )
    data: DataConfig = DataConfig()
    losses: LossConfig = LossConfig()
    alignment_weight: NonNegativeFloat = Field(
        VAE_ALIGNMENT_WEIGHT, description="of the REPA loss in the VAE's objective"
    )
    repa: RepaConfig = RepaConfig()
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
    optimizer: OptimizerConfig = Field(
        OptimizerConfig(lr=1e-4), description="of VAE, discriminator and generator, each with its own clip"
    )
    loop: LoopConfig
    ema: Decay = Field(0.9999, description="of the generator and the latent statistics; the VAE has none")
    statistics_images: PositiveInt = Field(
        10_000, description="images measured for the latents' statistics at the start"
    )
