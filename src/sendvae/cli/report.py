"""`sendvae report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A finished demo folder, with summary.json.")],
    output: Annotated[Path | None, typer.Option(help="Default: report.html in the folder.")] = None,
) -> None:
    """Draw the report of a finished run again.

    Example:

        sendvae report runs/demo
    """
    from sendvae.errors import UserError
    from sendvae.experiments.summary import Summary
    from sendvae.report import write_report

    path = run / "summary.json"
    if not path.is_file():
        raise UserError(
            "nothing to report", given=f"no {path}", next_step=f"finish it: sendvae demo --run {run}"
        )
    typer.echo(write_report(Summary.load(path), run, output or run / "report.html"))
