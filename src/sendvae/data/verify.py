"""Checks the shards of a prepared data set against their SHA-256."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sendvae.data.images import EMBEDDED, decode
from sendvae.data.locations import open_binary
from sendvae.data.opening import EMBEDDED_PREFIX
from sendvae.data.shards import ShardIndex, open_shards, read_manifest
from sendvae.errors import UserError

CHUNK = 2**22  # bytes read at a time
NAMED = 5  # images of a shard that a finding names


class Verified(NamedTuple):
    """What was checked, and a sentence for each fault."""

    shards: int
    images: int
    findings: list[str]


def verify(source: str, advance: Callable[[int], None] = lambda _: None) -> Verified:
    """Compare every shard of a prepared or embedded set with the length and SHA-256 in its manifest.

    The unreadable images of a damaged shard are named. PNG has checksums, so every changed byte is found; a changed
    WebP image often still decodes, and then only its shard is named.

    Args:
        source: "embedded:NAME", or a folder or fsspec URL of prepared shards.
        advance: called with the number of shards just read.

    Raises:
        UserError: no manifest or index, or damaged ones.
    """
    location = source.rstrip("/")
    if source.startswith(EMBEDDED_PREFIX):
        location = str(Path(EMBEDDED[source.removeprefix(EMBEDDED_PREFIX)]))
    manifest = read_manifest(location)
    splits = {name: open_shards(location, name) for name in manifest["splits"]}
    findings = [
        f"split '{name}': the index has {len(splits[name].keys):,} images, the manifest {count:,}"
        for name, count in manifest["splits"].items()
        if len(splits[name].keys) != count
    ]
    for number, shard in enumerate(manifest["shards"]):
        if wrong := _wrong_with(location, shard):
            findings.append(f"{shard['name']}: {wrong}; {_unreadable(list(splits.values()), number)}")
        advance(1)
    images = sum(len(index.keys) for index in splits.values())
    return Verified(len(manifest["shards"]), images, findings)


def _wrong_with(location: str, shard: dict[str, Any]) -> str | None:
    """Return what is wrong with a shard's file; None if it is as it was written."""
    digest, length = hashlib.sha256(), 0
    try:
        with open_binary(f"{location}/{shard['name']}") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                length += len(chunk)
    except FileNotFoundError:
        return "it is missing"
    if "bytes" in shard and length != shard["bytes"]:
        return f"it has {length:,} bytes, not {shard['bytes']:,}"
    return None if digest.hexdigest() == shard.get("sha256") else "its SHA-256 is another than the manifest's"


def _unreadable(splits: list[ShardIndex], number: int) -> str:
    """Return which images of a damaged shard cannot be read."""
    total, lost = 0, []
    for index in splits:
        for position in np.flatnonzero(index.shards == number):
            total += 1
            try:
                data = index.read(int(position))
                decode(data)
                with Image.open(io.BytesIO(data)) as image:
                    image.verify()  # the checksums of PNG; WebP has none
            except Exception:  # PIL's readers raise whatever the damage leads to
                lost.append(index.keys[position])
    if not lost:
        return f"all of its {total:,} images can be decoded; which of them changed, if any, cannot be told"
    more = f" and {len(lost) - NAMED:,} more" if len(lost) > NAMED else ""
    return f"{len(lost):,} of its {total:,} images cannot be read: {', '.join(lost[:NAMED])}{more}"


def check(source: str, advance: Callable[[int], None] = lambda _: None) -> Verified:
    """Return the result of `verify` if nothing is wrong.

    Raises:
        UserError: a file is missing or damaged.
    """
    verified = verify(source, advance)
    if verified.findings:
        raise UserError(
            f"{source} is damaged",
            given="\n            ".join(verified.findings),
            next_step="copy these shards again, or prepare the data set again in a new folder",
        )
    return verified
