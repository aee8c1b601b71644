"""Texts and choices of the page of an experiment."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Part):
    """A row of the table: the cells of one method, whose seeds differ.

    Attributes:
        part: the part of the table in which the row stands. Rows of different parts do not compete.
    """

    name: str
    label: str
    description: str
    part: str = ""


class PaperTable(_Part):
    """A table of numbers that the paper reports, copied as facts."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


class Network(_Part):
    """A frozen network that the experiment uses, and its role."""

    role: str
    name: str
    source: str
    licence: str


class About(_Part):
    """The texts and choices of a page. Every field may be left out.

    Attributes:
        title: the question that the experiment asks.
        lead: what was done, in a sentence or two.
        warning: what readers must know before they read the numbers; empty where there is nothing to warn of.
        command: the command that ran the experiment.
        methods: the described methods, in the order of the table; all others follow them.
        base: the method that all others start from. It is shown, but does not compete.
        control: the method that the others are compared with.
        columns: the names of the numbers in the table, in its order; empty for all.
        contender: the method that the verdict compares with the control.
        trained: the methods before and after a training, which the verdict compares, too.
        headline: the score of the latent space and the distance of samples that the verdict is about.
        compared: the scores whose difference from the control's is shown, with intervals over equal resamples.
        curves: whether the learning curves that ship are shown first.
        conclusions: further sentences on the question, which follow the verdict.
        data: facts about the images.
        licences: the licences of the images.
        config: the configuration of the experiment.
    """

    title: str = "Experiment"
    lead: str = ""
    warning: str = ""
    command: str = ""
    methods: list[Method] = []
    base: str | None = None
    control: str | None = None
    contender: str | None = None
    trained: tuple[str, str] | None = None
    columns: list[str] = []
    headline: tuple[str, str] | None = None
    compared: list[str] = []
    networks: list[Network] = []
    paper: PaperTable | None = None
    curves: bool = False
    conclusions: list[str] = []
    data: dict[str, str | int] = {}
    licences: list[str] = []
    config: dict[str, Any] = {}
