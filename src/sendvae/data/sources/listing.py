"""The list of a source's images: names, labels, splits, and where their bytes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sendvae.errors import UserError

EXTENSIONS = frozenset(
    [
        ".avif",
        ".bmp",
        ".gif",
        ".j2k",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".ppm",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
CLASS_DIGITS = 6  # longer numbers are identifiers, not positions in a list of classes
DEFAULT_SPLIT = "train"  # of images that are of none
UNLABELLED = "unlabelled"  # the one class of images that have none
MAX_FILE_BYTES = 2**29  # of one encoded image: what inflates beyond is an attack or a mistake


@runtime_checkable
class Reader(Protocol):
    """Reads the encoded image at a place. It can be pickled; open files are not shared between processes."""

    def read(self, place: Any) -> bytes:
        """Return the bytes of the file, still encoded.

        Args:
            place: the place as the listing gives it.

        Raises:
            ValueError: this image is empty, damaged or too large; a failing disk or network raises others.
        """
        ...


@dataclass(frozen=True)
class Columns:
    """Names of columns; None stands for the source's default."""

    image: str | None = None
    label: str | None = None
    split: str | None = None


class Found(NamedTuple):
    """An image of a source.

    Attributes:
        name: path in the source, with "/".
        place: where its reader finds it.
        label: a class by name or number, or None.
        split: the split as the source calls it, or None.
    """

    name: str
    place: Any
    label: str | int | None = None
    split: str | None = None


@dataclass
class Listing:
    """All images of a source, in an order that does not change.

    Attributes:
        images: what was found.
        reader: gives their bytes.
        class_names: where the source fixes names and their numbers.
        other: how many files are no images, by extension; "" for those without.
        skipped: (name, reason) of what looks like an image and cannot be read, and of links that are ignored.
    """

    images: list[Found]
    reader: Reader
    class_names: list[str] | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    other: dict[str, int] = field(default_factory=dict)


def is_image(name: str) -> bool:
    """Return whether a path has an image's extension; hidden files of operating systems do not count."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def count_others(names: Iterable[str]) -> dict[str, int]:
    """Count the files that are no images by their extensions, in lower case."""
    others = Counter(PurePosixPath(name).suffix.lower() for name in names if not is_image(name))
    return dict(sorted(others.items()))


def check_member(name: str, archive: str) -> None:
    """Refuse an archive with a member that points out of it.

    Raises:
        UserError: an absolute name, or one with "..".
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise UserError(
            f"{archive} is refused: a member points out of the archive",
            given=name,
            expected="relative names without '..'",
            next_step="do not trust this archive",
        )


def readable(name: str) -> str:
    """Return a name as UTF-8 can hold it: bytes that are none become `\\xNN`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def read_limited(data: bytes) -> bytes:
    """Return data of which at most one byte more than allowed was read.

    Raises:
        ValueError: it is longer than an image may be.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES:,} bytes")
    return data


def label_by_folders(images: Sequence[Found], strip_root: bool = False) -> list[Found]:
    """Fill in missing splits and classes from the folders in the names: `[SPLIT/]CLASS/.../FILE`.

    Top folders are splits if all of them are named like one (train, val, validation, test, ...). With
    `strip_root`, folders that all images share and that hold further folders are left out first, as archives
    often have them.
    """
    parts = [PurePosixPath(image.name).parts[:-1] for image in images]
    while strip_root and parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        if parts[0][0].lower() in SPLITS:
            break
        parts = [p[1:] for p in parts]
    if parts and all(p and p[0].lower() in SPLITS for p in parts):
        images = [
            image if image.split else image._replace(split=SPLITS[p[0].lower()])
            for image, p in zip(images, parts, strict=True)
        ]
        parts = [p[1:] for p in parts]
    return [
        image if image.label is not None or not p else image._replace(label=p[0])
        for image, p in zip(images, parts, strict=True)
    ]


def number_classes(images: Sequence[Found], class_names: list[str] | None) -> tuple[list[str], list[int]]:
    """Return the class names, and the class number of each image.

    Names count in sorted order; where all labels are numbers already, they stay.

    Raises:
        UserError: some images have a label and some have none, or a number has no class.
    """
    labels = [image.label for image in images]
    if None in labels:
        if any(label is not None for label in labels):
            example = next(image.name for image in images if image.label is None)
            raise UserError(
                "some images have no class",
                given=f"{example} and {labels.count(None) - 1:,} more",
                expected="all images in class folders, or none",
            )
        return [UNLABELLED], [0] * len(images)
    if class_names is None and all(isinstance(label, int) for label in labels):
        class_names = [str(i) for i in range(max(int(label) for label in labels if label is not None) + 1)]
    if class_names is None:
        class_names = sorted({str(label) for label in labels})
    number = {name: i for i, name in enumerate(class_names)}
    by_number = all(isinstance(label, int) for label in labels)
    numbers = [
        int(label) if by_number else number.get(str(label), -1) for label in labels if label is not None
    ]
    wrong = next((i for i, n in enumerate(numbers) if not 0 <= n < len(class_names)), None)
    if wrong is not None:
        raise UserError(
            "a label without a class",
            given=f"{labels[wrong]} of {images[wrong].name}",
            expected=f"one of {len(class_names):,} classes",
        )
    return class_names, numbers


def label_from_text(text: str) -> str | int:
    """Convert the text of a class to a number if it is written as one ("7"); "007" stays a name."""
    text = text.strip()
    return int(text) if text.isdecimal() and text == str(int(text)) and len(text) <= CLASS_DIGITS else text


def unique_keys(images: Sequence[Found]) -> list[str]:
    """Return a key for each image that WebDataset readers accept: its name without extension and dots.

    Images that would share one keep their extension: `a.jpg` and `a.png` become `a_jpg` and `a_png`.

    Raises:
        UserError: two images have the same name.
    """
    short = [str(PurePosixPath(image.name).with_suffix("")).replace(".", "_") for image in images]
    shared = _repeated(short)
    keys = [
        image.name.replace(".", "_") if key in shared else key
        for image, key in zip(images, short, strict=True)
    ]
    if again := _repeated(keys):
        raise UserError("two images have the same name", given=sorted(again)[0])
    return keys


def _repeated(values: Sequence[str]) -> set[str]:
    seen: set[str] = set()
    return {value for value in values if value in seen or seen.add(value)}
