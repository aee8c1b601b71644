"""`sendvae models`: what can be loaded; `sendvae models pull NAME`: fetch it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from sendvae.weights import Weights


class ListByDefault(TyperGroup):
    """`sendvae models` means `sendvae models list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before the arguments where there are none, or `--json` alone."""
        return super().parse_args(ctx, args if args and args != ["--json"] else ["list", *args])


app = typer.Typer(
    cls=ListByDefault,
    help="""List the networks that can be loaded, or fetch their weights.

    Examples:

        sendvae models

        sendvae models pull dinov2-b
    """,
)

TOKENIZER = "tokenizer"  # a kind of network, beside others
FLOAT32 = 4  # bytes
UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


@dataclass(frozen=True)
class Row:
    """A network of one of the registries.

    Attributes:
        parameters: the number of the network's parameters.
        files: the files of its weights, as their makers name them.
        size: the bytes of the weights on this machine, else the published ones; None if neither is known.
        here: the path of the first file of the weights on this machine; None if they are not here.
        abilities: what can be done with a tokenizer: "score" (and generate in it), "train", "export".
    """

    kind: str
    name: str
    licence: str
    source: str
    parameters: int
    files: tuple[str, ...]
    size: int | None
    here: Path | None
    abilities: tuple[str, ...] = ()


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
) -> None:
    """List every network by name: source, licence, size, and whether its weights are on this machine.

    Tokenizers are grouped by what can be done with them. Any other repository of such a network, or of a class of
    diffusers that they have, goes by hf-hub:OWNER/REPOSITORY.

    Example:

        sendvae models --json
    """
    from sendvae.tokenizers import TOKENIZERS

    rows = [
        _row(kind, name, weights, TOKENIZERS[name].abilities if kind == TOKENIZER else ())
        for kind, name, weights in networks()
    ]
    if as_json:
        import json

        typer.echo(json.dumps([asdict(row) for row in rows], indent=1, default=str))
    else:
        _show(rows)


@app.command()
def pull(
    names: Annotated[
        list[str], typer.Argument(help="Names of `sendvae models`, or hf-hub:OWNER/REPOSITORY.")
    ],
) -> None:
    """Fetch weights into the local cache and compare them with their published sizes and digests.

    Without a network it says which file to put where.

    Example:

        sendvae models pull dinov2-b e2e-vavae-f16d32
    """
    for name in names:
        for path in (path for weights in _weights_of(name) for path in weights.pull()):
            typer.echo(f"{name}: {path} ({_bytes(path.stat().st_size)})")


def networks() -> Iterator[tuple[str, str, tuple[Weights, ...]]]:
    """Yield kind, name and weights of every network of every registry."""
    from sendvae.autoencoding import PERCEPTUAL_WEIGHTS
    from sendvae.diffusion import DIFFUSION_MODELS
    from sendvae.metrics import FEATURE_WEIGHTS
    from sendvae.tokenizers import TOKENIZERS
    from sendvae.vision import BACKBONES

    yield from ((TOKENIZER, name, (spec.weights,)) for name, spec in TOKENIZERS.items())
    yield from (("diffusion model", name, (row.weights,)) for name, row in DIFFUSION_MODELS.items())
    yield from (("vision backbone", name, (spec.weights,)) for name, spec in BACKBONES.items())
    yield from (("perceptual network", name, weights) for name, weights in PERCEPTUAL_WEIGHTS.items())
    yield from (("feature network", name, (weights,)) for name, weights in FEATURE_WEIGHTS.items())


def _weights_of(name: str) -> tuple[Weights, ...]:
    """Return the weights of a network to fetch.

    Raises:
        UserError: there is no network of this name.
    """
    from sendvae.registry import unknown_name
    from sendvae.tokenizers.sources import weights_of
    from sendvae.weights.hub import HUB

    if name.startswith(HUB):
        return (weights_of(name),)
    known = {other: weights for _, other, weights in networks()}
    if name not in known:
        raise unknown_name("model", name, list(known))
    return known[name]


def _row(kind: str, name: str, weights: tuple[Weights, ...], abilities: tuple[str, ...]) -> Row:
    found = [one.find() for one in weights]
    sizes = [
        sum(path.stat().st_size for path in paths) if paths else one.size
        for one, paths in zip(weights, found, strict=True)
    ]
    return Row(
        kind,
        name,
        " + ".join(dict.fromkeys(str(one.licence) for one in weights)),
        " + ".join(str(one.source) for one in weights),
        sum(one.parameters or 0 for one in weights),
        tuple(file for one in weights for file in one.files),
        None if None in sizes else sum(size for size in sizes if size is not None),
        found[0][0] if all(found) else None,
        abilities,
    )


def _show(rows: list[Row]) -> None:
    from sendvae.data import open_embedded

    widths = [max(len(text) for text in column) for column in zip(*map(_cells, rows), strict=True)]
    group = None
    for row in rows:
        if (row.kind, row.abilities) != group:
            group = row.kind, row.abilities
            typer.secho(
                f"{row.kind}s" + (f" to {', '.join(row.abilities)}" if row.abilities else ""), bold=True
            )
        name, parameters, size, here, licence = (
            text.rjust(width) if i in (1, 2) else text.ljust(width)
            for i, (text, width) in enumerate(zip(_cells(row), widths, strict=True))
        )
        # The source comes last and is never shortened, since people copy it.
        typer.echo(f"  {name}  {parameters}  {size}  {here}  {licence}  {row.source}")
    typer.echo(
        "\nsizes: on this machine, else as published; ~ is the network in float32, files may hold more"
    )
    typer.echo("fetch weights: sendvae models pull NAME\n")
    typer.secho("embedded images (embedded:emoji)", bold=True)
    for line in open_embedded("emoji", "train").licences:
        typer.echo(f"  {line}")


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    size = _bytes(row.size) if row.size else f"~{_bytes(FLOAT32 * row.parameters)}"
    return row.name, f"{row.parameters / 1e6:.1f} M", size, "here" if row.here else "-", row.licence


def _bytes(count: int) -> str:
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
