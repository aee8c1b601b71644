"""`sendvae data prepare|cache-latents|inspect|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Prepare images, cache their latents, see what a data set holds.", no_args_is_help=True
)

CLASSES_SHOWN = 20
LAYOUTS = ("sendvae", "lightningdit")  # of cached latents
DataArgument = Annotated[str, typer.Argument(help="embedded:emoji, or a folder or URL of prepared images.")]


@app.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Folder of images, .tar, .zip, folder or glob of tars (WebDataset), or hf-hub:OWNER/NAME.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DST", help="Where the shards go.")],
    size: Annotated[int, typer.Option(min=1, help="Short side in pixels.")] = 256,
    crop: Annotated[
        str,
        typer.Option(
            help="adm: a square from the centre; short-side: all of the image, for training on random crops."
        ),
    ] = "adm",
    encoding: Annotated[str, typer.Option(help="webp or png; both are lossless.")] = "webp",
    attributes: Annotated[
        Path | None,
        typer.Option(
            help="CSV file: path of the image, then a column of 1 and 0 for each attribute; also classes and splits."
        ),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of the images in a Hugging Face data set.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the classes: of the CSV file, the .json members of a tar, or the data set."
        ),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of the splits (train, val, test), likewise.")
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the training images that becomes val.")
    ] = 0.0,
    test_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the training images that becomes test.")
    ] = 0.0,
    background: Annotated[
        str, typer.Option(help="Colour under transparent parts, such as white or '#ff8800'.")
    ] = "white",
    allow_enlarging: Annotated[
        bool,
        typer.Option(
            "--allow-enlarging", help="Enlarge images smaller than --size, which are skipped otherwise."
        ),
    ] = False,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per shard.")] = 1024,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; default: one per CPU core.")
    ] = None,
) -> None:
    """Crop and encode images once, into shards that training reads at random from disk or a URL.

    Classes come from folders ([SPLIT/]CLASS/.../FILE), from .cls members of a tar, or from a column. Images that
    cannot be read are skipped. Photographs are turned upright, transparent parts are filled, levels of more than 8 bits
    are scaled, and colour profiles of CMYK and palettes are applied. skipped.jsonl lists all of these images. If the
    command is killed, the same command goes on.

    Examples:

        sendvae data prepare imagenet/train data/imagenet256

        sendvae data prepare imagenet/train data/imagenet256-short-side --crop short-side

        sendvae data prepare photos.zip data/photos --size 512 --val-fraction 0.05

        sendvae data prepare 'shards/*.tar' data/web --label-column class

        sendvae data prepare hf-hub:uoft-cs/cifar10 data/cifar --size 32
    """
    import os

    from sendvae.cli.stopping import AGAIN, interruptible
    from sendvae.data.prepare import Preparation, Recipe
    from sendvae.data.prepare_target import SKIPPED
    from sendvae.data.rgb import parse_colour
    from sendvae.data.sources import UNLABELLED, Columns
    from sendvae.runs import progress

    colour = parse_colour(background)
    recipe = Recipe(size, encoding, shard_size, val_fraction, crop, test_fraction, colour, allow_enlarging)
    typer.echo(f"listing {source} ...", err=True)
    job = Preparation(
        source,
        folder,
        recipe,
        Columns(image_column, label_column, split_column),
        attributes,
    )
    kept = f"the shards that were finished are kept in {folder}; {AGAIN}"
    with interruptible(kept), progress("prepare", job.total, start=job.done) as bar:
        manifest = job.run(bar.advance, processes or len(os.sched_getaffinity(0)))
    splits = ", ".join(f"{count:,} {name}" for name, count in manifest["splits"].items())
    small = manifest.get("too_small")
    why = f" ({small:,} too small: --allow-enlarging takes them)" if small else ""
    skipped = f"; {manifest['skipped']:,} skipped{why}, see {folder / SKIPPED}" if manifest["skipped"] else ""
    names = manifest["class_names"]
    classes = "no classes" if names == [UNLABELLED] else counted(len(names), "class", "classes")
    typer.echo(f"{folder}: {splits}; {classes}{skipped}")
    for what, count in manifest.get("changed", {}).items():
        typer.echo(f"  {counted(count, 'image')}: {what}")
    if others := manifest.get("other_files"):
        shown = ", ".join(f"{count:,} {ending or 'without extension'}" for ending, count in others.items())
        typer.echo(f"  files that are no images: {shown}")


@app.command("cache-latents")
def cache_latents(
    tokenizer: Annotated[str, typer.Argument(help="Name, folder, run or hf-hub: repository of a tokenizer.")],
    data: DataArgument,
    folder: Annotated[
        Path, typer.Argument(metavar="DST", help="Give it to sendvae train diffusion as --cache.")
    ],
    split: Annotated[
        list[str] | None, typer.Option(help="Split to cache; may be repeated. Default: all.")
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Cache the mirrored images, too, for data.flip=true.")
    ] = False,
    shard_size: Annotated[
        int, typer.Option(min=1, help="Images per shard; a command that goes on repeats one shard.")
    ] = 4096,
    layout: Annotated[
        str, typer.Option(help="sendvae, or lightningdit: DST/SPLIT is then what LightningDiT reads.")
    ] = "sendvae",
) -> None:
    """Compute and keep the posterior mean and standard deviation of every image, in fp16.

    LightningDiT's layout holds samples of the posteriors instead, in float32, of the images and of their mirror
    images, with classes and latents_stats.pt: its data_path is DST/SPLIT. sendvae train diffusion reads such a
    folder, whoever wrote it, as data.source=lightningdit:DST/SPLIT repa=null.

    Under torchrun each process takes its share of the shards, in a folder that all of them see. If the command is
    killed, the same command goes on, with any number of processes. The result is one cache.

    Examples:

        sendvae data cache-latents runs/send-vae data/imagenet256 runs/cache

        sendvae data cache-latents runs/send-vae data/imagenet256 latents --split train --layout lightningdit

        torchrun --nproc-per-node 8 --no-python -- sendvae data cache-latents runs/send-vae data/imagenet256 runs/cache
    """
    from sendvae.cli.stopping import AGAIN, interruptible
    from sendvae.data import open_images, split_names
    from sendvae.distributed import is_main, process_group
    from sendvae.errors import UserError
    from sendvae.registry import unknown_name
    from sendvae.tokenizers import load_tokenizer
    from sendvae.training import cached_latents, write_lightningdit

    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, list(LAYOUTS))
    if layout == "lightningdit" and flip:
        raise UserError(
            "--flip belongs to sendvae's layout", next_step="leave it out: the other has both views"
        )
    kept = f"the shards that were finished are kept in {folder}; {AGAIN}"
    with interruptible(kept), process_group() as device:
        network = load_tokenizer(tokenizer)
        for name in split or split_names(data):
            images = open_images(data, name)
            if layout == "lightningdit":
                cache = write_lightningdit(folder, network, images, device, shard_size)
            else:
                cache = cached_latents(folder, network, images, device, f"{name} latents", flip, shard_size)
            if is_main():
                shape = " x ".join(map(str, cache.shape(cache.names[0])))
                typer.echo(f"{folder}: {len(cache):,} {name} latents, {shape}, {', '.join(cache.names)}")


@app.command()
def inspect(
    data: DataArgument,
    sheet: Annotated[
        Path | None, typer.Option(help="Write examples of every class to FILE.png or FILE.html.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the sheet.")] = "train",
) -> None:
    """Count images per split and class, their sizes and bytes, and how frequent attributes are.

    Examples:

        sendvae data inspect data/imagenet256

        sendvae data inspect embedded:emoji --sheet emoji.html
    """
    from rich.console import Console
    from rich.table import Table

    from sendvae.data.overview import describe, write_sheet

    overview = describe(data)
    splits = overview.splits
    table = Table("", *splits, box=None, header_style="bold")
    table.add_row("images", *(f"{part.images:,}" for part in splits.values()))
    table.add_row("megabytes", *(f"{part.bytes / 1e6:,.1f}" for part in splits.values()))
    table.add_row(
        "pixels", *(", ".join(f"{w} x {h}" for w, h in sorted(part.sizes)) for part in splits.values())
    )
    for title, rows in (
        ("class", {n: [p.per_class[i] for p in splits.values()] for i, n in enumerate(overview.class_names)}),
        ("attribute", _prevalence({name: part.prevalence for name, part in splits.items()})),
    ):
        if rows:
            table.add_section()
            table.add_row(f"[bold]{title}[/bold] ({len(rows):,})")
        for name, values in list(rows.items())[:CLASSES_SHOWN]:
            table.add_row(_escaped(name), *(f"{v:,}" if isinstance(v, int) else v for v in values))
        if len(rows) > CLASSES_SHOWN:
            table.add_row(f"and {len(rows) - CLASSES_SHOWN:,} more")
    Console().print(table)
    if sheet is not None:
        write_sheet(data, split, sheet)
    counts = ", ".join(f"{part.images:,} {name}" for name, part in splits.items())
    skipped = f"; {overview.skipped:,} skipped when prepared" if overview.skipped else ""
    typer.echo(f"{data}: {counts}{skipped}" + (f"; sheet: {sheet}" if sheet else ""))


@app.command()
def verify(data: DataArgument) -> None:
    """Compare every shard with its SHA-256 in the manifest; of damaged ones, name the images that cannot be read.

    Examples:

        sendvae data verify data/imagenet256
    """
    from sendvae.cli.stopping import interruptible
    from sendvae.data.opening import manifest_of
    from sendvae.data.verify import check
    from sendvae.runs import progress

    total = len(manifest_of(data)["shards"])
    with interruptible("nothing was written"), progress("verify", total) as bar:
        verified = check(data, bar.advance)
    typer.echo(
        f"{data}: {counted(verified.shards, 'shard')}, {counted(verified.images, 'image')}: all as they were written"
    )


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number of things, in the singular where there is one."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _prevalence(splits: dict[str, dict[str, float] | None]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for shares in splits.values() for name in shares or {})
    return {name: [f"{(shares or {}).get(name, 0):.1%}" for shares in splits.values()] for name in names}


def _escaped(name: str) -> str:
    from rich.markup import escape

    return escape(name)
