"""Declarations of the paper's experiments: rows, columns and the claims to judge. They do not depend on a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sendvae.published import TABLES

GENERATOR = "b"  # the generator by which ablations are compared, as scales name it


@dataclass(frozen=True)
class View:
    """The conditions under which a row is measured.

    Attributes:
        sampling: the name of one of the scale's samplings.
        at: the share of the generator's training after which it is sampled; 1 is its end.
        probe: the name of one of the scale's data sets with attributes, on which the latents are probed instead of
            sampling; None: the scale's own images.
    """

    sampling: str = "plain"
    at: float = 1.0
    probe: str | None = None


WHOLE = View()
GUIDED = View(sampling="guided")


@dataclass(frozen=True)
class Row:
    """A tokenizer and the generator in its latent space.

    Attributes:
        variant: the name of one of the scale's tokenizers.
        generator: the name of one of the scale's generators.
        published: the name of the row in the published table; None: the variant's name.
    """

    variant: str
    generator: str = GENERATOR
    published: str | None = None

    @property
    def name(self) -> str:
        """Return the name by which claims refer to the row."""
        return self.variant if self.generator == GENERATOR else f"{self.variant}-{self.generator}"

    @property
    def published_row(self) -> str:
        """Return the name of the row in the published table."""
        return self.published or self.variant


@dataclass(frozen=True)
class Column:
    """A metric of every row.

    Attributes:
        metric: the paper's name of the metric, or ours.
        view: the conditions under which the rows are measured.
        protocol: the protocol under which the paper reports the metric; None: the paper does not report it.
    """

    metric: str
    view: View = WHOLE
    protocol: str | None = None


@dataclass(frozen=True)
class Better:
    """The claim that a row is better than another in a metric, by the differences of equal seeds."""

    text: str
    better: str
    worse: str
    column: Column
    lower_is_better: bool = True


@dataclass(frozen=True)
class Correlates:
    """The claim that a score correlates with a metric over the rows.

    Attributes:
        sign: the sign of the claimed correlation.
        published: the Pearson's r that the paper prints; None: it prints none.
    """

    text: str
    score: Column
    against: Column
    sign: Literal[-1, 1]
    published: float | None = None


@dataclass(frozen=True)
class Strongest:
    """The claim that a score correlates with a metric more strongly than other scores do."""

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
        title: the question that the experiment asks.
        rows, columns: the rows and columns of our table. Those that a scale lacks are left out at that scale.
        claims: the claims of the paper to judge.
        table: the name of the published table; None: a figure without printed numbers.
        drawn: how the experiment is drawn.
        remark: what is to be known about the paper's version or its difference from ours.
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
        table: the name of the table.
        views: the views by protocol; a protocol that is not in it has the plain view.
    """
    views = views or {}
    return [Column(c.metric, views.get(c.protocol, WHOLE), c.protocol) for c in TABLES[table].columns]
