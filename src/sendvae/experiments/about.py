"""What the page of an experiment says besides its numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Part):
    """A row of the table: what cells of several seeds have in common."""

    name: str
    label: str
    description: str


class PaperTable(_Part):
    """What the paper reports, copied as facts."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


class Network(_Part):
    """A frozen network that the experiment uses, and in which role."""

    role: str
    name: str
    source: str
    licence: str


class About(_Part):
    """Texts and choices of a page. All of it may be left out.

    Attributes:
        title: the question that the experiment asks.
        lead: what was done, in a sentence or two.
        warning: what must be known before the numbers are read; empty for nothing.
        command: that ran it.
        methods: in the order of the table; others follow.
        base: the method that all others start from: it is shown, and does not compete.
        control: the method that the others are compared with.
        columns: names of the numbers in the table, in its order; empty for all.
        headline: a score of the latent space and a metric of generation, which the verdict is about.
        compared: scores whose difference from the control's is shown, resample by resample.
        correlated: pairs of numbers that are held against each other over cells.
        data: facts of the images.
        licences: of the images.
        config: what was asked for.
    """

    title: str = "Experiment"
    lead: str = ""
    warning: str = ""
    command: str = ""
    methods: list[Method] = []
    base: str | None = None
    control: str | None = None
    columns: list[str] = []
    headline: tuple[str, str] | None = None
    compared: list[str] = []
    correlated: list[tuple[str, str]] = []
    networks: list[Network] = []
    paper: PaperTable | None = None
    data: dict[str, str | int] = {}
    licences: list[str] = []
    config: dict[str, Any] = {}
