"""Folders of images."""

from __future__ import annotations

from dataclasses import dataclass

from sendvae.data.locations import find_files, read_bytes
from sendvae.data.sources.listing import (
    MAX_FILE_BYTES,
    Found,
    Listing,
    count_others,
    is_image,
    label_by_folders,
    read_limited,
)


@dataclass(frozen=True)
class FolderReader:
    """Reads files by their paths below the folder."""

    location: str

    def read(self, place: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is too large.
        """
        return read_limited(read_bytes(f"{self.location}/{place}", limit=MAX_FILE_BYTES + 1))


def list_folder(location: str) -> Listing:
    """List all images below a folder or fsspec URL: `[SPLIT/]CLASS/.../FILE`, or images without classes.

    Links to folders are followed, each folder once; links that are not followed are among the skipped.
    """
    found = find_files(location)
    images = [Found(name, name) for name in found.files if is_image(name)]
    return Listing(
        label_by_folders(images),
        FolderReader(location),
        skipped=found.ignored,
        other=count_others(found.files),
    )
