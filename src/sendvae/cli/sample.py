"""`sendvae sample`: images from trained diffusion models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.errors import UserError

if TYPE_CHECKING:
    from sendvae.config import SampleConfig
    from sendvae.evaluation.diffusion_model import DiffusionModel

NPZ, PICTURE = ".npz", ".png"
FILES = (".png", ".jpg", ".jpeg", ".webp", ".npy", ".zip", ".tar")  # a name of a folder ends in none of these


def sample(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|KEY=VALUE",
            help="A run of train diffusion or joint, one of its checkpoints, an exported generator, or a file of SiT,"
            " LightningDiT, REPA or REPA-E; several for a grid. Then key=value changes of the preset.",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            help="NAME.npz (as ADM's evaluator reads it), a folder of PNG, or NAME.png with --grid."
        ),
    ],
    preset: Annotated[
        str, typer.Option(help="Settings of the sampling: a preset or a YAML file.")
    ] = "sample/paper",
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of images; default: the preset's.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="random, balanced or proportional; or classes by name or number: one, a comma list, or a file of one a line."
        ),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Scale of classifier-free guidance; 1 is none.")
    ] = None,
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Range of noise levels at which guidance applies, within 0 and 1; 1 is noise.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of steps of the sampler.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of noise and labels.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Tokenizer in place of the run's; needed for a generator without its run."),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help="Draw one picture with a panel for each run, from equal noise and labels.",
        ),
    ] = None,
    checkpoint: Annotated[
        int | None,
        typer.Option(metavar="STEP", help="Take this checkpoint of the run in place of its exported model."),
    ] = None,
    raw_weights: Annotated[
        bool,
        typer.Option(
            "--raw-weights", help="Take the trained weights of a checkpoint in place of the averaged ones."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace samples that were drawn otherwise.")
    ] = False,
    profile: Annotated[
        int,
        typer.Option(
            min=0, help="Trace this many batches into TO.profile.json, and show where their time goes."
        ),
    ] = 0,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show the resolved settings and stop.")
    ] = False,
) -> None:
    """Draw images from a diffusion model.

    The noise of an image depends on the seed, its number and the step alone: batch size and number of processes change
    pixels by rounding at most. Everything that the images depend on is recorded in NAME.json beside NAME.npz or
    NAME.png, and in samples.json inside a folder. If the command is killed, the same command goes on.

    Examples:

        sendvae sample runs/sit --to samples.npz --images 50000 --labels balanced --guidance 2.5 --interval 0 0.75

        sendvae sample runs/sit --to pictures --images 100 --labels cat,dog method=heun steps=50

        sendvae sample runs/sit-plain runs/sit-send --grid 8x8 --to grid.png --seed 3

        sendvae sample runs/sit --checkpoint 50000 --grid 4x4 --to step-50000.png

        torchrun --nproc-per-node 8 --no-python -- sendvae sample runs/sit --to samples.npz --labels balanced
    """
    from sendvae.cli.checks import read_config
    from sendvae.config import SampleConfig, to_yaml

    changes = [word for word in runs if "=" in word and not Path(word).exists()]
    sources = [word for word in runs if word not in changes]
    if not sources:
        raise UserError("no run to draw images from", given=" ".join(runs))
    given = {
        "images": images,
        "labels": labels,
        "guidance_scale": guidance,
        "guidance_interval": list(interval) if interval else None,
        "steps": steps,
        "seed": seed,
    }
    changes += [f"{key}={_yaml(value)}" for key, value in given.items() if value is not None]
    rows = _rows_of_grid(grid, changes)
    config = read_config(SampleConfig, preset, changes)
    config = _with_file_length(config, changes)
    _check_target(to, grid, sources)
    if print_config:
        typer.echo(to_yaml(config))
        return
    from sendvae.cli.notes import warnings_as_notes
    from sendvae.cli.stopping import AGAIN, interruptible
    from sendvae.distributed import is_main, process_group
    from sendvae.runs.profiling import TRACE, profiling

    trace = to.with_name(f"{to.name}.{TRACE}")
    kept = f"images that were drawn are kept in {to}.part; {AGAIN}"
    with interruptible(kept), process_group() as device, warnings_as_notes(), profiling(profile, trace):
        from sendvae.diffusion import SAMPLERS
        from sendvae.evaluation.diffusion_model import load_model
        from sendvae.evaluation.sample_grid import write_grid
        from sendvae.evaluation.sample_job import write_samples

        SAMPLERS[config.method]  # an unknown name is an error before weights are read
        to.parent.mkdir(parents=True, exist_ok=True)
        models = [load_model(source, tokenizer, checkpoint, raw_weights) for source in sources]
        if is_main():
            _announce(models, config, to)
        if rows is not None:
            new = write_grid(models, config, rows, to, device, force)
        else:
            new = write_samples(models[0], config, to, device, force)
        if is_main():
            typer.echo(f"samples: {to}" + ("" if new else " (they were there already)"))


def _yaml(value: object) -> str:
    """Return a value as YAML, in quotes if it is a string, so that a class number stays a string."""
    import json

    return json.dumps(value)


def _rows_of_grid(grid: str | None, changes: list[str]) -> int | None:
    """Return the rows of the grid, and add its number of images to the changes; None without a grid.

    Raises:
        UserError: the grid is no size, or the number of images is given, too.
    """
    if grid is None:
        return None
    found = re.fullmatch(r"([1-9]\d*)[xX×]([1-9]\d*)", grid)
    if found is None:
        raise UserError("--grid is no size", given=grid, expected="ROWSxCOLUMNS, as 8x8")
    if any(change.startswith("images=") for change in changes):
        raise UserError("--grid says how many images there are", given=grid, next_step="leave --images out")
    changes.append(f"images={int(found[1]) * int(found[2])}")
    return int(found[1])


def _with_file_length(config: SampleConfig, changes: Sequence[str]) -> SampleConfig:
    """Return the settings with as many images as a file of labels has, if labels are a file and no number is given."""
    path = Path(config.labels)
    if any(change.startswith("images=") for change in changes) or not path.is_file():
        return config
    count = sum(bool(line.strip()) for line in path.read_text().splitlines())
    return config.model_copy(update={"images": max(1, count)})


def _check_target(to: Path, grid: str | None, sources: Sequence[str]) -> None:
    suffix = to.suffix.lower()
    if grid is not None:
        if to.suffix != PICTURE:
            raise UserError("--grid is one picture", given=f"--to {to}", expected=f"NAME{PICTURE}")
        return
    if len(sources) > 1:
        raise UserError(
            "several runs make one picture",
            given=", ".join(sources),
            next_step="add --grid 8x8, or name one run",
        )
    if suffix in FILES or (suffix == NPZ and to.suffix != NPZ):
        next_step = f"for one picture: --grid 8x8 --to {to}" if suffix == PICTURE else None
        raise UserError(
            "--to names no place for samples",
            given=to,
            expected=f"NAME{NPZ}, or a folder",
            next_step=next_step,
        )


def _announce(models: Sequence[DiffusionModel], config: SampleConfig, to: Path) -> None:
    first = models[0]
    for model in models:
        if model.classes.names is None and not config.labels[:1].isdigit():
            typer.echo(f"note: {model.name} came without class names; classes go by number", err=True)
        if model.latent_shape != first.latent_shape:
            typer.echo(
                f"note: latents of {model.name} have another shape than {first.name}'s: equal labels, other noise",
                err=True,
            )
    count = config.images * len(models)
    typer.echo(f"{to}: {count:,} images of {first.pixels} x {first.pixels} pixels", err=True)
