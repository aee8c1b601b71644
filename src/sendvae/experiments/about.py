"""What the page of an experiment says besides its numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Method(_Part):
    """A row of the table: what cells of several seeds have in common.

    Attributes:
        part: the part of the table. Rows of different parts do not compete.
    """

    name: str
    label: str
    description: str
    part: str = ""


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
        lead: a sentence or two on what was done.
        warning: a sentence that must be known before the numbers are read; may be empty.
        command: the command that ran it.
        methods: the names of methods in the order of the table. Others follow.
        base: the method that all others start from. It is shown and does not compete.
        control: the method that the others are compared with.
        columns: names of the numbers in the table, in its order; empty for all.
        contender: the method that the verdict holds against the control.
        trained: a method before and after a training that the verdict is about, too.
        headline: a score of the latent space and a distance of samples, which the verdict is about.
        compared: scores whose difference from the control's is shown, resample by resample.
        curves: whether the learning curves that ship are shown first.
        conclusions: more sentences on the question, which follow the one on the cells.
        data: facts about the images.
        licences: the licences of the images.
        config: the configuration that was asked for.
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
