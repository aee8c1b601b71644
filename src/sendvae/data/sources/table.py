"""A CSV file with a row per image: binary attributes, and columns that say class and split."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from sendvae.data.attributes import AttributeTable
from sendvae.data.sources.listing import SPLITS, Columns, Found, label_from_text
from sendvae.errors import UserError

DELIMITERS = ",;\t"  # spreadsheets write semicolons where the comma is for decimals
GROUP = "group"  # column of what a split must not tear apart
VALUES = {"1": True, "0": False, "-1": False, "true": True, "false": False}  # CelebA writes -1 for no


@dataclass(frozen=True)
class ImageTable:
    """The rows of a CSV file, by the name in its first column.

    Attributes:
        path: the file.
        columns: names of the columns but the first.
        rows: image -> its cells, in the order of the columns.
    """

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> ImageTable:
        """
        Raises:
            UserError: no such file, no CSV, no header, a row of another length, or two rows of one image.
        """
        try:
            header, *lines = _rows(path.read_bytes().decode("utf-8-sig")) or [[]]
        except FileNotFoundError:
            raise UserError("no such table", given=path) from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not text in UTF-8",
                given=f"byte 0x{error.object[error.start]:02x} at {error.start:,}",
                next_step=f"save it as 'CSV UTF-8', or: iconv -f {_likely(error.object)} -t utf8 {path} > NEW.csv",
            ) from None
        except csv.Error as error:
            raise UserError(f"{path} is no table", given=error, expected="a CSV file") from None
        if len(header) < 2:
            raise UserError(f"{path} has no columns", expected="a header: image,NAME,NAME,...")
        for number, line in enumerate(lines, 2):
            if not line:  # as at the end of what a spreadsheet writes
                continue
            if len(line) != len(header):
                raise UserError(f"{path}, line {number}: {len(line)} cells", expected=f"{len(header)}")
        names = Counter(line[0] for line in lines if line)
        if twice := next((name for name, count in names.items() if count > 1), None):
            raise UserError(f"{path} has several rows for an image", given=twice, expected="one")
        return cls(path, tuple(header[1:]), {line[0]: line[1:] for line in lines if line})

    def row(self, name: str) -> list[str]:
        """Return the cells of an image, found by its path in the source, its path without extension, or its file name.

        Raises:
            UserError: it has no row.
        """
        path = PurePosixPath(name)
        for candidate in (name, str(path.with_suffix("")), path.name, path.stem):
            if candidate in self.rows:
                return self.rows[candidate]
        raise UserError(f"{self.path} has no row for an image", given=name)

    def without_own(self, columns: Columns) -> Columns:
        """Return the columns that the source itself must have, since the table lacks them."""
        return Columns(
            columns.image,
            None if columns.label in self.columns else columns.label,
            None if columns.split in self.columns else columns.split,
        )

    def label(self, images: Sequence[Found], columns: Columns) -> list[Found]:
        """Return the images with class and split from the table's columns, where it has them."""
        if columns.label in self.columns:
            place = self.columns.index(columns.label)
            images = [image._replace(label=label_from_text(self.row(image.name)[place])) for image in images]
        if columns.split in self.columns:
            place = self.columns.index(columns.split)
            images = [image._replace(split=self.row(image.name)[place]) for image in images]
        return list(images)

    def attributes(self, names: dict[str, str], columns: Columns) -> AttributeTable | None:
        """Return the attributes of the images from all other columns; None if there are no others.

        Args:
            names: key -> name in the source, of the images wanted.
            columns: names of the columns that are not attributes.

        Raises:
            UserError: a cell is neither yes nor no.
        """
        places = [
            i for i, name in enumerate(self.columns) if name not in (columns.label, columns.split, GROUP)
        ]
        if not places:
            return None
        rows = {key: self.row(name) for key, name in names.items()}
        values = np.zeros((len(rows), len(places)), bool)
        for i, (key, row) in enumerate(rows.items()):
            for j, place in enumerate(places):
                cell = row[place].strip().lower()
                if cell not in VALUES:
                    raise UserError(
                        f"{self.path}: attribute '{self.columns[place]}' of {names[key]} is not yes or no",
                        given=row[place],
                        expected="one of " + ", ".join(VALUES),
                    )
                values[i, j] = VALUES[cell]
        groups = tuple(self.group(name) or key for key, name in names.items())
        return AttributeTable(tuple(rows), tuple(self.columns[i] for i in places), values, groups)

    def group(self, name: str) -> str | None:
        """Return the value of an image in the column "group"."""
        return self.row(name)[self.columns.index(GROUP)] if GROUP in self.columns else None


def _rows(text: str) -> list[list[str]]:
    """The lines of a table, whose columns are divided as those of its first line: by commas, semicolons or tabs."""
    first = text.partition("\n")[0]
    return list(
        csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
    )


def _likely(data: bytes) -> str:
    """Return the encoding that bytes which are not UTF-8 are probably in."""
    return "utf16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "cp1252"


def known_split(name: str) -> str:
    """Return the name that training uses for a split: "val" for "validation"; others stay."""
    return SPLITS.get(name.lower(), name)
