"""Errors of damaged zip archives, of which npz files are one kind."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# The last is of an encrypted member, or one of a compression that this Python does not know.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, struct.error, OverflowError, RuntimeError)


@contextmanager
def zip_damage(error: Callable[[str], Exception]) -> Iterator[None]:
    """Turn what a damaged archive raises into an error of the caller's, made from the reason.

    EINVAL counts as damage, since it means a position before the file's beginning; other system errors pass through.
    """
    try:
        yield
    except DAMAGE as found:
        raise error(str(found) or type(found).__name__) from None
    except OSError as found:
        if found.errno != errno.EINVAL:
            raise
        raise error("it points to a place outside of the file") from None
