"""`sendvae reconstruct`: what tokenizers make of images, side by side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from sendvae.cli.names import short_name

SPLITS = ("test", "val", "train")  # of a prepared data set, in order of preference


def reconstruct(
    tokenizers: Annotated[
        list[str],
        typer.Argument(metavar="TOKENIZER", help="Names, files, folders, runs or hf-hub: repositories."),
    ],
    data: Annotated[
        str,
        typer.Option(help="Folder, .tar, .zip, .npz, prepared shards, hf-hub:OWNER/NAME or embedded:emoji."),
    ],
    to: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    images: Annotated[
        int | None, typer.Option(min=1, help="Number of images, the first ones; default: all.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of prepared data; default: test, else val, else train.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision: fp32, bf16 or auto.")] = "fp32",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the pictures of other tokenizers in that folder.")
    ] = False,
) -> None:
    """Draw images beside their reconstructions and the differences.

    A picture per image, under the image's name: the original, then for every tokenizer the decoded posterior mean
    with its PSNR and the difference (grey where they agree). Images may be of any size: sides that do not fit the
    tokenizer are padded for it and cropped afterwards. If the command is killed, the same
    command goes on.

    Examples:

        sendvae reconstruct demo-f8d16 --data embedded:emoji --to compared --images 20

        sendvae reconstruct runs/plain runs/send-vae --data photos/ --to compared
    """
    from sendvae.cli.notes import warnings_as_notes
    from sendvae.cli.stopping import AGAIN, interruptible
    from sendvae.distributed import is_main, process_group
    from sendvae.errors import UserError

    if precision not in ("auto", "fp32", "bf16"):
        raise UserError("unknown precision", given=precision, expected="fp32, bf16 or auto")
    kept = f"the pictures that were finished are kept in {to}; {AGAIN}"
    with interruptible(kept), process_group() as device, warnings_as_notes():
        from sendvae.data import open_images
        from sendvae.evaluation.side_by_side import write_side_by_side
        from sendvae.tokenizers import load_tokenizer

        found = open_images(data, split, limit=images, preferred=SPLITS)
        loaded = {name: load_tokenizer(source) for name, source in _titles(tokenizers).items()}
        written = write_side_by_side(loaded, found, to, device, precision, force)
        if is_main():
            parts = [f"{written.new:,} new" if written.present else f"{written.new:,} pictures"]
            parts += [f"{written.present:,} were there"] if written.present else []
            parts += [f"{written.padded:,} images padded to fit and cropped again"] if written.padded else []
            typer.echo(f"{to}: {', '.join(parts)}")


def _titles(sources: list[str]) -> dict[str, str]:
    """Return the source of each tokenizer by its title: the short name, or the whole one where two are the same.

    Raises:
        UserError: a tokenizer is given twice.
    """
    from sendvae.errors import UserError

    repeated = [source for source, count in Counter(sources).items() if count > 1]
    if repeated:
        raise UserError("a tokenizer is given twice", given=", ".join(repeated))
    short = Counter(short_name(source) for source in sources)
    return {short_name(s) if short[short_name(s)] == 1 else s: s for s in sources}
