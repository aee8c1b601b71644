"""The `sendvae` command. Heavy imports happen inside the commands, so that --help answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sendvae import __version__
from sendvae.cli import app as app_command
from sendvae.cli import (
    cache,
    data,
    demo,
    evaluate,
    export,
    models,
    reconstruct,
    report,
    reproduce,
    sample,
    train,
)
from sendvae.errors import UserError

app = typer.Typer(
    help="Generation-friendly image tokenizers: fine-tune, score, prove and export VAEs for latent diffusion.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("app")(app_command.app)
app.command("demo")(demo.demo)
app.command("export")(export.export)
app.command("reconstruct")(reconstruct.reconstruct)
app.command("report")(report.report)
app.command("reproduce")(reproduce.reproduce)
app.command("sample")(sample.sample)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")


def _show_version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = None,
) -> None:
    pass


def main() -> None:
    """Entry point: user errors become one message and exit code 2, an interruption a way to go on."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to go on\n")
        sys.exit(130)
