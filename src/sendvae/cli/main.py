"""The `sendvae` command. Heavy imports happen inside the commands, so that --help answers at once."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sendvae import __version__
from sendvae.cli import app as app_command
from sendvae.cli import (
    cache,
    data,
    demo,
    doctor,
    evaluate,
    export,
    models,
    presets,
    reconstruct,
    report,
    reproduce,
    sample,
    train,
)
from sendvae.cli.roof import Roof
from sendvae.cli.stopping import AGAIN, interruptible, terminable
from sendvae.cli.threads import limit_threads
from sendvae.errors import UserError


class _Commands(TyperGroup):
    """All commands. Each of them ends with a message when it is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command that is asked for."""
        if "" in sys.argv[1:]:
            raise UserError(
                "an argument is empty",
                given=shlex.join(["sendvae", *sys.argv[1:]]),
                next_step="leave it out, or set the variable that it was to come from",
            )
        ctx.ensure_object(Roof).traceback = ctx.params["traceback"]
        if ctx.params["threads"] is not None:
            limit_threads(ctx.params["threads"])
        with interruptible(f"what was finished is kept, and nothing half-written; {AGAIN}"):
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Commands,
    help="Generation-friendly image tokenizers: fine-tune, score, prove and export VAEs for latent diffusion.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("app")(app_command.app)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("export")(export.export)
app.command("presets")(presets.presets)
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
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            help="Show Python's traceback of an error. It stands before the command: sendvae --traceback ...",
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of each process. It stands before the command: sendvae --threads 1 ..."
        ),
    ] = None,
) -> None:
    pass


def main() -> None:
    """Entry point: errors become one message and exit code 2 or 1, an interruption a way to go on."""
    words = [word for word in sys.argv[1:] if not word.startswith("-") and not word.isdigit()]
    roof = Roof(tried=" ".join(["sendvae", *words[:1]]))
    with terminable():
        roof.cover(lambda: app(obj=roof))
