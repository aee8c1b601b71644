"""`sendvae demo`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

FULL_MINUTES = 8.0  # what the preset demo/full may take on 2 idle CPU cores


def demo(
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the results (runs/demo, or runs/demo-quick); the same one resumes."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The same path in about a minute; numbers mean nothing.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Train whatever is trained this many times.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(min=1, help="Scale every training from the 8-minute preset.")
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train the base tokenizer too (about an hour).")
    ] = False,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the preset.")] = None,
) -> None:
    """Watch a VAE become generation-friendly on real images, on a CPU, offline.

    The tokenizers that ship are scored and the diffusion models that ship are sampled; then a tokenizer is fine-tuned
    and a small SiT is trained on two latent spaces. A self-contained report.html opens with learning curves that were
    measured before, and follows the run. Ctrl-C and the same command again resume.

    Examples:

        sendvae demo

        sendvae demo --quick --run runs/quick

        sendvae demo --seeds 3 --minutes 60 --run runs/study sampling.images=2000
    """
    from sendvae.cli.checks import read_config
    from sendvae.config import DemoConfig
    from sendvae.experiments import process
    from sendvae.extras import require

    require("demo", "the demo")
    process.prepare()  # which imports what the stages need while this process does the same for itself
    config = read_config(DemoConfig, "demo/quick" if quick else "demo/full", overrides or [])
    if minutes is not None:
        factor = minutes / FULL_MINUTES
        config = config.model_copy(
            update={
                "tokenizer_images": max(64, round(config.tokenizer_images * factor)),
                "diffusion_images": max(64, round(config.diffusion_images * factor)),
            }
        )
    folder = run or Path("runs/demo-quick" if quick else "runs/demo")

    from sendvae.cli.stopping import AGAIN, graceful
    from sendvae.experiments import runner
    from sendvae.experiments.demo import about_demo, demo_cells
    from sendvae.experiments.schedule import StagesFailed
    from sendvae.report import PAGE, write_report
    from sendvae.training import Stopped

    cells = demo_cells(config, range(seeds), from_scratch)
    about = about_demo(config, shlex.join(["sendvae", *sys.argv[1:]]), quick)
    typer.echo(f"{(folder / PAGE).resolve()} follows the run: open it in a browser")
    with graceful(f"stages that were finished are kept; {AGAIN}"):
        try:
            runner.run(cells, folder, about, watch=lambda: write_report(folder, live=True))
        except Stopped:
            write_report(folder)  # as it stands
            raise
        except StagesFailed as failed:
            typer.echo(f"report: {write_report(folder).resolve()}")
            sys.stderr.write(f"{failed}\n")
            raise typer.Exit(1) from None
    typer.echo(f"report: {write_report(folder).resolve()}")
