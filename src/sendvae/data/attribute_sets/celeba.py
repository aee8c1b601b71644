"""CelebA: 202,599 faces with 40 attributes (Liu et al., 2015)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sendvae.data.attribute_sets.annotated import (
    SPLITS,
    Annotations,
    digest_of,
    find_file,
    folder_reader,
    malformed,
)
from sendvae.data.sources.listing import UNLABELLED
from sendvae.errors import UserError

VALUES = {"1": True, "-1": False}


def read_celeba(folder: Path) -> Annotations:
    """Read the official files, or those of Kaggle's copy (.csv with a header).

    `list_attr_celeba.txt`: count, names, then `file.jpg` and a 1 or -1 for each. `list_eval_partition.txt`:
    `file.jpg` and 0, 1 or 2 for train, val, test. Images: `img_align_celeba/`, 178 x 218 pixels, whose ADM crop
    is the central square.

    Raises:
        UserError: a file is missing or differs from this layout.
    """
    name = "list_attr_celeba"
    attributes = find_file(folder, f"{name}.txt", f"Anno/{name}.txt", f"{name}.csv", f"Anno/{name}.csv")
    name = "list_eval_partition"
    partition = find_file(folder, f"{name}.txt", f"Eval/{name}.txt", f"{name}.csv", f"Eval/{name}.csv")
    images = find_file(
        folder, "img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba"
    )
    names, rows = _attributes(attributes)
    split = _partition(partition)
    missing = [key for key in rows if key not in split]
    if missing:
        raise UserError(
            f"{partition} lacks images of {attributes.name}",
            given=f"{missing[0]} and {len(missing) - 1} more",
            next_step="take both files from the same place",
        )
    return Annotations(
        name="CelebA",
        keys=list(rows),
        places=list(rows),
        reader=folder_reader(images),
        splits=[split[key] for key in rows],
        attributes=names,
        values=np.array(list(rows.values()), dtype=bool).reshape(len(rows), len(names)),
        labels=np.zeros(len(rows), np.int64),
        class_names=(UNLABELLED,),
        groups=list(rows),
        digest=digest_of(attributes, partition),
    )


def _attributes(path: Path) -> tuple[tuple[str, ...], dict[str, list[bool]]]:
    """Return the attributes' names, and the values of each image file."""
    lines, count = _cells(path), ""
    if path.suffix == ".txt":
        number, cells = next(lines, (1, []))
        count = " ".join(cells)
        if not count.isdecimal():
            raise malformed(path, number, count, "the number of images")
    number, header = next(lines, (2, []))
    names = tuple(header[1:] if path.suffix == ".csv" else header)
    if not names:
        raise malformed(path, number, "", "the names of the attributes")
    rows: dict[str, list[bool]] = {}
    for number, (key, *values) in lines:
        if len(values) != len(names) or not set(values) <= VALUES.keys():
            raise malformed(path, number, f"{key} {' '.join(values)}", f"{len(names)} times 1 or -1")
        rows[key] = [VALUES[value] for value in values]
    if count and len(rows) != int(count):
        raise UserError(f"{path} is truncated", given=f"{len(rows)} images", expected=count)
    return names, rows


def _partition(path: Path) -> dict[str, str]:
    split = {}
    for number, cells in _cells(path):
        if number == 1 and path.suffix == ".csv":
            continue
        if len(cells) != 2 or cells[1] not in ("0", "1", "2"):
            raise malformed(path, number, " ".join(cells), "a file and 0, 1 or 2")
        split[cells[0]] = SPLITS[int(cells[1])]
    return split


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not empty with its number from 1, split at spaces or commas."""
    with path.open(newline="") as file:
        rows = csv.reader(file) if path.suffix == ".csv" else (line.split() for line in file)
        for number, cells in enumerate(rows, 1):
            if cells:
                yield number, cells
