"""The page of a training: its progress, curves, previews and settings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sendvae.errors import UserError
from sendvae.report.page import data_uri, write_page
from sendvae.report.plots import Series, lines
from sendvae.runs import JOURNAL, RunFolder, read_journal

COLOUR = "var(--c1)"
COUNTERS = ("images", "step")  # columns that are no scalars
# Groups of scalars, in this order, with the beginnings of their names. All others come first, with the losses.
GROUPS = {
    "Distances of samples": ("fd-", "fid"),
    "Shares of the gradient": ("gradient_share",),
    "Gradient norms": ("grad_norm",),
    "Learning rates": ("lr",),
    "Speed and memory": ("images_per_second", "tflops", "mfu", "memory_gib"),
}
LOSSES = "Losses"
PREVIEWS = 6  # shown: the first one and the newest ones
POINTS = 1500  # about the most points of a curve; more would not be seen


@dataclass(frozen=True)
class Facts:
    """The facts in the first lines of the page."""

    kind: str
    name: str
    seen: int
    wanted: int | None
    checkpoints: list[str]


def write_run(folder: Path, output: Path) -> Path:
    """Draw the page of a run folder, and return `output`.

    Raises:
        UserError: the run has no line of metrics yet.
    """
    run = RunFolder(folder)
    columns = read_journal(run.journal_path) if run.journal_path.is_file() else {}
    images = [int(value) for value in columns.get("images", []) if value is not None]
    if not images:
        raise UserError(
            f"{folder} has nothing to draw yet",
            given=f"no line in {JOURNAL}",
            next_step="let it train until the first line is logged (loop.log_every)",
        )
    config = run.configuration()
    checkpoints = sorted(path.name for path in run.checkpoints.glob("step-*"))
    wanted = config.get("loop", {}).get("images")
    facts = Facts(str(config.get("kind", "training")), folder.resolve().name, images[-1], wanted, checkpoints)
    environment = run.environment_path
    return write_page(
        "run.html",
        output,
        f=facts,
        groups=_charts(images, columns),
        last={name: _last(values) for name, values in columns.items() if name not in COUNTERS},
        previews=_previews(run.samples),
        environment=json.loads(environment.read_text()) if environment.is_file() else {},
        config=yaml.safe_dump(config, sort_keys=False),
    )


def _charts(
    images: Sequence[int], columns: Mapping[str, Sequence[float | None]]
) -> dict[str, list[tuple[str, Any]]]:
    """Return, by group, the name and the chart of every scalar that has a value."""
    found: dict[str, list[tuple[str, Any]]] = {group: [] for group in (LOSSES, *GROUPS)}
    every = math.ceil(len(images) / POINTS)
    for name, values in columns.items():
        points = [(x, float(y)) for x, y in zip(images, values, strict=True) if y is not None]
        points = [point for point in points if math.isfinite(point[1])]
        if name in COUNTERS or not points:
            continue
        shown = sorted({*points[::every], points[-1]})
        x, y = zip(*shown, strict=True)
        found[_group(name)].append((name, lines([Series(name, COLOUR, x, y)], "images seen", "")))
    return {group: charts for group, charts in found.items() if charts}


def _group(name: str) -> str:
    return next((group for group, begins in GROUPS.items() if name.startswith(begins)), LOSSES)


def _last(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{known[-1]:.4g}" if known else "–"


def _previews(folder: Path) -> list[tuple[str, str]]:
    """Return a caption and a data URL of the first preview and of the newest ones, in their order."""
    pictures = sorted(folder.glob("*.png")) if folder.is_dir() else []
    shown = pictures if len(pictures) <= PREVIEWS else [pictures[0], *pictures[1 - PREVIEWS :]]
    return [
        (f"{int(path.stem):,} images" if path.stem.isdecimal() else path.stem, data_uri(path))
        for path in shown
    ]
