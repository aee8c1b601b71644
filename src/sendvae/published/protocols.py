"""Published numbers by protocol and row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sendvae.errors import UserError
from sendvae.published.documents import DOCUMENTS, Document, ProtocolText
from sendvae.registry import Registry

FID = "fid"


@dataclass(frozen=True)
class Reported:
    """The numbers that somebody reports for a tokenizer, or for a whole system.

    Attributes:
        label: the name that the source gives it.
        values: the reported values by metric.
        source: the paper that reports it, and the tables.
        tokenizer: its name in our table of tokenizers; None where the table does not have it, or where it is not
            certain which one is meant.
        of: the name of the row of a system's tokenizer in other protocols.
        facts: the generator, epochs and parameters of a system, and a note on the row, by name; those that are known.
    """

    label: str
    values: Mapping[str, float]
    source: str
    tokenizer: str | None = None
    of: str | None = None
    facts: Mapping[str, str | int] | None = None


@dataclass(frozen=True)
class PublishedProtocol:
    """Numbers that compare with each other.

    Attributes:
        description: the generator, the length of its training and how it is sampled.
        source: the paper that reports them.
        metrics: the names of the metrics, in the source's order.
        rows: the rows by name.
        view: the words that tell its columns from those of another protocol in one table.
    """

    description: str
    source: str
    metrics: Sequence[str]
    rows: Registry[Reported]
    view: str = ""

    def known(self, names: Sequence[str]) -> list[float | None]:
        """Return the published gFID of each tokenizer, None where it has none.

        Args:
            names: the names of tokenizers as in our table.

        Raises:
            UserError: the protocol has a gFID of none of them.
        """
        known = {
            row.tokenizer: row.values[FID]
            for row in self.rows.values()
            if row.tokenizer is not None and FID in row.values
        }
        if not known.keys() & set(names):
            raise UserError(
                "no gFID of these tokenizers is published under that protocol",
                given=", ".join(names),
                expected=f"some of {', '.join(known)}" if known else None,
                next_step="name tokenizers as `sendvae models` does, or give the gFIDs that you know: --gfid",
            )
        return [known.get(name) for name in names]


def reported(reference: str) -> Reported:
    """Return the row that a reference "PROTOCOL/ROW" names.

    Raises:
        UserError: the reference has another form, or there is no such protocol or row.
    """
    protocol, slash, row = reference.partition("/")
    if not slash:
        raise UserError(
            "a published row is named PROTOCOL/ROW", given=reference, expected="send-vae-sit-b1-80/send-vae"
        )
    return PUBLISHED[protocol].rows[row]


def _tables_of(document: Document, protocol: str, row: str) -> str:
    """Return the tables that print a row, as ", Tables 4, 6", or an empty text.

    The row of a system's tokenizer is in the tables that print the system.
    """
    systems = {
        name for one in document.protocols.values() for name, text in one.rows.items() if text.of == row
    }
    shown = [
        table.caption.partition(":")[0].partition(",")[0].removeprefix("Table ")
        for table in document.tables.values()
        if protocol in table.columns and table.rows.keys() & {row, *systems}
    ]
    numbers = list(dict.fromkeys(shown))
    return f", Table{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""


def _protocol(document: Document, name: str, text: ProtocolText) -> PublishedProtocol:
    rows = {}
    for key, row in text.rows.items():
        facts = {
            "generator": row.generator,
            "epochs": row.epochs,
            "parameters": row.parameters,
            "note": row.note,
        }
        rows[key] = Reported(
            row.label,
            {
                metric: value
                for metric, value in zip(text.metrics, row.values, strict=True)
                if value is not None
            },
            f"{document.source}{_tables_of(document, name, key)}; {text.description}",
            row.tokenizer,
            row.of,
            {fact: value for fact, value in facts.items() if value is not None},
        )
    return PublishedProtocol(
        text.description, document.source, tuple(text.metrics), Registry(f"row of {name}", rows), text.view
    )


PUBLISHED: Registry[PublishedProtocol] = Registry(
    "published protocol",
    {
        name: _protocol(document, name, text)
        for document in DOCUMENTS
        for name, text in document.protocols.items()
    },
)
