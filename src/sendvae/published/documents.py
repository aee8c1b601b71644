"""The schema of this package's YAML files. It is strict, so that a misspelt field is an error."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowText(_Part):
    """A row of a protocol.

    Attributes:
        label: the name that the source gives it.
        values: the values in the order of the protocol's metrics; None where none is reported.
        tokenizer: its name in our table of tokenizers, where it is certain which is meant.
        of: the row of a whole system's tokenizer in other protocols; None takes the row's own name.
        generator, epochs, parameters: the generator, its epochs and its parameters, where the row is a whole system.
        note: a remark on the row.
    """

    label: str
    values: list[float | None]
    tokenizer: str | None = None
    of: str | None = None
    generator: str | None = None
    epochs: int | None = None
    parameters: str | None = None
    note: str | None = None


class ProtocolText(_Part):
    """Numbers that compare with each other.

    Attributes:
        description: the generator, the length of its training and how it is sampled.
        view: the words that tell its columns from those of another protocol in one table.
        metrics: the names of the metrics, in the source's order.
        rows: the rows by name.
    """

    description: str
    view: str = ""
    metrics: list[str]
    rows: dict[str, RowText]


class TableText(_Part):
    """A table of the source: the metrics of its columns by protocol, and the labels of its rows by name."""

    caption: str
    columns: dict[str, list[str]]
    rows: dict[str, str]


class Document(_Part):
    """A YAML file: a source with its protocols and tables by name."""

    source: str
    protocols: dict[str, ProtocolText]
    tables: dict[str, TableText] = {}


# Seven times as fast as the loader in Python, which some builds of PyYAML have alone.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DOCUMENTS = [
    Document.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader))
    for path in sorted(Path(__file__).parent.glob("*.yaml"))
]
