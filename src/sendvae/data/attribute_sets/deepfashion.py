"""DeepFashion, Category and Attribute Prediction: 289,222 images with 1000 attributes (Liu et al., 2016)."""

from __future__ import annotations

import warnings
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


def read_deepfashion(folder: Path, box: bool = False) -> Annotations:
    """Read the coarse annotations.

    `list_attr_cloth.txt`: count, header, then a name (which may hold spaces) and its type. `list_attr_img.txt`:
    count, header, then a path and a 1, 0 or -1 for each attribute; only 1 means yes.
    `list_eval_partition.txt`: count, header, path and train, val or test. `list_category_img.txt`, where there is
    one, gives the classes. Values take 289 MB as bool.

    Args:
        box: crop to the garment's box, of `list_bbox.txt`: count, header, path and x, y of two corners.

    Raises:
        UserError: a file is missing or differs from this layout.
    """
    cloth, table = (
        find_file(folder, f"Anno_coarse/{name}", f"Anno/{name}", name)
        for name in ("list_attr_cloth.txt", "list_attr_img.txt")
    )
    partition = find_file(folder, "Eval/list_eval_partition.txt", "list_eval_partition.txt")
    names = tuple(line.rsplit(maxsplit=1)[0] for _, line in _lines(cloth))
    keys, values = _values(table, len(names))
    split = dict(_pairs(partition))
    wrong = [key for key in keys if split.get(key) not in SPLITS]
    if wrong:
        raise UserError(
            f"{partition} has no split of an image",
            given=f"{wrong[0]} ({split.get(wrong[0], 'no line')}) and {len(wrong) - 1} more",
            expected="train, val or test for each",
        )
    labels, class_names, files = _categories(folder, keys)
    boxes = None
    if box:
        box_file = find_file(folder, *(f"{place}list_bbox.txt" for place in ("Anno_coarse/", "Anno/", "")))
        boxes = _boxes(box_file, keys)
        files.append(box_file)
    return Annotations(
        name="DeepFashion",
        keys=keys,
        places=keys,
        reader=folder_reader(find_file(folder, "img", "Img/img").parent),
        splits=[split[key] for key in keys],
        attributes=names,
        values=values,
        labels=labels,
        class_names=class_names,
        groups=keys,
        digest=digest_of(cloth, table, partition, *files),
        boxes=boxes,
    )


def _values(path: Path, count: int) -> tuple[list[str], np.ndarray]:
    """Return paths and values (images, count); the file of about 1 GB is read line by line."""
    keys: list[str] = []
    values = np.zeros((_declared(path), count), bool)
    for number, line in _lines(path):
        key, _, rest = line.partition(" ")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what is no number ends the row too early
            try:
                row = np.fromstring(rest, dtype=np.int8, sep=" ")
            except ValueError:
                row = np.empty(0, np.int8)
        if len(row) != count or not ((row >= -1) & (row <= 1)).all():
            raise malformed(path, number, line, f"a path and {count} times 1, 0 or -1")
        if len(keys) == len(values):
            raise malformed(path, number, line, f"{len(values)} images, as its first line says")
        values[len(keys)] = row == 1
        keys.append(key)
    if len(keys) != len(values):
        raise UserError(f"{path} is truncated", given=f"{len(keys)} images", expected=str(len(values)))
    return keys, values


def _categories(folder: Path, keys: list[str]) -> tuple[np.ndarray, tuple[str, ...], list[Path]]:
    """Return labels from 0 on, class names and the files that were read; a single class without such a file."""
    try:
        path = find_file(
            folder, "Anno_coarse/list_category_img.txt", "Anno/list_category_img.txt", "list_category_img.txt"
        )
    except UserError:
        return np.zeros(len(keys), np.int64), (UNLABELLED,), []
    found = dict(_pairs(path))
    numbers = [found.get(key, "") for key in keys]
    wrong = next((i for i, number in enumerate(numbers) if not number.isdecimal()), None)
    if wrong is not None:
        raise UserError(f"{path} has no category of an image", given=keys[wrong])
    names = sorted(set(numbers), key=int)
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[number] for number in numbers], np.int64), tuple(names), [path]


def _boxes(path: Path, keys: list[str]) -> np.ndarray:
    """Return left, top, right and bottom of each image's box in pixels (images, 4); right and bottom are exclusive."""
    boxes: dict[str, tuple[int, ...]] = {}
    for number, line in _lines(path):
        key, *cells = line.split()
        corners = tuple(int(cell) for cell in cells if cell.isdecimal())
        if len(cells) != 4 or len(corners) != 4 or corners[0] >= corners[2] or corners[1] >= corners[3]:
            raise malformed(
                path, number, line, "a path, and x and y of the upper left and lower right corner"
            )
        boxes[key] = corners
    missing = [key for key in keys if key not in boxes]
    if missing:
        raise UserError(f"{path} has no box of an image", given=f"{missing[0]} and {len(missing) - 1} more")
    return np.array([boxes[key] for key in keys], np.int64)


def _declared(path: Path) -> int:
    with path.open() as file:
        first = file.readline().strip()
    if not first.isdecimal():
        raise malformed(path, 1, first, "the number of lines")
    return int(first)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(path):
        cells = line.split()
        if len(cells) != 2:
            raise malformed(path, number, line, "a path and a word")
        yield cells[0], cells[1]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines below the count and the header, with runs of spaces replaced by one."""
    with path.open() as file:
        for number, line in enumerate(file, 1):
            if number > 2 and line.strip():
                yield number, " ".join(line.split())
