"""`sendvae cache list|prune`."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.errors import UserError

if TYPE_CHECKING:
    from sendvae.runs.caches import Found

app = typer.Typer(
    help="List and remove what is kept between runs: tokens, latents, statistics.", no_args_is_help=True
)

CacheOption = Annotated[Path, typer.Option(help="Folder of the caches.")]
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)?", re.IGNORECASE)
BYTES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
DAY = 86400.0  # seconds
AGES = ((DAY, "d"), (3600.0, "h"), (60.0, "min"))


@app.command("list")
def list_(cache: CacheOption = Path("runs/cache")) -> None:
    """List caches: name, what they hold, of which images, their size, and when they were last used.

    Example:

        sendvae cache list

        sendvae cache list --cache /data/cache
    """
    from sendvae.runs import list_caches

    found = list_caches(cache)
    if not found:
        typer.echo(f"no caches in {cache}")
        return
    _print(found)


@app.command()
def prune(
    cache: CacheOption = Path("runs/cache"),
    name: Annotated[
        list[str] | None,
        typer.Option(help="Only caches of this name, or of this pattern ('tokens-*'); may be repeated."),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Only caches that were not used for this many days."),
    ] = None,
    larger_than: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Only caches larger than this, such as 500MB or 1.5GB.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove them; without it, they are only listed.")
    ] = False,
) -> None:
    """Remove caches that meet every condition. They are computed again when they are needed.

    Nothing else in that folder is touched, and no cache that another process is writing.

    Examples:

        sendvae cache prune --older-than 30

        sendvae cache prune --name 'tokens-*' --larger-than 10GB --yes
    """
    import time

    from sendvae.runs import list_caches
    from sendvae.runs.caches import in_units, remove

    smallest = _bytes(larger_than) if larger_than is not None else None
    if not name and older_than is None and smallest is None:
        raise UserError(
            "nothing says which caches",
            expected="--name, --older-than or --larger-than",
            next_step="--name '*' means all of them",
        )
    chosen = [
        one
        for one in list_caches(cache)
        if (not name or any(fnmatch(one.path.name, pattern) for pattern in name))
        and (older_than is None or time.time() - one.used > older_than * DAY)
        and (smallest is None or one.size > smallest)
    ]
    if not chosen:
        typer.echo(f"no such cache in {cache}")
        return
    _print(chosen)
    if not yes:
        typer.echo(f"would free {in_units(sum(one.size for one in chosen))}; --yes removes them")
        return
    freed = 0
    for one in chosen:
        if remove(one.path):
            freed += one.size
        else:
            typer.echo(f"{one.path.name} is being written; it stays", err=True)
    typer.echo(f"freed {in_units(freed)}")


def _print(found: list[Found]) -> None:
    import time

    from sendvae.runs.caches import in_units

    now = time.time()
    rows = [("name", "what", "data", "size", "age", "")]
    for one in found:
        state = "" if one.state == "whole" else one.state
        rows.append((one.path.name, one.what, one.data, in_units(one.size), _age(now - one.used), state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(n) if i in (3, 4) else text.ljust(n)
            for i, (text, n) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    typer.echo(f"{len(found)} caches, {in_units(sum(one.size for one in found))}; age: since the last use")


def _age(seconds: float) -> str:
    for unit, name in AGES:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def _bytes(text: str) -> float:
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise UserError("--larger-than is no size", given=text, expected="for example 500MB or 1.5GB")
    return float(match[1]) * BYTES[(match[2] or "B").lower()]
