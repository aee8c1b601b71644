"""Animals with Attributes 2: 37,322 images of 50 classes with 85 attributes (Xian et al., 2018)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from sendvae.data.attribute_sets.annotated import (
    Annotations,
    digest_of,
    find_file,
    folder_reader,
    malformed,
    split_by_hash,
)
from sendvae.data.attribute_sets.proposed import UNUSED, proposed_split
from sendvae.data.sources.listing import is_image
from sendvae.errors import UserError

Split = Literal["image", "classes", "proposed-seen", "proposed-unseen"]


def read_awa2(folder: Path, split: Split = "image") -> Annotations:
    """Read the official files. Attributes belong to classes, so all images of a class have the same ones.

    `classes.txt`, `predicates.txt`: number, tab, name. `predicate-matrix-binary.txt`: a row of 0 and 1 per class.
    Images: `JPEGImages/CLASS/`.

    Args:
        split: "image" takes a fifth of each class's images for test and a tenth for val, by hash (the set has
            no split of images of its own); "classes" tests on those of `testclasses.txt` and takes a tenth of
            the images of the others for val. "proposed-..." is the split that Xian et al. propose, of which
            either the unseen classes or held-out images of the seen ones are tested, and the others left out;
            a tenth of its training images is for val. It comes as xlsa17.zip: `res101.mat`, `att_splits.mat`.

    Raises:
        UserError: a file is missing or differs from this layout, or a class has no images.
    """
    classes_file, predicates_file, matrix_file = (
        find_file(folder, name) for name in ("classes.txt", "predicates.txt", "predicate-matrix-binary.txt")
    )
    classes, predicates = _names(classes_file), _names(predicates_file)
    matrix = _matrix(matrix_file, len(classes), len(predicates))
    images = find_file(folder, "JPEGImages")
    keys, labels = [], []
    for number, name in enumerate(classes):
        files = sorted(path.name for path in (images / name).glob("*") if is_image(path.name))
        if not files:
            raise UserError(f"{images} has no images of a class", given=name)
        keys += [f"{name}/{file}" for file in files]
        labels += [number] * len(files)
    files = [classes_file, predicates_file, matrix_file]
    if split == "classes":
        test_file = find_file(folder, "testclasses.txt")
        splits = _by_classes(test_file, classes, keys, labels)
        files.append(test_file)
    elif split == "image":
        splits = split_by_hash(keys, labels)
    else:
        splits, proposed_files = proposed_split(folder, keys, labels, split.removeprefix("proposed-"))
        used = [i for i, part in enumerate(splits) if part != UNUSED]
        keys, labels = [keys[i] for i in used], [labels[i] for i in used]
        splits = [splits[i] for i in used]
        files += proposed_files
    numbers = np.array(labels, np.int64)
    return Annotations(
        name=f"AwA2-{split}",
        keys=keys,
        places=keys,
        reader=folder_reader(images),
        splits=splits,
        attributes=predicates,
        values=matrix[numbers],
        labels=numbers,
        class_names=classes,
        # Where classes are tested, they are what was drawn: all their images share their attributes.
        groups=[classes[label] for label in labels] if split in ("classes", "proposed-unseen") else keys,
        digest=digest_of(*files),
    )


def _names(path: Path) -> tuple[str, ...]:
    names = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or cells[0] != str(len(names) + 1):
            raise malformed(path, number, line, f"{len(names) + 1} and a name")
        names.append(cells[1])
    return tuple(names)


def _matrix(path: Path, classes: int, predicates: int) -> np.ndarray:
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != predicates or not set(row) <= {"0", "1"}:
            raise malformed(path, number, " ".join(row), f"{predicates} times 0 or 1")
    if len(rows) != classes:
        raise UserError(f"{path} does not fit classes.txt", given=f"{len(rows)} rows", expected=str(classes))
    return np.array(rows) == "1"


def _by_classes(path: Path, classes: tuple[str, ...], keys: list[str], labels: list[int]) -> list[str]:
    tested = set(path.read_text().split())
    unknown = tested - set(classes)
    if unknown or not tested:
        raise UserError(
            f"{path} names classes that are not in classes.txt", given=", ".join(sorted(unknown)) or "nothing"
        )
    by_image = split_by_hash(keys, labels)
    return [
        "test" if classes[label] in tested else "val" if part == "val" else "train"
        for label, part in zip(labels, by_image, strict=True)
    ]
