"""Opens images of every kind of source as an image set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sendvae.data.adm_archive import LAYOUT, AdmArchive
from sendvae.data.attribute_sets import SPLITS, AnnotatedImages, is_attribute_set, read_attribute_set
from sendvae.data.crop import CROPS, as_pixels
from sendvae.data.files import FileImages
from sendvae.data.images import EMBEDDED, FirstImages, ImageSet, ShardImages, open_embedded
from sendvae.data.lightningdit import LIGHTNINGDIT, no_images
from sendvae.data.locations import exists
from sendvae.data.shards import MANIFEST, open_shards, read_manifest
from sendvae.data.sources import Columns, list_source
from sendvae.data.sources.huggingface import HUB
from sendvae.errors import UserError

EMBEDDED_PREFIX = "embedded:"
NPZ = ".npz"
HELD_OUT = ("val", "test")  # splits to validate on, the first that there is


@dataclass(frozen=True)
class AttributeOptions:
    """What attribute sets can be asked for.

    Attributes:
        table: CSV file of "table:FOLDER".
        variant: the kind of split of "awa2:".
        box: whether images of "deepfashion:" are cropped to the garment's box first.
    """

    table: Path | None = None
    variant: str = "default"
    box: bool = False


def open_images(
    source: str,
    split: str | None = None,
    limit: int | None = None,
    *,
    size: int | None = None,
    crop: str = "none",
    preferred: Sequence[str] = (),
    options: AttributeOptions | None = None,
    labelled: bool = False,
) -> ImageSet:
    """Open the images of a source as a set of images of one size.

    Args:
        source: "embedded:NAME"; a folder or fsspec URL of prepared shards; an .npz file of ADM's layout; a folder,
            tar, zip or glob of tars; "hf-hub:REPO"; or "celeba:", "deepfashion:", "awa2:" or "table:" and a folder.
        split: the name of the split; by default the first of `preferred` they have, or their only one.
        limit: use only this many images, from the first on.
        size: pixels of a side; None takes images as they are. Prepared images of another size are refused.
        crop: a name of `CROPS`, for images that are not prepared and if a size is given.
        options: the options of attribute sets.
        labelled: whether classes matter: then a folder in which only some images have one is refused.

    Raises:
        UserError: nothing there, not images, no such split, one that must be named, or classes of only some images.
    """
    if source.startswith(LIGHTNINGDIT):
        raise no_images(source)
    if is_attribute_set(source) or _is_prepared(source):
        chosen = split or _default_split(source, options, preferred)
        (images,) = open_splits(source, (chosen,), limit, size=size, options=options).values()
        return images
    if source.lower().endswith(NPZ):
        archive = AdmArchive(Path(source), limit)
        if len(archive) == 0:
            held = ", ".join(sorted(archive.names)) or "nothing"
            raise UserError("no images", given=f"{source}, which holds {held}", expected=LAYOUT)
        return archive
    if not source.startswith(HUB) and "*" not in source and not exists(source):
        raise UserError("no such file or folder", given=source)
    listing = list_source(source, Columns())
    if size is None or crop == "none":
        images = FileImages(source, listing, as_pixels, split=split, labelled=labelled)
    else:
        view = f"{crop} crop of {size} pixels"
        images = FileImages(source, listing, CROPS[crop](size), view, split, labelled)
    return images if limit is None or limit >= len(images) else FirstImages(images, limit)


def open_splits(
    source: str,
    splits: Sequence[str] = SPLITS,
    limit: int | None = None,
    *,
    size: int | None = None,
    options: AttributeOptions | None = None,
) -> dict[str, ImageSet]:
    """Open the given splits of a prepared, embedded or attribute set, as far as it has them; read annotations once.

    Raises:
        UserError: as `open_images`; or the kind of source has no splits of its own.
    """
    if is_attribute_set(source):
        if size is None:
            raise UserError("size is missing", expected="pixels of the crop", next_step="set size=256")
        options = options or AttributeOptions()
        annotations = read_attribute_set(source, options.table, options.variant, options.box)
        present = set(annotations.splits)
        _check_present(source, splits, present)
        return {s: AnnotatedImages(annotations, s, size, limit) for s in splits if s in present}
    present = set(split_names(source))
    _check_present(source, splits, present)
    found: dict[str, ImageSet] = {}
    for name in (split for split in splits if split in present):
        if source.startswith(EMBEDDED_PREFIX):
            found[name] = open_embedded(source.removeprefix(EMBEDDED_PREFIX), name, limit)
        else:
            found[name] = ShardImages(open_shards(source.rstrip("/"), name, limit), name)
        _check_size(source, found[name], size)
    return found


def open_held_out(source: str, used: str | None, limit: int | None = None) -> ImageSet | None:
    """Return the images of a prepared or embedded set to validate on; None where there are none, or for another source.

    Args:
        used: the split that was trained on.
        limit: use only this many images, from the first on.
    """
    if not _is_prepared(source):
        return None
    names = split_names(source)
    chosen = next((name for name in HELD_OUT if name in names and name != used), None)
    return None if chosen is None else open_images(source, chosen, limit)


def split_names(source: str) -> list[str]:
    """Return the names of the splits of a prepared or embedded set."""
    return list(manifest_of(source)["splits"])


def manifest_of(source: str) -> dict:
    """Return the manifest of a prepared or embedded set.

    Raises:
        UserError: there is none.
    """
    if source.startswith(EMBEDDED_PREFIX):
        return read_manifest(EMBEDDED[source.removeprefix(EMBEDDED_PREFIX)])
    return read_manifest(source.rstrip("/"))


def _is_prepared(source: str) -> bool:
    return source.startswith(EMBEDDED_PREFIX) or (
        "*" not in source and not source.startswith(HUB) and exists(f"{source.rstrip('/')}/{MANIFEST}")
    )


def _check_present(source: str, splits: Sequence[str], present: set[str]) -> None:
    if not present & set(splits):
        raise UserError(
            f"{source} has no split '{splits[0]}'", expected="one of " + ", ".join(sorted(present))
        )


def _check_size(source: str, images: ImageSet, size: int | None) -> None:
    if size is None or len(images) == 0:
        return
    height, width = images[0].image.shape[-2:]
    if width != size:
        raise UserError(
            f"the images of {source} have another size",
            given=f"{width} x {height} pixels",
            expected=f"{size} x {size}",
            next_step=f"set size={width}, or prepare them with --size {size}",
        )


def _default_split(source: str, options: AttributeOptions | None, preferred: Sequence[str]) -> str:
    if is_attribute_set(source):
        options = options or AttributeOptions()
        present = set(read_attribute_set(source, options.table, options.variant, options.box).splits)
        names = [name for name in SPLITS if name in present]
    else:
        names = split_names(source)
    for name in (*preferred, *(names if len(names) == 1 else ())):
        if name in names:
            return name
    raise UserError(
        f"{source} has several splits", expected="one of " + ", ".join(names), next_step="name one of them"
    )
