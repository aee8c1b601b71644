"""`sendvae export`: hand a tokenizer on to diffusers, to latent-diffusion's scripts, or as safetensors; or a generator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sendvae.cli.hub import CARD, check_hub, push
from sendvae.cli.names import short_name

DEFAULT_FOLDER = Path("exports")
# The files that an export may consist of. A folder with any other file is never replaced.
OURS = (".md", ".json", ".safetensors", ".pt")
PIPELINE, PIPELINE_CODE, PIPELINE_PARTS = "pipeline", "pipeline.py", ("generator", "vae")


def export(
    run: Annotated[
        str,
        typer.Argument(help="A finished run, a checkpoint, a name of `sendvae models`, a file or a folder."),
    ],
    to: Annotated[
        str,
        typer.Option(
            help="Layout: diffusers, ldm or safetensors; or pipeline, a generator with its tokenizer."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Folder to write. Default: exports/NAME-LAYOUT.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(help="Licence of the weights. Default: that of the weights they were trained from."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store float16: half the size, with rounded weights.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in that folder.")] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Upload the export as a repository of the Hugging Face hub."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository of --push-to-hub private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --push-to-hub: list what would be uploaded, and stop.")
    ] = False,
) -> None:
    """Write a tokenizer or a generator in another project's layout, with a model card.

    The command prints how to load what it wrote. A checkpoint of a tokenizer's training gives the tokenizer as it was
    then.

    A diffusion run, or one of its checkpoints, gives its averaged generator in one file (--to safetensors), or together
    with its tokenizer as a folder from which diffusers draws the images of sendvae sample (--to pipeline).

    Examples:

        sendvae export runs/send-vae --to diffusers

        sendvae export e2e-vavae-f16d32 --to ldm --output vae/e2e-vavae

        sendvae export runs/sit-xl1/checkpoints/step-000100000 --to safetensors

        sendvae export runs/sit-xl1 --to pipeline

        sendvae export runs/send-vae --to diffusers --licence mit --push-to-hub somebody/send-vae --dry-run
    """
    folder = output or DEFAULT_FOLDER / f"{short_name(run)}-{to}"
    _check_free(folder, force)
    check_hub(push_to_hub, private, dry_run)
    if to == PIPELINE:
        _export_pipeline(run, folder, licence, half)
        push(folder, push_to_hub, private, dry_run)
        return
    if _export_generator(Path(run), folder, to, licence, half):
        push(folder, push_to_hub, private, dry_run)
        return

    import torch

    from sendvae.cli.card import gather_card
    from sendvae.tokenizers.export import LAYOUTS, export_tokenizer, usage
    from sendvae.tokenizers.load import load_tokenizer
    from sendvae.training.export import tokenizer_of_checkpoint

    LAYOUTS[to]  # an unknown layout is an error before the weights are read
    with _warnings_as_lines():
        tokenizer = tokenizer_of_checkpoint(Path(run)) or load_tokenizer(run)
    card = gather_card(run, licence)
    export_tokenizer(tokenizer, folder, to, card, torch.float16 if half else torch.float32)
    typer.echo(f"{to}: {folder}")
    if "licence" not in card:
        typer.echo("note: the licence is unknown; state it with --licence before you publish this", err=True)
    typer.echo(f"\n{usage(tokenizer, folder, to)}")
    push(folder, push_to_hub, private, dry_run)


def _export_pipeline(source: str, folder: Path, licence: str | None, half: bool) -> None:
    from sendvae.errors import UserError

    if half:
        raise UserError("a pipeline is exported as it is", given="--half", next_step="leave it out")
    from sendvae.evaluation.diffusion_model import load_model
    from sendvae.evaluation.pipeline_folder import pipeline_usage, write_pipeline

    with _warnings_as_lines():
        model = load_model(source)
    write_pipeline(model, folder, licence)
    typer.echo(f"pipeline: {folder}\n\n{pipeline_usage(model, folder)}")


def _export_generator(source: Path, folder: Path, to: str, licence: str | None, half: bool) -> bool:
    """Export the generator of a diffusion run; return False if `source` is no such run.

    Raises:
        UserError: the generator is asked for in another layout, or in half precision.
    """
    if not source.is_dir():
        return False
    from sendvae.errors import UserError
    from sendvae.runs import RunFolder

    run = RunFolder(source.parent.parent if source.parent.name == "checkpoints" else source)
    if not run.config_path.is_file() or run.configuration().get("kind") != "diffusion":
        return False
    if to != "safetensors" or half:
        given = f"--to {to}" + (" --half" if half else "")
        raise UserError(
            "a generator is exported as it is", given=given, expected="--to safetensors, or --to pipeline"
        )
    from sendvae.training.export import export_generator

    export_generator(run, source, folder, licence)
    typer.echo(f"safetensors: {folder}")
    typer.echo(f'\nfrom sendvae.diffusion import load_generator\n\ngenerator = load_generator("{folder}")')
    return True


def _check_free(folder: Path, force: bool) -> None:
    """Raise an error for a folder that holds something, unless it is an earlier export and `force` is given.

    Raises:
        UserError: the folder may not be written to.
    """
    from sendvae.errors import UserError

    if folder.is_file():
        raise UserError("--output is a file", given=folder, expected="a folder, new or an earlier export")
    entries = list(folder.iterdir()) if folder.is_dir() else []
    if not entries:
        return
    if not force:
        raise UserError(
            "--output exists",
            given=folder,
            expected="a new folder",
            next_step="choose another --output, or replace it with --force",
        )
    foreign = [entry.name for entry in entries if not _is_ours(entry)]
    if foreign or not (folder / CARD).is_file():
        raise UserError(
            "--force replaces an earlier export only",
            given=f"{folder} holds {', '.join(sorted(foreign)[:3]) or 'no README.md'}",
            next_step="choose another --output",
        )


def _is_ours(entry: Path) -> bool:
    """Return whether a file or folder can be part of an export."""
    if entry.is_dir() and not entry.is_symlink():
        return entry.name in PIPELINE_PARTS and all(map(_is_ours, entry.iterdir()))
    return entry.suffix in OURS or entry.name == PIPELINE_CODE


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print warnings of the block as lines, without the line of code that Python shows with them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
