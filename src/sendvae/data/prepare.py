"""Crops and encodes the images of any source into tar shards with an index.

A shard is a function of its slice of the listing alone, so any number of processes, killed at any time and started
again, ends with the same bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sendvae.data.encode import ENCODINGS, SHARD_CROPS, TOO_SMALL
from sendvae.data.images import ATTRIBUTES
from sendvae.data.prepare_shard import UNFINISHED, Item, Recipe, is_finished, part_path, write_shards
from sendvae.data.prepare_target import SKIPPED, check_target, recorded_identity
from sendvae.data.shards import MANIFEST, Row, write_index
from sendvae.data.sources import (
    DEFAULT_SPLIT,
    Columns,
    Found,
    ImageTable,
    known_split,
    list_source,
    number_classes,
    unique_keys,
)
from sendvae.errors import UserError
from sendvae.files import write_text

HELD_OUT = ("val", "test")
LATER = ("crop", "test_fraction", "background", "allow_enlarging")  # fields that came after the first release


class Preparation:
    """A listed source and the folder of its shards; `run` writes the shards that are missing.

    Args:
        source: see `list_source`.
        folder: where to write; created if missing.
        recipe: what is done to every image.
        columns: names of columns in the source, or in the table.
        table: CSV file with attributes, classes or splits.

    Raises:
        UserError: what `list_source` and `ImageTable` refuse, or the folder holds something else.
    """

    def __init__(
        self,
        source: str,
        folder: Path,
        recipe: Recipe,
        columns: Columns | None = None,
        table: Path | None = None,
    ) -> None:
        columns = columns or Columns()
        self.source, self.folder, self.recipe = source, folder, recipe
        ENCODINGS[recipe.encoding], SHARD_CROPS[recipe.crop]
        check_target(source, folder)
        self.table = ImageTable.read(table) if table else None
        listing = list_source(source, self.table.without_own(columns) if self.table else columns)
        images = self.table.label(listing.images, columns) if self.table else listing.images
        self.class_names, labels = number_classes(images, listing.class_names)
        keys = unique_keys(images)
        self.reader, self.skipped_in_listing, self.other = listing.reader, listing.skipped, listing.other
        splits = self._splits(images, keys)
        self.items = [
            Item(key, label, split, image.name, image.place)
            for key, label, split, image in zip(keys, labels, splits, images, strict=True)
        ]
        names = {item.key: item.name for item in self.items}
        # What is wrong with a table is said before any image is read.
        self.attributes = self.table.attributes(names, columns) if self.table else None
        self.starts = range(0, len(self.items), recipe.shard_size)
        self.total = len(self.items)
        self.identity = self._identity()
        self.finished = self._recorded() == self.identity and (folder / MANIFEST).is_file()

    @property
    def done(self) -> int:
        """Return the number of images in finished shards."""
        if self.finished:
            return self.total
        return sum(
            min(self.recipe.shard_size, self.total - start)
            for number, start in enumerate(self.starts)
            if is_finished(self.folder, number)
        )

    def run(self, advance: Callable[[int], None] = lambda _: None, processes: int = 1) -> dict[str, Any]:
        """Write the shards that are missing, then index and manifest; return the manifest.

        Args:
            advance: called with the number of images just done.
            processes: number of worker processes.

        Raises:
            UserError: another process prepares this folder, a worker was killed, or no image could be read.
        """
        with _only_one(self.folder):
            if not self.finished:
                self._begin()
                tasks = [
                    (number, self.items[start : start + self.recipe.shard_size])
                    for number, start in enumerate(self.starts)
                    if not is_finished(self.folder, number)
                ]
                for images in write_shards(self.reader, self.folder, self.recipe, tasks, processes):
                    advance(images)
                self._finish()
            shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
        return json.loads((self.folder / MANIFEST).read_text())

    def _begin(self) -> None:
        recorded = self._recorded()
        (self.folder / UNFINISHED).mkdir(exist_ok=True)
        if recorded is None:
            write_text(self.folder / UNFINISHED / MANIFEST, json.dumps({"identity": self.identity}))
        elif recorded != self.identity:
            raise UserError(
                f"{self.folder} holds other images, or the same prepared differently",
                next_step="choose another folder, or delete this one",
            )

    def _recorded(self) -> str | None:
        return recorded_identity(self.folder)

    def _finish(self) -> None:
        parts = [json.loads(part_path(self.folder, number).read_text()) for number in range(len(self.starts))]
        shards = [part["shard"] for part in parts if part["shard"]]
        rows = [
            Row(key, label, split, number, offset, size)
            for number, part in enumerate(part for part in parts if part["shard"])
            for key, label, split, offset, size in part["rows"]
        ]
        skipped = self.skipped_in_listing + [(name, why) for part in parts for name, why in part["skipped"]]
        changed = [(name, what) for part in parts for name, what in part.get("changed", [])]
        lines = [
            *({"image": name, "reason": why} for name, why in skipped),
            *({"image": name, "changed": what} for name, what in changed),
            *({"extension": ending, "files": count} for ending, count in self.other.items()),
        ]
        write_text(self.folder / SKIPPED, "".join(json.dumps(line) + "\n" for line in lines))
        if not rows:
            shutil.rmtree(self.folder / UNFINISHED)  # so that another attempt may be made here
            raise self._nothing_left([why for _, why in skipped])
        if self.attributes:
            self.attributes.only([row.key for row in rows]).save(self.folder / ATTRIBUTES)
        counts = {split: [0] * len(self.class_names) for split in sorted({row.split for row in rows})}
        for row in rows:
            counts[row.split][row.label] += 1
        more = {
            "identity": self.identity,
            **asdict(self.recipe),
            "skipped": len(skipped),
            "too_small": sum(why.startswith(TOO_SMALL) for _, why in skipped),
            "changed": dict(sorted(Counter(what for _, what in changed).items())),
            "other_files": self.other,
            "class_counts": counts,
        }
        write_index(self.folder, rows, shards, self.class_names, more)
        for temporary in self.folder.glob(".*.part"):
            temporary.unlink()

    def _nothing_left(self, reasons: list[str]) -> UserError:
        """Return the error for a source of which every image was skipped."""
        see = f"see {self.folder / SKIPPED}"
        if reasons and all(why.startswith(TOO_SMALL) for why in reasons):
            return UserError(
                f"every image is {TOO_SMALL} {self.recipe.size} pixels",
                given=self.source,
                next_step=f"--allow-enlarging, or a smaller --size; {see}",
            )
        return UserError("no image could be read", given=self.source, next_step=see)

    def _splits(self, images: list[Found], keys: list[str]) -> list[str]:
        splits = [known_split(image.split) if image.split else DEFAULT_SPLIT for image in images]
        shares = dict(zip(HELD_OUT, (self.recipe.val_fraction, self.recipe.test_fraction), strict=True))
        for name, share in shares.items():
            if share and name in splits:
                raise UserError(
                    f"the source has a split '{name}' already",
                    given=f"{name}_fraction={share}",
                    next_step=f"leave out --{name}-fraction",
                )
        if sum(shares.values()) >= 1:
            raise UserError(
                "nothing is left to train on",
                given=" + ".join(f"{share:g} {name}" for name, share in shares.items()),
                expected="shares that are less than 1 together",
            )
        groups = [self.table.group(image.name) if self.table else None for image in images]
        drawn = [
            _held_out(group or key, shares) if split == DEFAULT_SPLIT else split
            for split, group, key in zip(splits, groups, keys, strict=True)
        ]
        for name, share in shares.items():
            if share and name not in drawn:
                raise UserError(
                    f"the split '{name}' would be empty: each image falls into it by chance",
                    given=f"{name}_fraction={share:g} of {splits.count(DEFAULT_SPLIT):,} images",
                    next_step=f"set a larger --{name}-fraction, or leave it out",
                )
        return drawn

    def _identity(self) -> str:
        recipe: dict[str, Any] = dict(asdict(self.recipe))
        for name in LATER:  # folders prepared before there was a choice keep their identity
            if getattr(self.recipe, name) == getattr(Recipe, name):
                recipe.pop(name)
        digest = hashlib.sha256(json.dumps([recipe, self.class_names]).encode())
        for item in self.items:
            digest.update(f"{item.key}\t{item.label}\t{item.split}\n".encode(errors="surrogateescape"))
        if self.table:
            digest.update(self.table.path.read_bytes())
        return digest.hexdigest()[:16]


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Lock the folder against other processes that prepare it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(f"another process is preparing {folder}", next_step="wait for it") from None
    finally:
        os.close(handle)


def _held_out(text: str, shares: dict[str, float]) -> str:
    """Return the split of an image or group."""
    place, top = _hash(text), 0.0
    for name, share in shares.items():
        top += share
        if place < top:
            return name
    return DEFAULT_SPLIT


def _hash(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:6]) / 2**48
