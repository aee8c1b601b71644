"""Kept results of cells, with given numbers in place of computed ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sendvae.evaluation.results import Number
from sendvae.experiments.cell import Cell
from sendvae.experiments.kept import keep
from sendvae.experiments.record import CellResult
from sendvae.quantities import Quantity

DISTANCE, F1, GAP, PSNR = "fd-mobilenet-v2", "f1_macro", "gap_mean", "psnr"
QUANTITIES = {
    DISTANCE: Quantity("FD-MobileNetV2", "generation", False, 1, "a distance; not FID"),
    F1: Quantity("F1 macro", "latent space", True, 3, "of probes"),
    GAP: Quantity("gap", "latent space", False, 3, "between two probes"),
    PSNR: Quantity("PSNR", "reconstruction", True, 2, "in dB"),
}


def keep_result(
    folder: Path, cell: Cell, numbers: Mapping[str, float], digests: Mapping[str, str] | None = None
) -> Path:
    """Keep given numbers as the result of a finished cell, each with an interval of 1 either side; return the file."""
    result = CellResult(
        cell.name,
        cell.method,
        cell.seed,
        [],
        states=dict.fromkeys(cell.stages, "finished"),
        metrics={
            name: Number(value=value, interval=(value - 1, value + 1)) for name, value in numbers.items()
        },
        quantities={name: QUANTITIES[name] for name in numbers},
        seconds=dict.fromkeys(cell.stages, 1.0),
    )
    path = keep(folder, cell, result, digests or dict.fromkeys(cell.stages, "0" * 16))
    assert path is not None
    return path
