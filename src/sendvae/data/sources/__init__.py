"""Where images come from: folders, archives, data sets of other libraries. Each lists what it holds."""

from __future__ import annotations

from pathlib import PurePosixPath

from sendvae.data.locations import file_system_of, find_files
from sendvae.data.shards import INDEX
from sendvae.data.sources.archives import TAR_COMPRESSION, list_tars, list_zip, tar_ending
from sendvae.data.sources.folder import list_folder
from sendvae.data.sources.huggingface import HUB, is_saved, list_huggingface
from sendvae.data.sources.listing import (
    DEFAULT_SPLIT,
    UNLABELLED,
    Columns,
    Found,
    Listing,
    Reader,
    number_classes,
    unique_keys,
)
from sendvae.data.sources.table import ImageTable, known_split
from sendvae.errors import UserError

__all__ = [
    "DEFAULT_SPLIT",
    "UNLABELLED",
    "Columns",
    "Found",
    "ImageTable",
    "Listing",
    "Reader",
    "known_split",
    "list_source",
    "number_classes",
    "unique_keys",
]


def list_source(location: str, columns: Columns) -> Listing:
    """List the images of a source.

    Args:
        location: a folder of images; a tar or zip file; a folder or glob (`shards/*.tar`) of tars, of
            WebDataset's layout or not; "hf-hub:OWNER/NAME" or a folder saved by `datasets`. Paths may be fsspec
            URLs.
        columns: names of columns, for sources that have any.

    Raises:
        UserError: there is nothing, or no image in it, or the kind of source refuses it.
    """
    listing = _list(location.rstrip("/"), columns)
    if not listing.images:
        raise UserError(
            "no images",
            given=location,
            expected="a folder of images, a tar or zip file, a folder of tars, or a data set",
        )
    return listing


def _list(location: str, columns: Columns) -> Listing:
    if location.startswith(HUB):
        return list_huggingface(location, columns)
    file_system, path = file_system_of(location)
    if "*" in location:
        tars = sorted(file_system.glob(path))
        names = [PurePosixPath(tar).name for tar in tars]
        return list_tars([file_system.unstrip_protocol(tar) for tar in tars], columns, names)
    try:
        if location.lower().endswith(".zip"):
            _refuse_columns(columns, location)
            return list_zip(location)
        if tar_ending(location):
            return list_tars([location], columns)
        if file_system.isfile(path):
            kinds = ", ".join((".zip", *TAR_COMPRESSION))
            raise UserError(
                "not a kind of archive that can be read",
                given=location,
                expected=f"a folder of images, or a file named {kinds}",
            )
        names = find_files(location).files
    except FileNotFoundError:
        raise UserError("no such file or folder", given=location) from None
    if INDEX in names:
        raise UserError(
            f"{location} is prepared already", next_step="give the images that it was prepared from"
        )
    if is_saved(names):
        return list_huggingface(location, columns)
    if tars := [name for name in names if tar_ending(name)]:
        return list_tars([f"{location}/{tar}" for tar in tars], columns, tars)
    _refuse_columns(columns, location)
    return list_folder(location)


def _refuse_columns(columns: Columns, location: str) -> None:
    wanted = [name for name in (columns.image, columns.label, columns.split) if name]
    if wanted:
        raise UserError(
            f"{location} has no columns",
            given=", ".join(wanted),
            next_step="name columns of a table given with --attributes",
        )
