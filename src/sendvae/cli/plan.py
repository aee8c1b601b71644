"""The output of `sendvae reproduce --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sendvae.cli.costs import flops_text, time_text

if TYPE_CHECKING:
    from sendvae.experiments.study import Study


def print_plan(study: Study, tflops: float) -> None:
    """Print the cells of a study, their costs, and what is there or missing. Nothing is computed or fetched.

    Args:
        study: the study.
        tflops: the sustained TFLOP/s of one device.
    """
    from sendvae.experiments.study import lacking_texts

    config = study.scale.config
    typer.echo(f"scale {config.title}: {config.limits}")
    if study.paused:
        typer.echo(f"paused: stages in {study.folder} rest; sendvae reproduce --resume goes on")
    there = len(study.cells) - len(study.wanted)
    typer.echo(
        f"cells: {len(study.cells)}"
        + (f", of which {there} have a result or were not asked for" if there else "")
    )
    seeds: dict[str, list[str]] = {}
    for name, cell in study.wanted.items():
        state = "missing data" if name in study.lacking else "" if not study.finished(name) else "finished"
        seeds.setdefault(cell.method, []).append(f"{cell.seed}" + (f" ({state})" if state else ""))
    for method, found in seeds.items():
        typer.echo(f"  {method}: seeds {', '.join(found)}")
    for name, fields in study.refused.items():
        typer.echo(f"  not used, declared otherwise: {name}: {'; '.join(fields)}")
    _print_costs(study, tflops)
    if study.lacking:
        typer.echo("missing:")
        for text in lacking_texts(study.lacking):
            typer.echo("  " + text.replace("\n", "\n  "))
        typer.echo(f"  the images: {config.data}")


def _print_costs(study: Study, tflops: float) -> None:
    """Print the costs of the stages that are not finished, by kind of stage."""
    from sendvae.experiments.costs import Costs, stages_of

    config, costs, done = study.scale.config, Costs(), study.finished_stages()
    flops: dict[str, float] = {}
    counts: dict[str, int] = {}
    disk = 0.0
    for stage in stages_of(study.wanted.values()).values():
        if (stage.kind, stage.label) not in done:
            cost = costs.of(stage)
            disk += cost.disk
            counts[stage.kind] = counts.get(stage.kind, 0) + 1
            flops[stage.kind] = flops.get(stage.kind, 0.0) + (cost.flops or 0.0)

    def shown(count: float) -> str:
        return f"{flops_text(count)}, {time_text(count / (tflops * 1e12) / 3600)}"

    for kind, count in counts.items():
        typer.echo(f"  {count} stages of kind {kind}: {shown(flops[kind]) if flops[kind] else 'not counted'}")
    machine = f" ({config.machine})" if tflops == config.tflops else ""
    typer.echo(
        f"in all: {shown(sum(flops.values()))} at {tflops:g} TFLOP/s, sustained{machine}; probes, metrics and caches"
        " count nothing"
    )
    typer.echo(f"disk: {disk / 1e9:.1f} GB of checkpoints and samples, without caches, in {study.folder}")
