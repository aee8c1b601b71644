"""`sendvae demo`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

FULL_MINUTES = 9.0  # what the preset demo/full takes on 2 idle CPU cores


def demo(
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run; a run that is in it goes on. Default: runs/demo, with --quick runs/demo-quick."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do the same in about a minute; the numbers then mean nothing.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Number of times that everything is trained.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=1,
            help="Scale every training in proportion to these minutes; the preset takes about 9 on 2 idle cores.",
        ),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Train the base tokenizer, too (about an hour).")
    ] = False,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the preset.")] = None,
) -> None:
    """Score, sample and train what ships, on embedded images, on a CPU, offline.

    The tokenizers that ship are scored and the diffusion models that ship are sampled. Then a tokenizer is fine-tuned
    and a small SiT is trained on two latent spaces. The page report.html follows the run and opens with learning curves
    that were measured before. After Ctrl-C, the same command goes on.

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
    process.prepare()  # the server imports what the stages need while this process does the same for itself
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
