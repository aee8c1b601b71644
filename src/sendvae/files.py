"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 to a temporary file beside `path`, then rename that file to `path`."""
    with new_file(path) as file:
        file.write(text.encode())


def update_file(path: Path, content: bytes) -> None:
    """Write a file, and leave one with the same content alone."""
    if not path.is_file() or path.read_bytes() != content:
        with new_file(path) as file:
            file.write(content)


def flush_file(path: Path) -> None:
    """Wait until a file is on the disk, so that it is whole even if the power fails after it is renamed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`. If the block ends well, flush it to the disk and rename it to `path`."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with _naming(path, temporary):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder beside `path`. If the block ends well, rename it to `path`, replacing an old folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with _naming(path, temporary):
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _naming(path: Path, temporary: Path) -> Iterator[None]:
    """Make an OSError of the block name `path` where it names the temporary one, or none (a write to an open file)."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno is not None and (named is None or str(named).startswith(str(temporary))):
            error.filename, error.filename2 = str(path), None
        raise
