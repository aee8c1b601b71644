"""Data sets of attributes in the layouts in which they are published, and any folder with a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sendvae.data.attribute_sets.annotated import SPLITS, AnnotatedImages, Annotations
from sendvae.data.attribute_sets.awa2 import read_awa2
from sendvae.data.attribute_sets.celeba import read_celeba
from sendvae.data.attribute_sets.deepfashion import read_deepfashion
from sendvae.data.attribute_sets.table import read_table
from sendvae.errors import UserError
from sendvae.registry import Registry

# Each reader takes a folder and the name of a split rule (None: as published).
READERS: Registry[Callable[..., Annotations]] = Registry(
    "attribute set", {"celeba": read_celeba, "deepfashion": read_deepfashion, "awa2": read_awa2}
)
TABLE = "table"

__all__ = [
    "READERS",
    "SPLITS",
    "TABLE",
    "AnnotatedImages",
    "Annotations",
    "is_attribute_set",
    "read_attribute_set",
    "read_awa2",
    "read_celeba",
    "read_deepfashion",
    "read_table",
]


def is_attribute_set(source: str) -> bool:
    """Return whether a source names an attribute set: "celeba:FOLDER", "table:FOLDER", ..."""
    kind, colon, _ = source.partition(":")
    return bool(colon) and kind in {*READERS, TABLE}


def read_attribute_set(
    source: str, table: Path | None = None, split: str = "default", box: bool = False
) -> Annotations:
    """Read the annotations of a source: "celeba:", "deepfashion:", "awa2:" or "table:", followed by a folder.

    Args:
        table: CSV file, of "table:" only.
        split: the kind of split of "awa2:": "image", "classes", "proposed-seen" or "proposed-unseen".
        box: crop to the garments' boxes, of "deepfashion:" only.

    Raises:
        UserError: an option that the set does not have, or what its reader refuses.
    """
    kind, _, place = source.partition(":")
    options: dict[str, Any] = {}
    if split != "default":
        if kind != "awa2":
            raise UserError(f"{kind} has one split", given=f"split={split}", expected="split=default")
        options["split"] = split
    if box:
        if kind != "deepfashion":
            raise UserError(f"{kind} has no boxes", given="box=true", expected="box=false")
        options["box"] = True
    if (table is not None) != (kind == TABLE):
        raise UserError(
            f"{kind}: {'a' if kind == TABLE else 'no'} file of attributes belongs to it",
            given=table or "none",
            next_step="--data table:FOLDER --attributes FILE.csv" if kind == TABLE else "leave it out",
        )
    if table is not None:
        return read_table(place, table)
    return READERS[kind](Path(place), **options)
