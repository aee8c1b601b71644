"""`sendvae train tokenizer|diffusion|joint`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Train a tokenizer, a diffusion transformer on its latents, or both together.", no_args_is_help=True
)

ConfigArgument = Annotated[str, typer.Argument(help="A preset (demo/send-vae) or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value changes, as optimizer.lr=1e-4.")]
RunOption = Annotated[
    Path | None, typer.Option(help="Run folder; default runs/PRESET. The same folder resumes.")
]
CacheOption = Annotated[Path, typer.Option(help="Where features that do not change are kept.")]
PrintOption = Annotated[
    bool, typer.Option("--print-config", help="Show the resolved configuration and leave.")
]


@app.command()
def tokenizer(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
) -> None:
    """Fine-tune a VAE: Send-VAE, VA-VAE's direct alignment, or plain.

    Examples:

        sendvae train tokenizer demo/send-vae

        sendvae train tokenizer demo/send-vae alignment.depth=2 seed=1 --run runs/deeper

        torchrun --nproc-per-node 8 --no-python -- sendvae train tokenizer demo/send-vae
    """
    from sendvae.config import TokenizerConfig, load_config, to_yaml

    resolved = load_config(TokenizerConfig, config, overrides or [])
    if print_config:
        typer.echo(to_yaml(resolved))
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.training import train_tokenizer

    with graceful(), process_group():
        exported = train_tokenizer(resolved, run or _default_run(config), cache, name=Path(config).stem)
    typer.echo(f"tokenizer: {exported}")


@app.command()
def diffusion(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
) -> None:
    """Train a SiT with the REPA loss on a frozen tokenizer's latents.

    Example:

        sendvae train diffusion demo/sit-tiny tokenizer=runs/demo/send-vae --run runs/sit
    """
    from sendvae.config import DiffusionConfig, load_config, to_yaml

    resolved = load_config(DiffusionConfig, config, overrides or [])
    if print_config:
        typer.echo(to_yaml(resolved))
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.evaluation import Preview
    from sendvae.training import train_diffusion

    preview = partial(Preview, resolved.preview, seed=resolved.seed) if resolved.preview else None
    with graceful(), process_group():
        exported = train_diffusion(
            resolved, run or _default_run(config), cache, name=Path(config).stem, preview=preview
        )
    typer.echo(f"SiT: {exported}")


@app.command()
def joint(
    config: ConfigArgument,
    overrides: Overrides = None,
    run: RunOption = None,
    cache: CacheOption = Path("runs/cache"),
    print_config: PrintOption = False,
) -> None:
    """Train a VAE and a SiT end to end (REPA-E): the VAE by the REPA loss through the frozen SiT.

    Example:

        sendvae train joint demo/joint --run runs/joint
    """
    from sendvae.config import JointConfig, load_config, to_yaml

    resolved = load_config(JointConfig, config, overrides or [])
    if print_config:
        typer.echo(to_yaml(resolved))
        return
    from sendvae.cli.stopping import graceful
    from sendvae.distributed import process_group
    from sendvae.training import train_joint

    with graceful(), process_group():
        exported = train_joint(resolved, run or _default_run(config), cache, name=Path(config).stem)
    typer.echo(f"tokenizer: {exported / 'tokenizer'}\nSiT: {exported / 'sit'}")


def _default_run(config: str) -> Path:
    return Path("runs") / Path(config).with_suffix("")
