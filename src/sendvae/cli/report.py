"""`sendvae report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    source: Annotated[
        Path,
        typer.Argument(
            help="A run folder, a result (results.json or its folder), or an experiment's folder."
        ),
    ],
    output: Annotated[Path | None, typer.Option(help="Default: report.html beside what it shows.")] = None,
) -> None:
    """Draw a self-contained page: of a training, of an evaluation's result, or of an experiment.

    Of a demo, for example, which need not be finished: the page says what is missing.

    Examples:

        sendvae report runs/imagenet256-sit-b1

        sendvae report runs/evaluate/latents-demo-f8d16

        sendvae report runs/demo --output demo.html
    """
    from sendvae.report import write_report

    typer.echo(f"report: {write_report(source, output).resolve()}")
