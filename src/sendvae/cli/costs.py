"""The output of `sendvae train … --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sendvae.config import TrainingConfig
    from sendvae.training.cost import Estimate

GIB = 2**30
PREFIXES = {1e6: "M", 1e9: "G", 1e12: "T", 1e15: "P", 1e18: "E"}


@dataclass(frozen=True)
class Assumptions:
    """The quantities besides the configuration on which the hours and the memory of an estimate depend.

    Attributes:
        processes: the number of processes that train together.
        images_per_second: the speed of the whole training; None: hours at this speed are not shown.
        tflops: the sustained TFLOP/s of each process's device; None: hours at this rate are not shown.
    """

    processes: int = 1
    images_per_second: float | None = None
    tflops: float | None = None


def print_costs(config: TrainingConfig, given: Assumptions) -> None:
    """Print parameters, FLOPs, memory, steps, and hours at the given rates. Neither weights nor data are loaded."""
    from sendvae.training.estimate import estimate

    found = estimate(config)
    width = max(len(network.name) for network in found.networks)
    typer.echo("parameters")
    for network in found.networks:
        state = "trained" if network.trained else "frozen"
        typer.echo(f"  {network.name:<{width}}  {network.parameters:>13,}  {state}")
    typer.echo(f"an image: {flops_text(found.flops_per_image)} ({_parts(found.flops)})")
    if found.once:
        typer.echo(f"  and once an image of the data set, before training: {_parts(found.once)}")
    typer.echo(f"a step of {found.batch_size:,} images: {flops_text(found.flops_per_step)}")
    typer.echo(f"the run: {found.images:,} images, {found.steps:,} steps, {flops_text(found.flops_total)}")
    _print_memory(found, given.processes)
    typer.echo(
        f"a checkpoint: {found.checkpoint / 1e9:.2f} GB, every {config.loop.checkpoint_every:,} images"
    )
    if given.images_per_second is not None:
        hours = found.hours(images_per_second=given.images_per_second)
        typer.echo(f"time at {given.images_per_second:g} images/s: {time_text(hours)}")
    if given.tflops is not None:
        hours = found.hours(tflops=given.tflops * given.processes)
        typer.echo(
            f"time at {given.tflops:g} TFLOP/s, sustained, on each of {given.processes}: {time_text(hours)}"
            f", {hours * given.processes:,.1f} device hours"
        )


def _print_memory(found: Estimate, processes: int) -> None:
    memory = found.memory(processes)
    activations = memory.pop("activations")
    kept = ", ".join(f"{name} {size / GIB:.2f}" for name, size in memory.items())
    typer.echo(f"memory of each process ({processes}): {sum(memory.values()) / GIB:.2f} GiB ({kept})")
    typer.echo(
        f"  activations, an upper estimate in fp32: {activations / GIB:,.2f} GiB for the {found.share(processes):,} images of a "
        f"forward pass, {found.activations / GIB:.3f} GiB each; loop.accumulate and processes divide the batch"
    )


def _parts(flops: dict[str, float]) -> str:
    return ", ".join(f"{name} {flops_text(count)}" for name, count in flops.items())


def flops_text(count: float) -> str:
    """Return a number of FLOPs as text, with three digits and the prefix that fits."""
    power = max((p for p in PREFIXES if count >= p), default=min(PREFIXES))
    return f"{count / power:.3g} {PREFIXES[power]}FLOP"


def time_text(hours: float) -> str:
    """Return a time as text in hours, or in minutes if it is less than one hour."""
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"
