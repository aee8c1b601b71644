"""The options that the commands of `sendvae evaluate` share, and the way in which they end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.cli.stopping import AGAIN

if TYPE_CHECKING:
    from sendvae.evaluation.results import Result

Overrides = Annotated[list[str] | None, typer.Argument(help="key=value changes of the protocol.")]
Output = Annotated[
    Path | None,
    typer.Option(
        help="Folder of results.json and pictures. Default: named by the inputs, below runs/evaluate."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a result of other inputs in that folder.")]
Cache = Annotated[Path, typer.Option(help="Folder of cached statistics and latents.")]
PrintOption = Annotated[bool, typer.Option("--print-config", help="Show the resolved protocol and stop.")]
KEPT = f"statistics, latents and samples that were finished are kept, a result only when it is whole; {AGAIN}"


def finish(result: Result | None, folder: Path) -> None:
    """Save a result and print its table. Processes that have no result do nothing."""
    if result is None:
        return
    from rich.console import Console

    from sendvae.evaluation.tables import print_result

    path = result.save(folder)
    print_result(result, Console())
    typer.echo(f"results: {path}")


def folder_name(source: str) -> str:
    """Return the last part of a path or name, without its suffix, as a part of the name of a folder."""
    return Path(source.rstrip("/")).stem.replace(":", "-")
