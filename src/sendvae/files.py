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
    """Writes beside `path`, then renames."""
    with new_file(path) as file:
        file.write(text.encode())


def flush_file(path: Path) -> None:
    """Wait until a file is on the disk, so that a power cut after it is renamed finds it whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A temporary file, on the disk before it takes the name `path`, which it does if the block ends well."""
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
    """A temporary folder that takes the name `path` if the block ends well; an old one is replaced."""
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
    """Let what the system refuses name `path`: a write into an open file names none, others the temporary one."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno is not None and (named is None or str(named).startswith(str(temporary))):
            error.filename, error.filename2 = str(path), None
        raise
