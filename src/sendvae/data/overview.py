"""Summary of a prepared data set: counts, sizes, attributes, and a sheet of examples."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sendvae.data.images import ShardImages
from sendvae.data.opening import manifest_of, open_images
from sendvae.errors import UserError
from sendvae.files import write_text

SIZES_READ = 256  # images per split whose header is read for their size
SHEET_CLASSES, SHEET_EXAMPLES = 24, 10  # rows and columns of a contact sheet
THUMBNAIL, MARGIN, TITLE = 96, 4, 14  # pixels


@dataclass(frozen=True)
class SplitOverview:
    """One split of a data set.

    Attributes:
        images: their number.
        bytes: the bytes of the encoded images.
        per_class: images of each class, in the order of the classes.
        sizes: (width, height) -> images that have it, of those read.
        prevalence: attribute -> share of images that have it; None without a table of attributes.
    """

    images: int
    bytes: int
    per_class: list[int]
    sizes: dict[tuple[int, int], int]
    prevalence: dict[str, float] | None


@dataclass(frozen=True)
class Overview:
    """A prepared data set.

    Attributes:
        splits: the splits by name.
        skipped: files and links that were left out when it was prepared.
    """

    class_names: list[str]
    splits: dict[str, SplitOverview]
    skipped: int


def describe(source: str) -> Overview:
    """Return counts, sizes and attributes of every split of a prepared data set.

    Raises:
        UserError: there is no data set.
    """
    manifest = manifest_of(source)
    splits = {name: _describe_split(_open(source, name)) for name in manifest["splits"]}
    return Overview(list(manifest["class_names"]), splits, manifest.get("skipped", 0))


def write_sheet(source: str, split: str, path: Path) -> Path:
    """Write examples of the first classes as a picture (`.png`) or a page (`.html`).

    Raises:
        UserError: the path has another extension.
    """
    if path.suffix.lower() not in (".png", ".html"):
        raise UserError(
            "a contact sheet is a picture or a page", given=path, expected="FILE.png or FILE.html"
        )
    images = _open(source, split)
    rows = _examples(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".html":
        write_text(path, _page(f"{source}: {split}", rows))
    else:
        temporary = path.with_name(f".{path.name}.part")
        _picture(rows).save(temporary, "PNG")
        temporary.replace(path)
    return path


def _open(source: str, split: str) -> ShardImages:
    images = open_images(source, split)
    assert isinstance(images, ShardImages)
    return images


def _describe_split(images: ShardImages) -> SplitOverview:
    some = np.unique(np.linspace(0, len(images) - 1, min(SIZES_READ, len(images))).round().astype(int))
    sizes: dict[tuple[int, int], int] = {}
    for image in images.decoded(some):
        _, height, width = image.shape
        sizes[width, height] = sizes.get((width, height), 0) + 1
    prevalence = None
    if images.has_attributes():
        table = images.attributes
        prevalence = {
            name: float(share) for name, share in zip(table.names, table.values.mean(0), strict=True)
        }
    per_class = np.bincount(images.index.labels, minlength=len(images.class_names)).tolist()
    return SplitOverview(len(images), int(images.index.sizes.sum()), per_class, sizes, prevalence)


def _examples(images: ShardImages) -> list[tuple[str, list[Image.Image]]]:
    """Return thumbnails for each class, of images spread evenly over it."""
    rows = []
    for label in np.unique(images.index.labels)[:SHEET_CLASSES]:
        members = np.flatnonzero(images.index.labels == label)
        picked = members[np.unique(np.linspace(0, len(members) - 1, SHEET_EXAMPLES).round().astype(int))]
        thumbnails = [
            Image.fromarray(image.permute(1, 2, 0).numpy()).resize((THUMBNAIL, THUMBNAIL))
            for image in images.decoded(picked)
        ]
        rows.append((f"{images.class_names[label]} ({len(members):,})", thumbnails))
    return rows


def _picture(rows: Sequence[tuple[str, list[Image.Image]]]) -> Image.Image:
    height = TITLE + THUMBNAIL + 2 * MARGIN
    sheet = Image.new("RGB", (MARGIN + SHEET_EXAMPLES * (THUMBNAIL + MARGIN), len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (title, thumbnails) in enumerate(rows):
        draw.text((MARGIN, i * height + MARGIN), title, fill="black")
        for j, thumbnail in enumerate(thumbnails):
            sheet.paste(thumbnail, (MARGIN + j * (THUMBNAIL + MARGIN), i * height + TITLE + MARGIN))
    return sheet


def _page(title: str, rows: Sequence[tuple[str, list[Image.Image]]]) -> str:
    parts = [
        "<!doctype html><meta charset=utf-8>",
        f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>",
        "<style>body{font:14px sans-serif;margin:2em}h2{font-size:1em;margin:1em 0 .2em}</style>",
    ]
    for name, thumbnails in rows:
        parts.append(f"<h2>{html.escape(name)}</h2>")
        for thumbnail in thumbnails:
            buffer = io.BytesIO()
            thumbnail.save(buffer, "PNG")
            encoded = base64.b64encode(buffer.getvalue()).decode()
            parts.append(f'<img alt="" src="data:image/png;base64,{encoded}">')
    return "\n".join(parts) + "\n"
