"""The cells of several experiments in one table, on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sendvae.experiments.about import About, Method
from sendvae.experiments.record import CellRecord, CellResult
from sendvae.report.cells import Experiment

T = TypeVar("T")


def together(experiments: Mapping[str, Experiment]) -> Experiment:
    """Return one experiment with the cells of several.

    A cell that two experiments share, by its name and the folders of its stages, is taken once. A method that
    is still in several experiments becomes a row for each, with the experiment's name, since its cells were
    configured differently. Every experiment is a part of the table, and rows of different parts do not compete:
    their data and protocols may differ. Controls, conclusions and verdicts belong to single experiments and are
    left out. If the data differ, the headline chart and the originals, which compare all cells, are left out, too.

    Args:
        experiments: the experiments by the names that the page shows.
    """
    if len(experiments) == 1:
        return next(iter(experiments.values()))
    parts = _without_shared(experiments)
    counts = Counter(method.name for part in parts.values() for method in part.methods)
    rows = {
        (name, method.name): f"{method.name} ({name})" if counts[method.name] > 1 else method.name
        for name, part in parts.items()
        for method in part.methods
    }
    alike = len({repr(one.about.data) for one in experiments.values()}) == 1
    seconds: Counter[str] = Counter()
    for one in experiments.values():
        seconds.update(one.seconds)
    first = next(iter(experiments.values())).record
    record = first.model_copy(
        update={
            "created": max(one.record.created for one in experiments.values()),
            "environment": _agreed([one.record.environment for one in experiments.values()]),
            "about": _about(parts, rows, alike),
            "cells": [
                cell.model_copy(update={"method": rows[name, cell.method]})
                for name, part in parts.items()
                for cell in part.record.cells
            ],
        }
    )
    results = [
        replace(cell, method=rows[name, cell.method], pictures=_pictures(cell, alike))
        for name, part in parts.items()
        for cell in part.cells
    ]
    return Experiment(record, results, seconds)


def _without_shared(experiments: Mapping[str, Experiment]) -> dict[str, Experiment]:
    """Return each experiment with those of its cells that no experiment before it has."""
    seen: set[str] = set()
    parts = {}
    for name, one in experiments.items():
        pairs = zip(one.record.cells, one.cells, strict=True)
        own = [(record, result) for record, result in pairs if _address(record) not in seen]
        seen.update(map(_address, one.record.cells))
        record = one.record.model_copy(update={"cells": [record for record, _ in own]})
        parts[name] = replace(one, record=record, cells=[result for _, result in own])
    return parts


def _address(cell: CellRecord) -> str:
    """Return the name and the stages of a cell as JSON. The folders of the stages are named by their content."""
    return cell.model_dump_json(include={"name", "stages"})


def _pictures(cell: CellResult, alike: bool) -> dict[str, Path]:
    return {kind: path for kind, path in cell.pictures.items() if alike or kind != "originals"}


def _about(parts: Mapping[str, Experiment], rows: Mapping[tuple[str, str], str], alike: bool) -> About:
    """Return the texts and choices that several experiments have in common.

    Args:
        parts: the experiments by name.
        rows: the name of each method's row, by experiment and method.
        alike: whether all experiments have the same data.
    """
    every = [part.about for part in parts.values()]
    headlines = _distinct(about.headline for about in every)
    return About(
        title="Cells of " + " and ".join(parts),
        lead=" ".join(_distinct(about.title + "." * (about.title[-1:] not in "?.") for about in every)),
        warning="; ".join(_distinct(about.warning for about in every if about.warning)),
        methods=[
            _method(method, name, rows[name, method.name])
            for name, part in parts.items()
            for method in part.methods
        ],
        columns=_distinct(_flat(every, "columns")) if all(about.columns for about in every) else [],
        headline=headlines[0] if alike and len(headlines) == 1 else None,
        networks=_distinct(_flat(every, "networks")),
        data=_agreed([about.data for about in every]),
        licences=_distinct(_flat(every, "licences")),
        config={name: part.about.config for name, part in parts.items() if part.about.config},
    )


def _method(method: Method, experiment: str, row: str) -> Method:
    label = method.label if row == method.name else f"{method.label} ({experiment})"
    part = f"{experiment}: {method.part}" if method.part else experiment
    return method.model_copy(update={"name": row, "label": label, "part": part})


def _flat(abouts: Sequence[About], field: str) -> list[Any]:
    return [item for about in abouts for item in getattr(about, field)]


def _distinct(values: Iterable[T]) -> list[T]:
    """Return the distinct values in their order."""
    return list(dict.fromkeys(values))


def _agreed(documents: Sequence[Mapping[str, str | int]]) -> dict[str, str | int]:
    """Return every field of some documents once, with all its values where the documents differ."""
    found: dict[str, str | int] = {}
    for key in _distinct(key for document in documents for key in document):
        values = _distinct(document[key] for document in documents if key in document)
        found[key] = values[0] if len(values) == 1 else " / ".join(map(str, values))
    return found
