"""Tables of the paper as it prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sendvae.published import PUBLISHED, PublishedTable, published_figure, published_heading


@dataclass(frozen=True)
class Printed:
    """A table of the paper as it prints it.

    Attributes:
        caption: the source and the table's caption.
        headings: the labels and directions of the columns.
        rows: a label and an entry for every column.
        protocols: the columns and the description of each protocol, in words.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    protocols: Sequence[str]


def printed_table(table: PublishedTable) -> Printed:
    """Return a published table in words, with "–" where the paper reports nothing."""
    headings = [published_heading(column.metric, PUBLISHED[column.protocol].view) for column in table.columns]
    rows = [
        (
            label,
            [
                published_figure(column.metric, value)
                if (value := table.value(row, column)) is not None
                else "–"
                for column in table.columns
            ],
        )
        for row, label in table.rows.items()
    ]
    protocols = dict.fromkeys(column.protocol for column in table.columns)
    shown = [
        f"{', '.join(headings[i] for i, c in enumerate(table.columns) if c.protocol == name)}: "
        + PUBLISHED[name].description
        for name in protocols
    ]
    return Printed(f"{table.source}, {table.caption}", headings, rows, shown)
