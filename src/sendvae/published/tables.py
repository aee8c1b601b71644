"""The tables of papers, each with the rows and columns of the protocols that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sendvae.published.documents import DOCUMENTS, TableText
from sendvae.published.protocols import PUBLISHED
from sendvae.registry import Registry


@dataclass(frozen=True)
class Column:
    """A metric under one protocol."""

    protocol: str
    metric: str


@dataclass(frozen=True)
class PublishedTable:
    """A table as a paper prints it.

    Attributes:
        caption: the number of the table and what it compares.
        source: the paper that prints it.
        columns: the columns, each of one protocol.
        rows: the labels of the rows in the table, by name.
    """

    caption: str
    source: str
    columns: Sequence[Column]
    rows: Mapping[str, str]

    def value(self, row: str, column: Column) -> float | None:
        """Return the number that is printed; None where none is reported.

        Where a protocol does not have the row of a system, the row of the system's tokenizer counts.
        """
        rows = PUBLISHED[column.protocol].rows
        if row in rows:
            return rows[row].values.get(column.metric)
        others = (PUBLISHED[one.protocol].rows for one in self.columns)
        tokenizer = next((one[row].of for one in others if row in one), None)
        return rows[tokenizer].values.get(column.metric) if tokenizer in rows else None


def _table(source: str, text: TableText) -> PublishedTable:
    columns = [Column(protocol, metric) for protocol, metrics in text.columns.items() for metric in metrics]
    return PublishedTable(text.caption, source, columns, text.rows)


TABLES: Registry[PublishedTable] = Registry(
    "published table",
    {name: _table(document.source, text) for document in DOCUMENTS for name, text in document.tables.items()},
)
