"""What an experiment of the paper declares: rows, columns, and the claims that it judges. No scale stands here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sendvae.published import TABLES

GENERATOR = "b"  # that ablations are compared by, as scales call it


@dataclass(frozen=True)
class View:
    """From where a row is looked at.

    Attributes:
        sampling: of the scale's samplings.
        at: share of the generator's training after which it is sampled.
        probe: of the scale's data sets with attributes, instead of sampling; None: its own images.
    """

    sampling: str = "plain"
    at: float = 1.0
    probe: str | None = None


WHOLE = View()
GUIDED = View(sampling="guided")


@dataclass(frozen=True)
class Row:
    """A tokenizer, and what generates in its latent space.

    Attributes:
        variant: of the scale's tokenizers.
        generator: of the scale's generators.
        published: the row of the published table; None: that of the variant's name.
    """

    variant: str
    generator: str = GENERATOR
    published: str | None = None

    @property
    def name(self) -> str:
        """By which claims know it."""
        return self.variant if self.generator == GENERATOR else f"{self.variant}-{self.generator}"

    @property
    def published_row(self) -> str:
        """In the published table."""
        return self.published or self.variant


@dataclass(frozen=True)
class Column:
    """A number of every row.

    Attributes:
        metric: as the paper calls it, or as ours are called.
        view: of the row.
        protocol: under which the paper reports it; None: it does not.
    """

    metric: str
    view: View = WHOLE
    protocol: str | None = None


@dataclass(frozen=True)
class Better:
    """A row is better than another in a number, seed by seed."""

    text: str
    better: str
    worse: str
    column: Column
    lower_is_better: bool = True


@dataclass(frozen=True)
class Correlates:
    """A score goes with a number over the rows.

    Attributes:
        sign: of the correlation that is claimed.
        published: Pearson's r that the paper prints; None: none.
    """

    text: str
    score: Column
    against: Column
    sign: Literal[-1, 1]
    published: float | None = None


@dataclass(frozen=True)
class Strongest:
    """A score goes with a number more closely than the others do."""

    text: str
    score: Column
    others: Sequence[Column]
    against: Column


Claim = Better | Correlates | Strongest


@dataclass(frozen=True)
class Experiment:
    """A table or a figure of the paper.

    Attributes:
        name: of the command line, and of the published table if there is one.
        title: what it asks.
        rows, columns: of ours; those that a scale lacks are left out there.
        claims: of the paper that it judges.
        table: of the published ones; None: a figure without printed numbers.
        drawn: how a figure is drawn.
        remark: what is known of the paper's that ours does not follow.
    """

    name: str
    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    claims: Sequence[Claim]
    table: str | None = None
    drawn: Literal["table", "scatter", "curves", "samples", "predictors"] = "table"
    remark: str = ""


def columns_of(table: str, views: dict[str, View] | None = None) -> list[Column]:
    """Return the columns of a published table.

    Args:
        views: by protocol, where it is not the plain one.
    """
    views = views or {}
    return [Column(c.metric, views.get(c.protocol, WHOLE), c.protocol) for c in TABLES[table].columns]
