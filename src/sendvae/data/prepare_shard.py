"""Writing the shards of a preparation, in this process or in workers."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
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
from sendvae.signals import STOPPING, blocked_signals

UNFINISHED = ".preparing"  # subfolder with one JSON file per finished shard, until all are


@dataclass(frozen=True)
class Recipe:
    """What is done to every image.

    Attributes:
        size: length of the short side in pixels.
        encoding: a key of `ENCODINGS`, all of which are lossless.
        shard_size: images per shard; a restart repeats at most one shard per process.
        val_fraction: share of the training images that becomes "val", chosen by a hash of the key (or group).
        crop: a key of `SHARD_CROPS`: "adm" keeps the central square, "short-side" only resizes.
        test_fraction: share of the training images that becomes "test", chosen likewise.
        background: colour that transparent parts are filled with.
        allow_enlarging: whether images smaller than `size` are enlarged instead of skipped.
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
    """Return the path of the file that marks shard `number` as finished and holds its rows of the index."""
    return folder / UNFINISHED / f"shard-{number:05d}.json"


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of shard `number`."""
    return folder / f"images-{number:05d}.tar"


def is_finished(folder: Path, number: int) -> bool:
    """Return whether shard `number` was finished and is still there."""
    part = part_path(folder, number)
    if not part.is_file():
        return False
    # The shard is None if none of its images could be used.
    return shard_path(folder, number).is_file() or json.loads(part.read_text())["shard"] is None


def write_shard(reader: Reader, folder: Path, recipe: Recipe, number: int, items: list[Item]) -> int:
    """Write a shard, then its part of the index; return the number of its items, used or skipped."""
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
            except ValueError as error:  # this image is bad; a failing disk or network raises other errors, which end the preparation
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
    """Write shards; yield the number of images of each as it is finished.

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
            # A worker that starts after its parent has ended shows a traceback, so signals wait meanwhile. The tracker is
            # started first, since its start unblocks them.
            resource_tracker.ensure_running()
            with blocked_signals(STOPPING):
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


_worker: tuple[Reader, Path, Recipe] | None = None


def _start_worker(reader: Reader, folder: Path, recipe: Recipe) -> None:
    global _worker
    _worker = reader, folder, recipe
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker once its parent has: else it would wait for work forever, or write beside its successor."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(number: int, items: list[Item]) -> int:
    assert _worker is not None
    return write_shard(*_worker, number, items)
