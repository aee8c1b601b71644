"""Caches on disk: their names, locks and sizes, and their removal.

A cache is a folder PREFIX-DIGEST below a common one, with `cache.json` in it. The digest is of everything that the
content depends on, so two data sets, networks or precisions never share a folder, and what is found there fits.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sendvae.data.latent_cache import MANIFEST, read_manifest, shard_states
from sendvae.distributed import is_main, main_value
from sendvae.errors import MachineError, UserError
from sendvae.files import write_text
from sendvae.runs.progress import say

FORMAT = 1  # of what is in a cache; another one gives other names
NAME = re.compile(r"[a-z]+-[\w.-]+-[0-9a-f]{16}")
STATISTICS = "statistics.safetensors"  # of a cache that holds no rows
OURS = re.compile(
    r"cache\.json|(shard-\d{5,}|statistics)\.safetensors(\.part)?|\.cache\.json\.[0-9a-f]{8}\.part"
)
POLL_SECONDS = 1.0
RESERVE = 2**20  # bytes that stay free, for headers and what else is written
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class CacheKey:
    """The identity of a cache.

    Attributes:
        kind: "tokens", "latents", "evaluated", "features", "reference" or "probe".
        label: a readable part of the name; a function of `content`.
        data: where the images lie; part of the description, not of the name.
        content: everything that the values depend on, as JSON.
    """

    kind: str
    label: str
    data: str
    content: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of kind and content."""
        text = json.dumps({"format": FORMAT, "kind": self.kind, **self.content}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        label = re.sub(r"[^\w.-]+", "-", self.label)
        return f"{self.kind}-{label}-{self.fingerprint[:16]}"

    def description(self) -> dict[str, Any]:
        """Return what `cache.json` keeps of it."""
        return {
            "kind": self.kind,
            "label": self.label,
            "data": self.data,
            "format": FORMAT,
            "content": dict(self.content),
        }


CACHE_ADVICE = (
    "make room (sendvae cache list, sendvae cache prune), choose another --cache, or compute them "
    "at every step (data.tokens=online, data.latents=online; --no-cache for scores)"
)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a cache for the processes of this command; all of them must call this.

    While another command holds the lock, they wait and print a note.
    """
    lock, said = Lock(folder), False
    # All processes ask the main one every second: none waits in one long collective operation, which would end
    # with a time-out.
    while not main_value(is_main() and lock.take()):
        if not said:
            say(f"{folder} is being written by another process; waiting for it")
            said = True
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


class Lock:
    """An advisory lock of a folder, which need not exist, on a file beside it; the file may be removed while somebody waits.

    Args:
        folder: that is held.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.with_name(f".{folder.name}.lock")
        self.file: TextIO | None = None

    def take(self) -> bool:
        """Take the lock and return True; return False at once if another process holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed it: then a lock on it keeps nobody out.
            if os.fstat(file.fileno()).st_ino != self.path.stat().st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError):
            file.close()
            return False
        self.file = file
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self.file is not None:
            self.path.unlink(missing_ok=True)
            self.file.close()
            self.file = None


def check_space(folder: Path, needed: int, what: str, advice: str = CACHE_ADVICE) -> None:
    """Print how much will be written, and refuse it if the disk has too little room.

    Args:
        folder: where; it need not exist.
        needed: bytes.
        what: is written.
        advice: what to do where there is too little room.

    Raises:
        MachineError: the file system has less room.
    """
    if needed == 0 or not is_main():
        return
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    say(f"{what}: {in_units(needed)} to write into {folder}, where {in_units(free)} are free")
    if needed + RESERVE > free:
        raise MachineError(
            f"{what} do not fit onto the disk",
            given=f"{in_units(free)} free in {folder}",
            expected=in_units(needed),
            next_step=advice,
        )


def in_units(size: float) -> str:
    """Format bytes in powers of 1000: "504 GB"."""
    for unit, name in UNITS:
        if size >= unit:
            value = size / unit
            return f"{value:.0f} {name}" if value >= 100 else f"{value:.1f} {name}"
    return f"{size:.0f} B"


@dataclass(frozen=True)
class Found:
    """A cache on disk.

    Attributes:
        path: its folder.
        what, data: for people: what it holds, and of which images.
        size: bytes.
        used: when a command last used it, seconds since 1970.
        state: "whole", "3 of 10 shards" or "damaged".
    """

    path: Path
    what: str
    data: str
    size: int
    used: float
    state: str


def load_statistics(cache: Path, key: CacheKey) -> dict[str, Tensor] | None:
    """Return the tensors that `save_statistics` kept; None where there are none, or none that can be read."""
    folder = cache / key.name
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        tensors = load_file(folder / STATISTICS)
    except FileNotFoundError:
        return None
    except (ValueError, SafetensorError) as error:
        say(f"{folder} is damaged ({error}); it is computed again")
        return None
    if manifest["fingerprint"] != key.fingerprint:
        raise UserError(f"{folder} is a cache of something else", next_step="choose another --cache")
    touch(folder)
    return tensors


def save_statistics(cache: Path, key: CacheKey, tensors: Mapping[str, Tensor]) -> None:
    """Keep a few tensors, whole or not at all. The caller holds the cache (`locked`)."""
    folder = cache / key.name
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{STATISTICS}.part"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    temporary.replace(folder / STATISTICS)
    manifest = {"fingerprint": key.fingerprint, "description": key.description()}
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def list_caches(cache: Path) -> list[Found]:
    """Return every cache below a folder, by name; whatever else lies there is not looked at."""
    if not cache.is_dir():
        return []
    return [_found(path) for path in sorted(cache.iterdir()) if is_cache(path)]


def is_cache(path: Path) -> bool:
    """Return whether a folder is one of our caches and holds nothing else."""
    if path.is_symlink() or not path.is_dir() or not NAME.fullmatch(path.name):
        return False
    entries = list(path.iterdir())
    ours = all(OURS.fullmatch(entry.name) and not entry.is_dir() for entry in entries)
    return ours and (path / MANIFEST).is_file()


def remove(path: Path) -> bool:
    """Remove a cache; return False where another process is writing it.

    A command that reads it keeps what it has mapped.

    Raises:
        ValueError: it is none of our caches.
    """
    if not is_cache(path):
        raise ValueError(f"{path} is no cache")
    lock = Lock(path)
    if not lock.take():
        return False
    try:
        shutil.rmtree(path)
    finally:
        lock.release()
    return True


def touch(folder: Path) -> None:
    """Note that a cache was used now; one that may only be read stays as it is."""
    try:
        os.utime(folder / MANIFEST)
    except OSError:
        return


def _found(path: Path) -> Found:
    size, used = 0, 0.0
    for entry in path.iterdir():
        with suppress(FileNotFoundError):  # a file that took its name meanwhile
            stat = entry.stat()
            size, used = size + stat.st_size, max(used, stat.st_mtime)
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        description = manifest["description"]
        what, data = f"{description['kind']}: {description['label']}", str(description["data"])
        if "fields" in manifest:
            state = _row_state(path)
        else:
            load_file(path / STATISTICS)
            state = "whole"
    except (ValueError, KeyError, TypeError, OSError, SafetensorError, UserError):
        return Found(path, "?", "?", size, used, "damaged")
    return Found(path, what, data, size, used, state)


def _row_state(path: Path) -> str:
    states: Sequence[str] = shard_states(path, read_manifest(path))
    whole = states.count("whole")
    if "damaged" in states:
        return "damaged"
    return "whole" if whole == len(states) else f"{whole} of {len(states)} shards"
