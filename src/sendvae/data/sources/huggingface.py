"""Data sets of the Hugging Face `datasets` library, from its hub or from a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sendvae.data.locations import read_bytes
from sendvae.data.sources.listing import MAX_FILE_BYTES, SPLITS, Columns, Found, Listing, read_limited
from sendvae.errors import UserError
from sendvae.extras import require
from sendvae.weights.reach import REACH_SECONDS, Unavailable, reach

if TYPE_CHECKING:
    import datasets

HUB = "hf-hub:"
SAVED = ("dataset_dict.json", "state.json")  # of `save_to_disk`
LABEL_COLUMN = "label"


@dataclass(frozen=True)
class HuggingFaceReader:
    """Reads images by (split, row)."""

    splits: dict[str, Any]
    column: str

    def read(self, place: tuple[str, int]) -> bytes:
        """Return the bytes of an image that the data set holds, or of the file that it names.

        Raises:
            ValueError: the row is empty, or the image too large.
        """
        split, row = place
        image = self.splits[split][row][self.column]
        if image is None:
            raise ValueError("empty")
        if image["bytes"] is not None:
            return read_limited(image["bytes"])
        return read_limited(read_bytes(image["path"], limit=MAX_FILE_BYTES + 1))


def is_saved(names: list[str]) -> bool:
    """Return whether a folder's files are a data set of this library: saved to disk, Parquet or Arrow."""
    return any(name in SAVED or name.endswith((".parquet", ".arrow")) for name in names)


def list_huggingface(location: str, columns: Columns) -> Listing:
    """List the images of all splits, in their order.

    Args:
        location: "hf-hub:OWNER/NAME[/CONFIGURATION]", or a local folder with Parquet or Arrow files.
        columns: by default the column of type Image, and the one of type ClassLabel or named "label".

    Raises:
        UserError: the library is not installed, the data set cannot be read, or it lacks a column.
    """
    splits = _load(location)
    import datasets

    features = next(iter(splits.values())).features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    image = _column(columns.image, images, list(features), "image", location)
    if image is None:
        raise UserError(
            f"{location} has no column of images",
            given=", ".join(features),
            next_step="name one with --image-column",
        )
    classes = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    named = [LABEL_COLUMN] if LABEL_COLUMN in features else []
    label = _column(columns.label, classes or named, list(features), "label", location)
    split_column = _column(columns.split, [], list(features), "split", location)
    kind = features[label] if label else None
    found = [
        Found(f"{split}/{row:08d}", (split, row), value, str(own) if own is not None else split)
        for split, table in splits.items()
        for row, (value, own) in enumerate(
            zip(_values(table, label), _values(table, split_column), strict=True)
        )
    ]
    reader = HuggingFaceReader(
        {split: table.cast_column(image, datasets.Image(decode=False)) for split, table in splits.items()},
        image,
    )
    return Listing(found, reader, list(kind.names) if isinstance(kind, datasets.ClassLabel) else None)


def _load(location: str) -> dict[str, datasets.Dataset]:
    """Return the data sets by split; the library's progress bars go to standard error."""
    require("datasets", location)
    import datasets

    try:
        if location.startswith(HUB):
            repository, configuration = _address(location)
            with _offline_if_unreachable():
                loaded = datasets.load_dataset(repository, configuration)
        elif any((Path(location) / name).is_file() for name in SAVED):
            loaded = datasets.load_from_disk(location)
        else:
            loaded = datasets.load_dataset(location)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError("the data set cannot be loaded", given=f"{location}: {error}") from None
    if isinstance(loaded, datasets.Dataset):
        return {str(loaded.split or "train"): loaded}
    return {SPLITS.get(str(split), str(split)): table for split, table in loaded.items()}


def _address(location: str) -> tuple[str, str | None]:
    """Return repository and configuration.

    Raises:
        UserError: no owner or no name.
    """
    owner, _, rest = location.removeprefix(HUB).partition("/")
    name, _, configuration = rest.partition("/")
    if not owner or not name:
        raise UserError(
            "not a data set of the hub",
            given=location,
            expected=f"{HUB}OWNER/NAME[/CONFIGURATION]",
            next_step="name one, as hf-hub:uoft-cs/cifar10",
        )
    return f"{owner}/{name}", configuration or None


@contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """Let the library use its cache at once where the hub does not answer; it would ask again for half a minute."""
    import datasets
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        reach(constants.ENDPOINT, lambda: get_session().head(constants.ENDPOINT, timeout=REACH_SECONDS))
    except Unavailable:
        before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
    else:
        yield


def _column(given: str | None, likely: list[str], known: list[str], role: str, location: str) -> str | None:
    if given is None:
        if len(likely) > 1:
            raise UserError(
                f"{location} has several columns that could be the {role}",
                given=", ".join(likely),
                next_step=f"name one with --{role}-column",
            )
        return likely[0] if likely else None
    if given not in known:
        raise UserError(f"{location} has no column '{given}'", expected="one of " + ", ".join(known))
    return given


def _values(table: datasets.Dataset, column: str | None) -> list[Any]:
    return [None] * len(table) if column is None else list(table[column])
