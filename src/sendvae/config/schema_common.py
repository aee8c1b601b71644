"""Sections and types of configurations that several jobs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

Precision = Literal["auto", "fp32", "bf16"]
PrecisionOrTF32 = Literal["auto", "fp32", "tf32", "bf16"]
HOW_FAST = (
    "compile",
    "threads",
)  # fields of `LoopConfig` that change how long a run takes, but its results only by rounding
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
TimeShift = PositiveFloat | Literal["dimension"]


@dataclass(frozen=True)
class NameOf:
    """A mark for a field that holds a name of a registry. The command line looks the name up before it does anything.

    Attributes:
        kind: the registry, such as "tokenizer", "generator", "vision backbone" or "sampler"; see `sendvae.cli.checks`.
    """

    kind: str


class Section(BaseModel):
    """A section of a configuration. It is strict and frozen, and an unknown key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataConfig(Section):
    """The training images, and whether the foundation model's features of them are kept on disk."""

    source: str = Field(
        "embedded:emoji",
        description="'embedded:emoji', a folder or URL of prepared shards; of generators also 'lightningdit:FOLDER' of latents",
    )
    split: Literal["train", "val", "test"] = "train"
    limit: PositiveInt | None = Field(None, description="use only the first so many images of the split")
    size: PositiveInt | None = Field(
        None, description="pixels of a side; a data set of another size is refused"
    )
    crop: Literal["none", "random"] = Field(
        "none",
        description="random: a window of data.size pixels at a place of its own at every pass, of images prepared"
        " with --crop short-side, or larger; caches nothing",
    )
    classes: PositiveInt | None = Field(
        None, description="a data set of another number of classes is refused"
    )
    tokens: Literal["cached", "online"] = Field(
        "online",
        description="the foundation model's features: computed at every step, or once and kept on disk"
        " (DINOv2-B's of ImageNet at grid 16: 504 GB)",
    )
    flip: bool = Field(
        False,
        description="mirror each image with probability 1/2, anew at every pass; caches then hold both views",
    )
    workers: NonNegativeInt = Field(0, description="loader processes; 0 loads in the training process")

    @model_validator(mode="after")
    def _random_crops_are_cached_nowhere(self) -> DataConfig:
        if self.crop == "random" and self.size is None:
            raise ValueError("data.crop=random needs the size of the window: set data.size")
        cached = [name for name in ("tokens", "latents") if getattr(self, name, "online") == "cached"]
        if self.crop == "random" and cached:
            raise ValueError(
                f"of random crops nothing can be cached: set {' and '.join(f'data.{n}=online' for n in cached)}"
            )
        return self


class OptimizerConfig(Section):
    """AdamW, with one gradient-norm clip per network."""

    lr: PositiveFloat = Field(3e-4, allow_inf_nan=False)
    betas: list[Decay] = Field([0.9, 0.999], min_length=2, max_length=2)
    weight_decay: NonNegativeFloat = 0.0
    clip: PositiveFloat = Field(1.0, description="largest gradient norm, separately for each network")
    warmup: NonNegativeInt = Field(0, description="images over which the rate rises linearly from 0")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="after the warm-up: constant, or a half cosine to 0 at the last image"
    )


class LoopConfig(Section):
    """How long a training runs, how often it saves and logs, and how it computes. Progress is counted in images."""

    images: PositiveInt = Field(description="images to see in all")
    batch_size: PositiveInt = Field(description="global batch, of all processes together")
    accumulate: PositiveInt = Field(1, description="pieces in which each process takes its share of a batch")
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="with several processes: whole networks on each (ddp), or a sharded generator (fsdp)",
    )
    log_every: PositiveInt = Field(1024, description="images between two lines of metrics.jsonl")
    checkpoint_every: PositiveInt = Field(100_000, description="images between two checkpoints")
    keep_last: PositiveInt = Field(2, description="how many of the newest checkpoints stay")
    milestone_every: PositiveInt | None = Field(
        None, description="checkpoints that pass a multiple of so many images stay for good"
    )
    nonfinite_limit: PositiveInt = Field(
        5, description="so many steps in a row with a loss or gradient that is not finite end the run"
    )
    trackers: Annotated[list[str], NameOf("tracker")] = Field(
        [], description="where scalars go besides metrics.jsonl"
    )
    cuda_graph: bool = Field(
        False,
        description="on a GPU record a step once and replay it: small networks are launched several times faster",
    )
    compile: Literal["auto", "off", "regional"] = Field(
        "off",
        description="regional: every block of the networks is compiled by itself; auto: on GPUs, not on CPUs; losses are"
        " those of off up to rounding, and checkpoints the same",
    )
    threads: PositiveInt | Literal["auto"] | None = Field(
        None,
        description="of a step on a CPU; auto: the fastest number, measured on the steps, and again when they take"
        " twice as long (equal up to rounding only); null: as the process was started",
    )
    precision: PrecisionOrTF32 = Field(
        "auto",
        description="fp32: without TensorFloat-32, tf32: with it on NVIDIA GPUs, bf16: autocast; auto: bf16 where the"
        " processor computes in it, else fp32",
    )

    @field_validator("compile", mode="before")
    @classmethod
    def _read_off(cls, value: object) -> object:
        """Return "off" for False, which is what YAML makes of a bare off."""
        return "off" if value is False else value
