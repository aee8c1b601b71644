"""The tables of papers: which rows and columns of which protocols each shows."""

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
    """A table as printed.

    Attributes:
        caption: what it compares.
        source: who printed it.
        columns: each of one protocol.
        rows: name -> what the table calls it.
    """

    caption: str
    source: str
    columns: Sequence[Column]
    rows: Mapping[str, str]

    def value(self, row: str, column: Column) -> float | None:
        """Return what is printed; None where nothing is reported.

        A protocol that does not have the row of a system has that of its tokenizer.
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
