"""Any images with a CSV file of attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sendvae.data.attribute_sets.annotated import SPLITS, Annotations, digest_of, split_by_hash
from sendvae.data.sources import Columns, ImageTable, known_split, list_source, number_classes
from sendvae.errors import UserError

LABEL, SPLIT = "label", "split"  # columns that are no attributes; "group" is another


def read_table(source: str, table: Path) -> Annotations:
    """Read images of a folder or archive and a CSV file: the image, then a column of 1 and 0 (or -1) per attribute.

    Columns named "label", "split" (train, val, test) and "group" (what a split must not tear apart) are not
    attributes. Without a split column or folders that say so, a fifth of the groups is for test and a tenth
    for val, by hash.

    Raises:
        UserError: no images, no table, a cell that is neither yes nor no, or an image without a row.
    """
    listing = list_source(source, Columns())
    rows = ImageTable.read(table)
    columns = Columns(
        label=LABEL if LABEL in rows.columns else None, split=SPLIT if SPLIT in rows.columns else None
    )
    images = rows.label(listing.images, columns)
    names = [image.name for image in images]
    attributes = rows.attributes({name: name for name in names}, columns)
    if attributes is None:
        raise UserError(f"{table} has no attributes", given=", ".join(rows.columns))
    class_names, labels = number_classes(images, listing.class_names)
    if all(image.split is None for image in images):
        splits = split_by_hash(attributes.groups, [0] * len(images))
    else:
        splits = [known_split(image.split or "") for image in images]
        wrong = next((i for i, split in enumerate(splits) if split not in SPLITS), None)
        if wrong is not None:
            raise UserError(
                "an image has no split",
                given=f"{names[wrong]}: '{images[wrong].split or ''}'",
                expected=", ".join(SPLITS),
            )
    return Annotations(
        name=Path(source).name,
        keys=names,
        places=[image.place for image in images],
        reader=listing.reader,
        splits=splits,
        attributes=attributes.names,
        values=attributes.values,
        labels=np.array(labels, np.int64),
        class_names=tuple(class_names),
        groups=attributes.groups,
        digest=digest_of(table),
    )
