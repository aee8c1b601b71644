"""Pictures of a cell's samples, which lie beside its kept result, so that figures of samples can be drawn from a clone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sendvae.experiments.cell import Cell
from sendvae.experiments.declaration import Experiment
from sendvae.experiments.kept import Kept
from sendvae.experiments.numbers import seen_from
from sendvae.experiments.scale import Place
from sendvae.files import update_file

SUFFIX = ".png"
SEED = 0  # of the cells whose pictures are shown


@dataclass(frozen=True)
class Picture:
    """A picture of a row's samples, of seed `SEED`."""

    label: str
    path: Path


def keep_picture(folder: Path, name: str, picture: Path) -> None:
    """Copy the picture of a cell's samples into a folder of results. Leave an equal file alone."""
    update_file(folder / f"{name}{SUFFIX}", picture.read_bytes())


def pictured(experiment: Experiment, cells: Mapping[Place, Cell]) -> dict[Place, Cell]:
    """Return the cells of an experiment whose pictures are shown: those of one seed, of a figure of samples."""
    shown = experiment.drawn == "samples"
    return {place: cell for place, cell in cells.items() if shown and place.seed == SEED}


def pictures_of(
    cells: Mapping[Place, Cell],
    results: Mapping[str, Kept],
    folders: Sequence[Path],
    pictures: Mapping[str, Path],
) -> list[Picture]:
    """Return the pictures that cells have, in their order.

    Args:
        cells: the cells whose pictures are shown (`pictured`).
        results: the results that are used, by name of the cell. Pictures beside others are not shown.
        folders: the folders of results. The first one that has a picture of a cell counts.
        pictures: the pictures of runs by name of the cell, which have priority.
    """
    found = []
    for place, cell in cells.items():
        kept = [folder / f"{cell.name}{SUFFIX}" for folder in folders if cell.name in results]
        path = pictures.get(cell.name) or next((path for path in kept if path.is_file()), None)
        if path is not None:
            found.append(Picture(f"{place.row.name}{seen_from(place.view)}", path))
    return found
