"""Binary attributes of images: the table that probes of a latent space are trained on."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sendvae.errors import UserError


@dataclass(frozen=True)
class AttributeTable:
    """Which image has which attribute.

    Attributes:
        keys: one per image, unique.
        names: one per attribute.
        values: bool (images, attributes).
        groups: one per image, such as the concept that it depicts; a split keeps the images of a group together.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    values: np.ndarray
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.keys), len(self.names))
        if self.values.shape != expected:
            raise ValueError(f"values must be {expected}, got {self.values.shape}")

    def rows(self, keys: list[str]) -> np.ndarray:
        """Return the values of the named images, bool (len(keys), attributes).

        Raises:
            UserError: for a key without attributes.
        """
        position = {key: i for i, key in enumerate(self.keys)}
        missing = [key for key in keys if key not in position]
        if missing:
            raise UserError("images without attributes", given=", ".join(missing[:5]))
        return self.values[[position[key] for key in keys]]

    def only(self, keys: list[str]) -> AttributeTable:
        """Return the table of the named images, in their order.

        Raises:
            UserError: for a key without attributes.
        """
        group = dict(zip(self.keys, self.groups, strict=True))
        values = self.rows(keys)
        return AttributeTable(tuple(keys), self.names, values, tuple(group[key] for key in keys))

    def save(self, path: Path) -> None:
        """Write the table as JSON, with the values of an image as one string of 0 and 1."""
        rows = {
            key: [group, "".join("01"[v] for v in row)]
            for key, group, row in zip(self.keys, self.groups, self.values.astype(int), strict=True)
        }
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(json.dumps({"names": self.names, "images": rows}, indent=0) + "\n")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> AttributeTable:
        """Read a table that `save` wrote. The splits of a data set share one table, which is read once.

        Raises:
            UserError: there is no such file.
        """
        try:
            found = path.stat()
        except FileNotFoundError:
            raise UserError("no attribute table", given=path) from None
        return _read(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _read(path: Path, _version: tuple[int, ...]) -> AttributeTable:
    """Return the table of a file, which is read again when its version is another."""
    content = json.loads(path.read_text())
    rows, names = content["images"], content["names"]
    bits = [bits for _, bits in rows.values()]
    if any(len(row) != len(names) for row in bits):
        raise ValueError(f"every image must have {len(names)} attributes")
    values = np.frombuffer("".join(bits).encode(), dtype=np.uint8).reshape(len(rows), len(names)) == ord("1")
    values.flags.writeable = False  # it is shared
    return AttributeTable(tuple(rows), tuple(names), values, tuple(group for group, _ in rows.values()))
