"""The stages of some cells as a graph. A stage is named by a digest of everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.contents import Contents
from sendvae.experiments.stages import STAGES, Job, StageKind, config_of

STAGE_FOLDER, CACHE = "stages", "cache"
# In a stage's folder, written last.
DONE, FAILED = "done.json", "failed.json"
# In the experiment's folder:
RESULTS = "results"  # files of finished cells
TIMES = "times.jsonl"  # a line for every attempt
JOBS = "jobs"  # files of launchers
PAUSED = "paused"  # while this file is there, stages rest and none begins
FORMAT = 1  # of the files in a stage's folder; it is part of the digest
DIGITS = 16  # of a digest in a name


@dataclass(frozen=True)
class Node:
    """A stage with a digest of everything that its result depends on.

    Attributes:
        digest: the digest of kind, configuration, inputs, images and version.
        needs: the digests of the stages that must be finished before.
        job: the configuration, the inputs and the folders that the stage works with.
    """

    kind: str
    digest: str
    needs: tuple[str, ...]
    job: Job

    @property
    def row(self) -> StageKind:
        """Return the row of the stage's kind."""
        return STAGES[self.kind]

    @property
    def title(self) -> str:
        """Return the title of the stage in messages."""
        return f"{self.job.name}: {self.kind}"

    @property
    def folder(self) -> Path:
        """Return the stage's folder."""
        return self.job.folder

    @property
    def finished(self) -> bool:
        """Return whether the stage's result is there."""
        return (self.folder / DONE).is_file()

    @property
    def work(self) -> float:
        """Return the amount of work, in units of `StageKind.work`."""
        return self.row.work(self.job.config)

    @property
    def worked(self) -> float:
        """Return the amount of work that is done, in units of `StageKind.work`."""
        return self.work * (1.0 if self.finished else self.row.done(self.job.config, self.folder))


class Graph:
    """The stages of some cells. Cells that need the same stage share it.

    Args:
        folder: the folder of the experiment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = Contents()
        self.nodes: dict[str, Node] = {}  # by digest, each after the nodes that it needs

    def add_cells(self, cells: Iterable[Cell]) -> list[dict[str, Node]]:
        """Add the stages of cells, and return the nodes of each cell by role.

        Raises:
            UserError: a kind is unknown, an input is missing or names nothing, or images are not there.
        """
        return [{role: self.add(stage) for role, stage in cell.stages.items()} for cell in cells]

    def add(self, stage: Stage) -> Node:
        """Add a stage after the stages that it needs, and return its node.

        Raises:
            UserError: as in `add_cells`.
        """
        row = STAGES[stage.kind]
        if row.inputs.keys() != stage.inputs.keys():
            raise UserError(
                f"{stage.label}: a stage of kind '{stage.kind}' needs other inputs",
                given=", ".join(stage.inputs) or "none",
                expected=", ".join(row.inputs) or "none",
            )
        needs: list[Node] = []
        places: dict[str, str] = {}
        digests: dict[str, str] = {}
        for name, given in stage.inputs.items():
            if isinstance(given, Stage):
                node = self.add(given)
                needs.append(node)
                digests[name] = f"stage {node.digest}"
                places[name] = str(node.folder / node.row.output)
            else:
                digests[name] = row.inputs[name](self.contents, given)
                places[name] = str(Path(given).resolve()) if Path(given).exists() else given
        content = {
            "format": FORMAT,
            "kind": stage.kind,
            "version": row.version,
            "config": config_of(stage.config, stage.inputs),
            "inputs": digests,
            "reads": row.reads(self.contents, stage.config),
        }
        text = json.dumps(content, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        if digest not in self.nodes:
            self.nodes[digest] = self._node(stage, digest, needs, places)
        return self.nodes[digest]

    def _node(self, stage: Stage, digest: str, needs: list[Node], places: dict[str, str]) -> Node:
        stages = self.folder / STAGE_FOLDER
        found = sorted(stages.glob(f"{stage.kind}-*-{digest}"))  # whatever the label was when it was done
        label = re.sub(r"[^\w.-]+", "-", stage.label)
        folder = found[0] if found else stages / f"{stage.kind}-{label}-{digest}"
        job = Job(stage.config, places, folder, self.folder / CACHE, stage.label)
        return Node(stage.kind, digest, tuple(dict.fromkeys(node.digest for node in needs)), job)
