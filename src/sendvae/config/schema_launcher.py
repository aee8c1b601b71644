"""Configurations of what runs the stages of an experiment: processes of this machine, a Ray cluster, or Slurm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from sendvae.config.schema_common import Section


class LocalConfig(Section):
    """Processes of this machine, which share its cores."""

    kind: Literal["local"] = "local"


class RayConfig(Section):
    """Tasks of a Ray cluster whose nodes see the same files and have sendvae installed."""

    kind: Literal["ray"] = "ray"
    address: str = Field(
        "auto",
        min_length=1,
        description="HOST:PORT of the head; auto: RAY_ADDRESS, or the node of this machine; local: a node for this run",
    )
    cpus: PositiveInt = Field(1, description="of a stage, and its threads")
    gpus: NonNegativeFloat = Field(0.0, description="of a stage; less than 1 lets stages share one")
    memory: PositiveFloat | None = Field(None, description="GB that a stage reserves")
    resources: dict[str, NonNegativeFloat] = Field({}, description="of your own that a stage takes")


class SubmititConfig(Section):
    """Jobs that submitit hands to Slurm; nodes see the same files and have sendvae installed."""

    kind: Literal["submitit"] = "submitit"
    executor: Literal["slurm", "local"] = Field(
        "slurm", description="local: processes of this machine in place of jobs, to try it"
    )
    minutes: PositiveInt = Field(
        1440, description="of a job; a stage that needs more is queued again and goes on"
    )
    warning: PositiveInt = Field(
        120, description="seconds before the end of its time, in which a stage writes its checkpoint"
    )
    cpus: PositiveInt = Field(1, description="of a stage, and its threads")
    gpus: NonNegativeInt = Field(0, description="of a stage")
    memory: PositiveFloat | None = Field(None, description="GB of a stage")
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = Field([], description="lines of shell before each job, as 'module load cuda'")
    sbatch: dict[str, str | int | float | bool] = Field(
        {}, description="further options of sbatch, by their long names"
    )
