"""`sendvae models`: what can be loaded; `sendvae models pull NAME`: fetch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class ListByDefault(TyperGroup):
    """`sendvae models` means `sendvae models list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args != ["--json"] else ["list", *args])


app = typer.Typer(
    cls=ListByDefault,
    help="""List the networks that can be loaded, or fetch their weights.

    Examples:

        sendvae models

        sendvae models pull dinov2-b
    """,
)

HUB = "hf-hub:"
FLOAT32 = 4  # bytes
UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "kB"))


@dataclass(frozen=True)
class Row:
    """One network of any of the registries.

    Attributes:
        parameters: of the network.
        files: of its weights, as their makers name them.
        size: bytes; on this machine if they are there, else as published, None if neither is known.
        here: where the weights are on this machine, if they are.
    """

    kind: str
    name: str
    licence: str
    source: str
    parameters: int
    files: tuple[str, ...]
    size: int | None
    here: Path | None


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
) -> None:
    """List every network by name: source, licence, size, and whether its weights are on this machine.

    Example:

        sendvae models --json
    """
    rows = [*_tokenizers(), *_backbones(), *_others()]
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
        for path in _puller(name)():
            typer.echo(f"{name}: {path} ({_bytes(path.stat().st_size)})")


def _puller(name: str) -> Callable[[], list[Path]]:
    """What fetches the weights of a network.

    Raises:
        UserError: unknown name.
    """
    from sendvae.autoencoding import PERCEPTUAL_FILES
    from sendvae.metrics import FEATURE_FILES
    from sendvae.registry import unknown_name
    from sendvae.tokenizers import TOKENIZERS
    from sendvae.tokenizers.sources import locate
    from sendvae.vision import BACKBONES, pull_weights

    if name in TOKENIZERS or name.startswith(HUB):
        return lambda: locate(name).existing()
    if name in BACKBONES:
        return lambda: [pull_weights(name)]
    if name in PERCEPTUAL_FILES:
        return lambda: [file.pull() for file in PERCEPTUAL_FILES[name]]
    if name in FEATURE_FILES:
        return lambda: [FEATURE_FILES[name].pull()]
    raise unknown_name("model", name, [*TOKENIZERS, *BACKBONES, *PERCEPTUAL_FILES, *FEATURE_FILES])


def _tokenizers() -> Iterator[Row]:
    from sendvae.tokenizers import TOKENIZERS
    from sendvae.tokenizers.sources import find_tokenizer

    for name, spec in TOKENIZERS.items():
        found = find_tokenizer(name)
        size = sum(path.stat().st_size for path in found.existing()) if found else None
        here = found.weights if found else None
        yield Row("tokenizer", name, spec.licence, spec.source, spec.parameters, spec.files, size, here)


def _backbones() -> Iterator[Row]:
    from sendvae.vision import BACKBONES, find_weights
    from sendvae.vision.weights import FILE

    for name, spec in BACKBONES.items():
        here = find_weights(name)
        size = here.stat().st_size if here else None
        file = FILE if spec.repository else here.name if here else ""
        yield Row("vision backbone", name, spec.licence, spec.source, spec.parameters, (file,), size, here)


def _others() -> Iterator[Row]:
    from sendvae.autoencoding import PERCEPTUAL_FILES
    from sendvae.metrics import FEATURE_FILES

    perceptual = [("perceptual network", name, files) for name, files in PERCEPTUAL_FILES.items()]
    features = [("feature network", name, (file,)) for name, file in FEATURE_FILES.items()]
    for kind, name, files in [*perceptual, *features]:
        places = [file.find() for file in files]
        sizes = [
            place.stat().st_size if place else file.size for place, file in zip(places, files, strict=True)
        ]
        yield Row(
            kind,
            name,
            " + ".join(dict.fromkeys(file.licence for file in files)),
            " + ".join(file.source for file in files),
            sum(file.parameters for file in files),
            tuple(file.name for file in files),
            None if None in sizes else sum(size for size in sizes if size is not None),
            places[0] if None not in places else None,
        )


def _show(rows: list[Row]) -> None:
    from sendvae.data import open_embedded

    widths = [max(len(text) for text in column) for column in zip(*map(_cells, rows), strict=True)]
    kind = None
    for row in rows:
        if row.kind != kind:
            kind = row.kind
            typer.secho(f"{kind}s", bold=True)
        name, parameters, size, here, licence = (
            text.rjust(width) if i in (1, 2) else text.ljust(width)
            for i, (text, width) in enumerate(zip(_cells(row), widths, strict=True))
        )
        # The source comes last and may run over: addresses are for copying.
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
