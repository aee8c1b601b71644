"""Configurations of `sendvae sample`, and of the sampling in previews and the demo."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from sendvae.config.schema_common import NameOf, PrecisionOrTF32, Section, TimeShift

NoiseLevel = Annotated[float, Field(ge=0.0, le=1.0)]


class SamplingConfig(Section):
    """How images are drawn from a diffusion model."""

    method: Annotated[str, NameOf("sampler")] = Field(
        "euler-maruyama",
        description="sampler; dopri5's steps are those of a batch, so batch_size matters there",
    )
    steps: PositiveInt = Field(250, description="network evaluations (heun: about twice as many)")
    guidance_scale: PositiveFloat = Field(1.0, description="1: no guidance")
    guidance_interval: list[NoiseLevel] = Field(
        [0.0, 1.0],
        min_length=2,
        max_length=2,
        description="lowest and highest noise level t at which guidance applies; t = 1 is noise",
    )
    time_shift: TimeShift = Field(
        1.0,
        description="s of s t / (1 + (s - 1) t): above 1 more steps lie near noise; dimension: RAE's, by the latent's"
        " size; LightningDiT's .3 is 1 / .3 here",
    )
    guided_channels: Literal["all", "first-three"] = Field(
        "all", description="latent channels that are guided; SiT and LightningDiT guide the first three"
    )
    labels: str = Field(
        "random",
        description="random, balanced (counts differ by at most one), proportional (to the training images);"
        " a class's name or number, a comma list of them, or a file with one a line",
    )
    images: PositiveInt = Field(50_000, description="how many")
    batch_size: PositiveInt = Field(250, description="of each process; changes pixels by rounding only")
    precision: PrecisionOrTF32 = Field(
        "fp32",
        description="of SiT and decoder; fp32: without TensorFloat-32, tf32: with it (REPA-E), bf16: autocast,"
        " auto: bf16 where the processor computes in it, else fp32",
    )
    rounding: Literal["nearest", "truncate"] = Field(
        "nearest", description="of pixels to 8 bits; truncate: towards 0, as REPA-E does"
    )

    @model_validator(mode="after")
    def _ordered(self) -> SamplingConfig:
        low, high = self.guidance_interval
        if low > high:
            raise ValueError(f"guidance_interval must rise, got {low} to {high}")
        return self

    @model_validator(mode="after")
    def _adaptive_steps_are_not_shifted(self) -> SamplingConfig:
        if self.method == "dopri5" and self.time_shift != 1.0:
            raise ValueError("dopri5 chooses its own times: set time_shift=1, or another method")
        return self


class SampleConfig(SamplingConfig):
    """The configuration of `sendvae sample`."""

    kind: Literal["sample"] = "sample"
    seed: NonNegativeInt = Field(0, description="of noise and labels")
