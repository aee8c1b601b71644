"""The stages of some cells as a graph: what each is called by all that it depends on, and what it needs."""

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
DONE, FAILED = "done.json", "failed.json"  # of a stage: written last
RESULTS = "results"  # of the experiment: files of finished cells
TIMES = "times.jsonl"  # of the experiment: every attempt
JOBS = "jobs"  # of the experiment: what launchers keep of theirs
PAUSED = "paused"  # of the experiment: while this file is there, stages rest and none begins
FORMAT = 1  # of what is in a stage's folder; another one gives other names
DIGITS = 16


@dataclass(frozen=True)
class Node:
    """A stage, named by everything that its result depends on.

    Attributes:
        digest: the digest of kind, configuration, inputs, images and version.
        needs: digests of the stages that come before.
        job: what it works on.
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
        """Return the title that is printed."""
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
        """Return the amount of work that is done, in the same units."""
        return self.work * (1.0 if self.finished else self.row.done(self.job.config, self.folder))


class Graph:
    """The stages below a folder; those of several cells that are the same are one.

    Args:
        folder: the folder of the experiment.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = Contents()
        self.nodes: dict[str, Node] = {}  # by digest, each after those that it needs

    def add_cells(self, cells: Iterable[Cell]) -> list[dict[str, Node]]:
        """Return the nodes of each cell by role.

        Raises:
            UserError: an unknown kind, an input that is missing or names nothing, images that are not there.
        """
        return [{role: self.add(stage) for role, stage in cell.stages.items()} for cell in cells]

    def add(self, stage: Stage) -> Node:
        """Return the node of a stage, after those that it needs.

        Raises:
            UserError: as `add_cells`.
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
        found = sorted(stages.glob(f"{stage.kind}-*-{digest}"))  # under whatever label it was done
        label = re.sub(r"[^\w.-]+", "-", stage.label)
        folder = found[0] if found else stages / f"{stage.kind}-{label}-{digest}"
        job = Job(stage.config, places, folder, self.folder / CACHE, stage.label)
        return Node(stage.kind, digest, tuple(dict.fromkeys(node.digest for node in needs)), job)
