"""`sendvae report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="A run folder, a result (results.json or its folder), or an experiment's folder;"
            " or several experiments' folders.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write. Default: report.html beside what it shows; of several, in the current folder."
        ),
    ] = None,
) -> None:
    """Draw a self-contained page of a training, of an evaluation's result, or of experiments.

    An experiment (a demo, for example) need not be finished: the page says what is missing. Several experiments are
    drawn on one page, with all their cells in one table.

    Examples:

        sendvae report runs/imagenet256-sit-b1

        sendvae report runs/evaluate/latents-demo-f8d16

        sendvae report runs/demo --output demo.html

        sendvae report runs/demo runs/reproduce/tiny --output both.html
    """
    from sendvae.report import write_common_report, write_report

    page = write_report(sources[0], output) if len(sources) == 1 else write_common_report(sources, output)
    typer.echo(f"report: {page.resolve()}")
