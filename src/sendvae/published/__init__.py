"""Numbers that others report, by protocol: facts to hold ours against, never mixed with them or with each other.

A new source is a YAML file here; one number stands in one place. Whoever needs it names protocol and row.
"""

from sendvae.published.figures import published_figure, published_heading
from sendvae.published.protocols import PUBLISHED, PublishedProtocol, Reported, reported
from sendvae.published.tables import TABLES, Column, PublishedTable

__all__ = [
    "PUBLISHED",
    "TABLES",
    "Column",
    "PublishedProtocol",
    "PublishedTable",
    "Reported",
    "published_figure",
    "published_heading",
    "reported",
]
