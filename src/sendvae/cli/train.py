"""`sendvae train tokenizer|diffusion|joint`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.cli.costs import Assumptions, print_costs
from sendvae.cli.names import short_name
from sendvae.errors import UserError

if TYPE_CHECKING:
    from sendvae.config import TrainingConfig

app = typer.Typer(
    help="""Train a tokenizer, a diffusion transformer on its latents, or both together.

    A run is a folder with its configuration, checkpoints, curves (metrics.jsonl) and the exported model. The same
    command on the same folder goes on where it stopped. Ctrl-C writes a checkpoint first.

    Examples:

        sendvae train tokenizer demo/send-vae

        sendvae train diffusion demo/sit-tiny tokenizer=runs/demo/send-vae

        sendvae train joint demo/joint data.source=IMAGES --print-config
    """,
    no_args_is_help=True,
)

ConfigArgument = Annotated[
    str, typer.Argument(help="A preset of this kind (sendvae presets lists them) or a YAML file.")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value changes, such as optimizer.lr=1e-4.")]
RunOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the run; a run that is in it goes on. Default: named by the preset, below runs/."
    ),
]
CacheOption = Annotated[Path, typer.Option(help="Folder of cached latents and features.")]
PrintOption = Annotated[
    bool, typer.Option("--print-config", help="Show the resolved configuration and stop.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show parameters, FLOPs, memory and steps, and stop; nothing is loaded."),
]
ProfileOption = Annotated[
    int,
    typer.Option(
        "--profile",
        min=0,
        help="Trace this many steps into RUN/profile.json, and show where their time goes.",
    ),
]
ProcessesOption = Annotated[
    int, typer.Option(min=1, help="With --dry-run: number of devices that share a batch.")
]
ThroughputOption = Annotated[
    float | None,
    typer.Option(min=0.001, help="With --dry-run: show the hours at this rate of all devices together."),
]
TflopsOption = Annotated[
    float | None,
    typer.Option(min=0.001, help="With --dry-run: show the hours at this sustained rate of each device."),
]


@app.command()
def tokenizer(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
    dry_run: DryRunOption = False,
    processes: ProcessesOption = 1,
    images_per_second: ThroughputOption = None,
    tflops: TflopsOption = None,
    profile: ProfileOption = 0,
) -> None:
    """Fine-tune a VAE by Send-VAE, by VA-VAE's direct alignment, or without alignment.

    Examples:

        sendvae train tokenizer demo/send-vae

        sendvae train tokenizer demo/send-vae alignment.depth=2 seed=1 --run runs/deeper

        sendvae train tokenizer imagenet256-f16d32-send --dry-run --processes 8 --tflops 350

        sendvae train tokenizer demo/plain init=fresh:f16d32 data.source=IMAGES

        torchrun --nproc-per-node 8 --no-python -- sendvae train tokenizer demo/send-vae
    """
    from sendvae.cli.checks import read_config
    from sendvae.config import TokenizerConfig

    resolved = read_config(TokenizerConfig, config, overrides or [])
    if _shown(resolved, print_config, dry_run, Assumptions(processes, images_per_second, tflops)):
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.runs.profiling import TRACE, profiling
    from sendvae.training import train_tokenizer

    folder = run or _default_run(config)
    with graceful(), process_group(), profiling(profile, folder / TRACE):
        exported = train_tokenizer(resolved, folder, cache, name=Path(config).stem)
    typer.echo(f"tokenizer: {exported}")


@app.command()
def diffusion(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
    dry_run: DryRunOption = False,
    processes: ProcessesOption = 1,
    images_per_second: ThroughputOption = None,
    tflops: TflopsOption = None,
    profile: ProfileOption = 0,
) -> None:
    """Train a generator with the REPA loss on a frozen tokenizer's latents.

    The run's folder is runs/PRESET-TOKENIZER by default.

    Examples:

        sendvae train diffusion demo/sit-tiny tokenizer=runs/demo/send-vae

        sendvae train diffusion demo/sit-tiny tokenizer=runs/demo/send-vae --run runs/sit

        sendvae train diffusion demo/sit-tiny tokenizer=demo-f8d16 repa=null model=SiT-S/2

        sendvae train diffusion imagenet256-sit-xl1 --dry-run --processes 8 --tflops 350
    """
    from sendvae.cli.checks import read_config
    from sendvae.config import DiffusionConfig

    resolved = read_config(DiffusionConfig, config, overrides or [])
    if _shown(resolved, print_config, dry_run, Assumptions(processes, images_per_second, tflops)):
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.evaluation import Preview
    from sendvae.runs.profiling import TRACE, profiling
    from sendvae.training import train_diffusion

    preview = partial(Preview, resolved.preview, seed=resolved.seed) if resolved.preview else None
    folder = run or _default_run(config, resolved.tokenizer)
    with graceful(), process_group(), profiling(profile, folder / TRACE):
        exported = train_diffusion(resolved, folder, cache, name=Path(config).stem, preview=preview)
    typer.echo(f"generator: {exported}")


@app.command()
def joint(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
    dry_run: DryRunOption = False,
    processes: ProcessesOption = 1,
    images_per_second: ThroughputOption = None,
    tflops: TflopsOption = None,
    profile: ProfileOption = 0,
) -> None:
    """Train a VAE and a generator end to end (REPA-E).

    The VAE is trained by the REPA loss through the frozen generator. The run's folder gets both models: "tokenizer"
    and "sit".

    Examples:

        sendvae train joint demo/joint --run runs/joint

        sendvae train joint demo/joint alignment_weight=0.5 loop.accumulate=2

        sendvae train joint imagenet256-f16d32-repae --dry-run --processes 8 --tflops 350
    """
    from sendvae.cli.checks import read_config
    from sendvae.config import JointConfig

    resolved = read_config(JointConfig, config, overrides or [])
    if _shown(resolved, print_config, dry_run, Assumptions(processes, images_per_second, tflops)):
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.runs.profiling import TRACE, profiling
    from sendvae.training import train_joint

    folder = run or _default_run(config)
    with graceful(), process_group(), profiling(profile, folder / TRACE):
        exported = train_joint(resolved, folder, cache, name=Path(config).stem)
    typer.echo(f"tokenizer: {exported / 'tokenizer'}\ngenerator: {exported / 'sit'}")


def _shown(
    config: TrainingConfig,
    print_config: bool,
    dry_run: bool,
    assumptions: Assumptions,
) -> bool:
    """Print the configuration or its costs if only these are asked for; return whether they are.

    Raises:
        UserError: assumptions are given without `dry_run`.
    """
    from sendvae.config import to_yaml

    if print_config:
        typer.echo(to_yaml(config))
    if dry_run:
        print_costs(config, assumptions)
    elif assumptions != Assumptions():
        raise UserError(
            "--processes, --images-per-second and --tflops belong to --dry-run",
            next_step="add --dry-run; processes that train are started by torchrun",
        )
    return print_config or dry_run


def _default_run(config: str, tokenizer: str | None = None) -> Path:
    """Return `runs/PRESET`, or for a generator `runs/PRESET-TOKENIZER`, so that each tokenizer has a folder."""
    path = Path(config)
    name = path.stem if path.suffix in (".yaml", ".yml") else path.name
    return Path("runs") / path.parent / (name if tokenizer is None else f"{name}-{short_name(tokenizer)}")
