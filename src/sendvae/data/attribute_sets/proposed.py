"""The split of AwA2 proposed by Xian et al. (2018, "Zero-Shot Learning: A Comprehensive Evaluation")."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sendvae.data.attribute_sets.annotated import find_file, split_by_hash
from sendvae.errors import UserError

UNUSED = "unused"
PLACES = ("xlsa17/data/AWA2", "data/AWA2", "AWA2", "xlsa17", ".")
IMAGES = "image_files"
PARTS = {"trainval_loc": "train", "test_seen_loc": "seen", "test_unseen_loc": "unseen"}


def proposed_split(
    folder: Path, keys: list[str], labels: list[int], tested: str
) -> tuple[list[str], list[Path]]:
    """Return the split of each image, and the files from which it was read.

    `att_splits.mat` numbers images from 1, in the order of `image_files` in `res101.mat`, which are paths on
    another machine.

    Args:
        keys: "CLASS/FILE" of every image; `labels` their classes.
        tested: "seen" or "unseen": which part is "test"; the other is `UNUSED`.

    Raises:
        UserError: a file is missing, is not as published, or is of other images.
    """
    names_file, splits_file = (
        find_file(folder, *(f"{place}/{name}" for place in PLACES))
        for name in ("res101.mat", "att_splits.mat")
    )
    listed = [_key(path) for path in _variables(names_file, IMAGES)[IMAGES]]
    part_of = _parts(splits_file, listed)
    missing = [key for key in keys if key not in part_of] or sorted(part_of.keys() - set(keys))
    if missing:
        raise UserError(
            f"{names_file} and JPEGImages differ in images",
            given=f"{missing[0]} and {len(missing) - 1} more are in one of them only",
            next_step="unpack both AwA2-data.zip and xlsa17.zip as they are published",
        )
    by_image = split_by_hash(keys, labels)
    splits = []
    for key, hashed in zip(keys, by_image, strict=True):
        part = part_of[key]
        if part == "train":
            splits.append("val" if hashed == "val" else "train")
        else:
            splits.append("test" if part == tested else UNUSED)
    return splits, [names_file, splits_file]


def _parts(path: Path, listed: list[str]) -> dict[str, str]:
    """Return the part that each listed image belongs to, which is exactly one."""
    places = {name: value.astype(np.int64) - 1 for name, value in _variables(path, *PARTS).items()}
    counts = Counter(np.concatenate(list(places.values())).tolist())
    if sorted(counts) != list(range(len(listed))) or max(counts.values()) > 1:
        raise UserError(
            f"{path} is not as published",
            given=f"numbers of {counts.total()} images from {min(counts) + 1} to {max(counts) + 1}",
            expected=f"each of 1 to {len(listed)} once in {', '.join(PARTS)}",
        )
    return {listed[place]: PARTS[name] for name, rows in places.items() for place in rows}


def _key(path: str) -> str:
    return "/".join(str(path).replace("\\", "/").split("/")[-2:])


def _variables(path: Path, *names: str) -> dict[str, Any]:
    """Return the named arrays of a MATLAB file, flattened."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=list(names), chars_as_strings=True)
        arrays = {name: found[name].flatten() for name in names}
    except (KeyError, ValueError, TypeError, OSError, NotImplementedError, MatReadError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read",
            given=f"{type(error).__name__}: {error}",
            expected="a MATLAB file of xlsa17.zip with " + ", ".join(names),
        ) from None
    return {name: np.array([np.asarray(cell).item() for cell in array]) for name, array in arrays.items()}
