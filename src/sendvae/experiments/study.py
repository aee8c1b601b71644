"""Several experiments at one scale: their cells, the results that these have, and the runs of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sendvae.errors import UserError
from sendvae.experiments.about import About, Method
from sendvae.experiments.declaration import Experiment
from sendvae.experiments.graph import PAUSED, RESULTS, Graph
from sendvae.experiments.kept import find_kept, keep
from sendvae.experiments.launchers import Launcher
from sendvae.experiments.missing import Missing
from sendvae.experiments.record import result_of
from sendvae.experiments.reproduction import Reproduction, reproduce, results_of
from sendvae.experiments.runner import run
from sendvae.experiments.sample_pictures import keep_picture, pictured
from sendvae.experiments.scale import Scale
from sendvae.registry import unknown_name

NAMES_SHOWN = 8  # names of cells in a line


class Study:
    """The cells of several experiments in one folder. Experiments that need the same work share a cell.

    Args:
        experiments: the experiments, in the order in which their cells are begun.
        scale: the scale of the experiments.
        folder: the folder of the runs. The results of finished cells are kept in its folder `results`.
        committed: a folder of results that were kept before; None: there is none.
        fresh: whether to compute cells again that have a result.
        fetch: whether to download weights that are not on this machine.
        only: the names of the cells to run; None: all.

    Raises:
        UserError: the scale is wrong, a file is no kept result, or no experiment has a cell that `only` names.

    Attributes:
        cells: all cells by name.
        wanted: the cells to run, which have no result, by name.
        nodes: the nodes of the wanted cells that can be run, by name of the cell and role.
        lacking: the reasons why the other wanted cells cannot be run, by name of the cell.
        digests: the digests of the stages of cells whose inputs were all here from the start, by name of the cell and
            role.
        refused: the fields that differ of each cell whose kept result has another declaration, by name of the cell.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        scale: Scale,
        folder: Path,
        committed: Path | None,
        *,
        fresh: bool = False,
        fetch: bool = True,
        only: Sequence[str] | None = None,
    ) -> None:
        self.experiments, self.scale, self.folder, self.committed = (
            experiments,
            scale,
            folder.resolve(),
            committed,
        )
        placed = [(one, scale.cells(one)) for one in experiments]
        self.cells = {cell.name: cell for _, cells in placed for cell in cells.values()}
        self._pictured = {cell.name for one, cells in placed for cell in pictured(one, cells).values()}
        for name in only or ():
            if name not in self.cells:
                raise unknown_name("cell of these experiments", name, list(self.cells))
        graph = Graph(self.folder)
        self.lacking = self._look(list(self.cells), Missing(graph.contents, fetch=False))
        nodes = {
            name: graph.add_cells([cell])[0] for name, cell in self.cells.items() if name not in self.lacking
        }
        self.digests = {
            name: {role: node.digest for role, node in own.items()} for name, own in nodes.items()
        }
        kept, self.refused = results_of(
            list(self.cells.values()), [] if fresh else self.folders, self.digests
        )
        self.wanted = {
            name: cell
            for name, cell in self.cells.items()
            if name not in kept and (only is None or name in only)
        }
        lacking = [name for name in self.wanted if name in self.lacking]
        self.lacking = (
            self._look(lacking, Missing(graph.contents, fetch))
            if fetch
            else {n: self.lacking[n] for n in lacking}
        )
        runnable = [name for name in self.wanted if name not in self.lacking]
        self.nodes = {
            name: nodes[name] if name in nodes else graph.add_cells([self.cells[name]])[0]
            for name in runnable
        }

    def _look(self, names: Sequence[str], missing: Missing) -> dict[str, list[UserError]]:
        """Return what cells lack, by name of the cell; cells that lack nothing are left out."""
        found = {name: missing.of(self.cells[name]) for name in names}
        return {name: errors for name, errors in found.items() if errors}

    @property
    def folders(self) -> list[Path]:
        """Return the folders of results: that of the runs, which has priority, then the committed one."""
        return [self.folder / RESULTS, *([self.committed] if self.committed is not None else [])]

    def run(
        self,
        command: str,
        jobs: int | None = None,
        seconds: float | None = None,
        watch: Callable[[], object] = lambda: None,
        publish: bool = False,
        launcher: Callable[[Path], AbstractContextManager[Launcher]] | None = None,
    ) -> None:
        """Run the wanted cells that can be run, and keep the result of each when it is finished.

        Args:
            command: the command that is shown on the page of the runs.
            jobs: the number of stages at a time, as the runner's `cores`.
            seconds: the seconds after which the run stops; None: never.
            watch: a function that is called after results were kept, as the runner's `watch`.
            publish: whether to keep results in the committed folder, too.
            launcher: opens the launcher that runs stages; None: processes of this machine.

        Raises:
            UserError, StagesFailed, Stopped: as in the runner's `run`.
        """

        def keep_and_watch() -> None:
            self.keep(publish)
            watch()

        cells = [self.cells[name] for name in self.nodes]
        try:
            if cells:
                run(cells, self.folder, self._about(command), jobs, keep_and_watch, seconds, launcher)
        finally:
            self.keep(publish)

    def keep(self, publish: bool = False) -> None:
        """Write the results of finished cells, and the pictures that figures show, with `publish` into the committed
        folder, too.
        """
        targets = [
            self.folder / RESULTS,
            *([self.committed] if publish and self.committed is not None else []),
        ]
        pictures = self.pictures()
        for name, nodes in self.nodes.items():
            if self.finished(name):
                result = result_of(self.cells[name], nodes, self.folder)
                for target in targets:
                    keep(
                        target, self.cells[name], result, {role: node.digest for role, node in nodes.items()}
                    )
                    if name in self._pictured and name in pictures:
                        keep_picture(target, name, pictures[name])

    @property
    def paused(self) -> bool:
        """Return whether the stages in this folder are paused."""
        return (self.folder / PAUSED).exists()

    def finished(self, name: str) -> bool:
        """Return whether all stages of a cell are finished."""
        return name in self.nodes and all(node.finished for node in self.nodes[name].values())

    def finished_stages(self) -> set[tuple[str, str]]:
        """Return the kind and the label of every finished stage."""
        nodes = [node for own in self.nodes.values() for node in own.values()]
        return {(node.kind, node.job.name) for node in nodes if node.finished}

    def reproductions(self, committed_only: bool = False) -> list[Reproduction]:
        """Return each experiment with the results that it has so far.

        Args:
            committed_only: whether to leave out the results in the folder of the runs.
        """
        folders = self.folders[1:] if committed_only else self.folders
        pictures = {} if committed_only else self.pictures()
        return [reproduce(one, self.scale, folders, self.digests, pictures) for one in self.experiments]

    def pictures(self) -> dict[str, Path]:
        """Return the paths of the pictures of samples that are there, by name of the cell."""
        found = {}
        for name, nodes in self.nodes.items():
            if "samples" in nodes and (path := nodes["samples"].folder / "samples.png").is_file():
                found[name] = path
        return found

    def deviations(self) -> dict[str, tuple[str, float, float]]:
        """Return, for every cell that was computed here and is committed, the number that differs most.

        The difference is taken relative to half the width of the committed number's interval, or to its size if it has
        none.

        Returns:
            The number's name, its value here and its committed value, by name of the cell.
        """
        if self.committed is None:
            return {}
        cells = list(self.cells.values())
        own, other = (
            find_kept(folder, cells, self.digests).results
            for folder in (self.folder / RESULTS, self.committed)
        )
        found: dict[str, tuple[str, float, float]] = {}
        for name in own.keys() & other.keys():
            pairs = [
                (key, own[name].numbers[key].value, number.value, _scale_of(number.value, number.interval))
                for key, number in other[name].numbers.items()
                if key in own[name].numbers
            ]
            key, ours, theirs, _ = max(pairs, key=lambda one: abs(one[1] - one[2]) / one[3])
            found[name] = (key, ours, theirs)
        return found

    def _about(self, command: str) -> About:
        methods = dict.fromkeys(cell.method for cell in self.cells.values())
        return About(
            title=", ".join(one.name for one in self.experiments) + f" at scale {self.scale.config.title}",
            lead=self.scale.config.limits,
            command=command,
            methods=[Method(name=name, label=name, description="") for name in methods],
        )


def _scale_of(value: float, interval: tuple[float, float] | None) -> float:
    half = (interval[1] - interval[0]) / 2 if interval is not None else 0.0
    return half or abs(value) or 1.0


def lacking_texts(lacking: Mapping[str, Sequence[UserError]]) -> list[str]:
    """Return texts on what is missing and how to get it, each once with the cells that need it."""
    cells: dict[str, list[str]] = {}
    for name, errors in lacking.items():
        for error in errors:
            cells.setdefault(str(error), []).append(name)
    return [f"{text}\n  needed by {len(names)} cells: {shortened(names)}" for text, names in cells.items()]


def shortened(names: Sequence[str]) -> str:
    """Return the first names as a list in words; more than `NAMES_SHOWN` end in "..."."""
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
