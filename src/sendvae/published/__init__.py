"""Numbers that others report, by protocol: facts to compare ours with. Numbers of different protocols never mix.

A new source is a new YAML file in this package. A number stands in one place only, and code that needs it names its
protocol and row.
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
