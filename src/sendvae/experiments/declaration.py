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
        sampling: the name of one of the scale's samplings.
        at: the share of the generator's training after which it is sampled.
        probe: the name of one of the scale's data sets with attributes, whose attributes are probed instead of
            sampling; None takes the scale's own images.
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
        variant: the name of one of the scale's tokenizers.
        generator: the name of one of the scale's generators.
        published: the row of the published table; None takes the row with the variant's name.
    """

    variant: str
    generator: str = GENERATOR
    published: str | None = None

    @property
    def name(self) -> str:
        """Return the name by which claims know the row."""
        return self.variant if self.generator == GENERATOR else f"{self.variant}-{self.generator}"

    @property
    def published_row(self) -> str:
        """Return the name of the row in the published table."""
        return self.published or self.variant


@dataclass(frozen=True)
class Column:
    """A number of every row.

    Attributes:
        metric: the metric's name in the paper or in this package.
        view: what is measured of the row.
        protocol: the protocol under which the paper reports it; None if the paper does not report it.
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
        sign: the sign of the correlation that is claimed.
        published: Pearson's r as the paper prints it; None if it prints none.
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
        name: the name on the command line, and of the published table if there is one.
        title: the question that the experiment answers.
        rows, columns: what is computed here. A scale leaves out those that it lacks.
        claims: the paper's claims that the experiment judges.
        table: the name of the published table; None for a figure without printed numbers.
        drawn: how the experiment is drawn.
        remark: in what this experiment knowingly differs from the paper's.
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
        views: the views of protocols that are not measured in the plain view.
    """
    views = views or {}
    return [Column(c.metric, views.get(c.protocol, WHOLE), c.protocol) for c in TABLES[table].columns]
