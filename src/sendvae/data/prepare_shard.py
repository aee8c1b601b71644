"""One shard of a preparation, in this process or in a worker."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

from sendvae.data.encode import ENCODINGS, encode_cropped
from sendvae.data.rgb import WHITE, Colour
from sendvae.data.shards import TarShard
from sendvae.data.sources import Reader
from sendvae.errors import UserError
from sendvae.files import write_text

ENDING = {signal.SIGTERM, signal.SIGINT}
UNFINISHED = ".preparing"  # subfolder with one JSON file per finished shard, until all are


@dataclass(frozen=True)
class Recipe:
    """What is done to every image.

    Attributes:
        size: of the short side, pixels.
        encoding: a key of `ENCODINGS`; all are lossless.
        shard_size: images per shard; a restart repeats at most one shard per process.
        val_fraction: of the training images, chosen by a hash of the key (or group), becomes "val".
        crop: "adm", the centre, or "short-side", none: a key of `SHARD_CROPS`.
        test_fraction: likewise, becomes "test".
        background: what transparent parts are filled with.
        allow_enlarging: whether images smaller than `size` are enlarged, not skipped.
    """

    size: int = 256
    encoding: str = "webp"
    shard_size: int = 1024
    val_fraction: float = 0.0
    crop: str = "adm"
    test_fraction: float = 0.0
    background: Colour = WHITE
    allow_enlarging: bool = False


class Item(NamedTuple):
    """An image to prepare: its row of the index, and where the source has it."""

    key: str
    label: int
    split: str
    name: str
    place: Any


def part_path(folder: Path, number: int) -> Path:
    """What says that shard `number` is finished, with its rows of the index."""
    return folder / UNFINISHED / f"shard-{number:05d}.json"


def shard_path(folder: Path, number: int) -> Path:
    """Where shard `number` lies."""
    return folder / f"images-{number:05d}.tar"


def is_finished(folder: Path, number: int) -> bool:
    """Whether shard `number` was finished, and has not vanished since."""
    part = part_path(folder, number)
    if not part.is_file():
        return False
    # None stands for a shard of which no image was good.
    return shard_path(folder, number).is_file() or json.loads(part.read_text())["shard"] is None


def write_shard(reader: Reader, folder: Path, recipe: Recipe, number: int, items: list[Item]) -> int:
    """One shard, then its part of the index; returns how many images it was made from."""
    shard = TarShard(shard_path(folder, number))
    rows: list[tuple[str, int, str, int, int]] = []
    skipped: list[tuple[str, str]] = []
    changed: list[tuple[str, str]] = []
    try:
        for item in items:
            try:
                data, changes = encode_cropped(
                    reader.read(item.place),
                    recipe.size,
                    recipe.encoding,
                    recipe.crop,
                    recipe.background,
                    recipe.allow_enlarging,
                )
            except ValueError as error:  # of this image; a failing disk or network raises others, and ends it
                skipped.append((item.name, str(error)))
                continue
            changed += [(item.name, change) for change in changes]
            offset = shard.add(f"{item.key}.{ENCODINGS[recipe.encoding].extension}", data)
            rows.append((item.key, item.label, item.split, offset, len(data)))
    except BaseException:
        shard.discard()
        raise
    record = shard.close() if rows else shard.discard()
    part = {"shard": record, "rows": rows, "skipped": skipped, "changed": changed}
    write_text(part_path(folder, number), json.dumps(part))
    return len(items)


def write_shards(
    reader: Reader, folder: Path, recipe: Recipe, tasks: list[tuple[int, list[Item]]], processes: int
) -> Iterator[int]:
    """Writes shards; yields the images of each as it is done.

    Raises:
        UserError: a worker was killed.
    """
    if min(processes, len(tasks)) <= 1:
        for number, items in tasks:
            yield write_shard(reader, folder, recipe, number, items)
        return
    context = get_context("forkserver")  # safe with the threads of remote file systems
    context.set_forkserver_preload([__name__])
    processes = min(processes, len(tasks))
    with ProcessPoolExecutor(processes, context, _start_worker, (reader, folder, recipe)) as pool:
        try:
            with _undisturbed():
                futures = [pool.submit(_work, number, items) for number, items in tasks]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed",
                expected="memory for all of them",
                next_step="run the same command again, perhaps with fewer --processes; it goes on",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait while workers are started: one whose parent is gone by then shows a traceback."""
    resource_tracker.ensure_running()  # whose start would let them through
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


_worker: tuple[Reader, Path, Recipe] | None = None


def _start_worker(reader: Reader, folder: Path, recipe: Recipe) -> None:
    global _worker
    _worker = reader, folder, recipe
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever, or write beside its successor."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(number: int, items: list[Item]) -> int:
    assert _worker is not None
    return write_shard(*_worker, number, items)
