"""The classes that a diffusion model was trained on, kept with the run so that sampling needs no data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from sendvae.data import ImageSet
from sendvae.errors import UserError
from sendvae.files import write_text

CLASSES = "classes.json"
NAMES_SHOWN = 6


@dataclass(frozen=True)
class Classes:
    """Class numbers, and what is known of them.

    Attributes:
        count: the number of classes; their numbers are 0 to count - 1.
        names: the names of the classes, by number; None where nobody recorded them.
        images: how many training images each class has; likewise.
    """

    count: int
    names: tuple[str, ...] | None = None
    images: tuple[int, ...] | None = None

    @classmethod
    def of(cls, images: ImageSet) -> Classes:
        """Return the classes of a data set, with the number of its images in each."""
        names = images.class_names
        counts = torch.bincount(images.labels_of(range(len(images))), minlength=len(names))
        return cls(len(names), names, tuple(counts.tolist()))

    def number_of(self, word: str) -> int | None:
        """Return the number of a class by its name, else by its number in decimal digits; None if it is neither."""
        if self.names is not None and word in self.names:
            return self.names.index(word)
        return int(word) if word.isdecimal() and int(word) < self.count else None

    def describe(self) -> str:
        """Say how a class is named: "a class number from 0 to 9, or a name (cat, dog)"."""
        text = f"class numbers from 0 to {self.count - 1}"
        if self.names is None:
            return f"{text}; the model came without class names"
        more = ", ..." if len(self.names) > NAMES_SHOWN else ""
        return f"{text}, or names: {', '.join(self.names[:NAMES_SHOWN])}{more}"

    def save(self, folder: Path) -> None:
        """Write `classes.json` into an existing folder."""
        document = {"names": self.names, "images": self.images}
        write_text(folder / CLASSES, json.dumps(document) + "\n")


def load_classes(folder: Path, count: int) -> Classes:
    """Return the classes that `classes.json` in a folder records; without that file only their count is known.

    Args:
        count: the number of the model's classes.

    Raises:
        UserError: the file is damaged, or is of another number of classes.
    """
    recorded = recorded_classes(folder)
    if recorded is not None and recorded.count != count:
        raise UserError(
            f"{folder / CLASSES} is of another model", given=f"{recorded.count} classes", expected=f"{count}"
        )
    return recorded or Classes(count)


def recorded_classes(folder: Path) -> Classes | None:
    """Return the classes that `classes.json` in a folder records; None without that file.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / CLASSES
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text())
        names, images = tuple(map(str, document["names"])), tuple(map(int, document["images"]))
        if len(names) != len(images):
            raise ValueError(f"{len(names)} names, {len(images)} counts")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged", given=error, next_step="remove it: classes then go by number"
        ) from None
    return Classes(len(names), names, images)
