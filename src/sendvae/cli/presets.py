"""`sendvae presets`: every configuration that comes with the package."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer


def presets(
    kind: Annotated[
        str | None, typer.Argument(help="List one kind only: tokenizer, diffusion, joint, sample, ...")
    ] = None,
) -> None:
    """List the configurations that ship, by the command that takes them.

    Examples:

        sendvae presets

        sendvae presets diffusion
    """
    from sendvae.config import describe_presets
    from sendvae.config.wording import COMMANDS
    from sendvae.registry import unknown_name

    found = sorted(describe_presets(), key=lambda one: (list(COMMANDS).index(one.kind), one.name))
    kinds = list(dict.fromkeys(one.kind for one in found))
    if kind is not None and kind not in kinds:
        raise unknown_name("kind of preset", kind, kinds)
    width = max(len(one.name) for one in found)
    chosen = [one for one in found if kind in (None, one.kind)]
    for command, rows in groupby(chosen, key=lambda one: COMMANDS[one.kind]):
        typer.echo(f"{command} ...")
        for row in rows:
            typer.echo(f"  {row.name:{width}}  {row.line}")
