"""The runner of cells. It runs every stage once, in a process of its own, and keeps what is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sendvae.errors import UserError
from sendvae.experiments.about import About
from sendvae.experiments.cell import Cell
from sendvae.experiments.graph import CACHE, JOBS, PAUSED, RESULTS, STAGE_FOLDER, TIMES, Graph
from sendvae.experiments.launchers import Launcher, load_launcher
from sendvae.experiments.record import CELLS, load_record, save_record
from sendvae.experiments.schedule import Schedule
from sendvae.runs import RunFolder, try_folder

OWN = {STAGE_FOLDER, CACHE, TIMES, RESULTS, JOBS, PAUSED}  # may lie in a folder before `cells.json` does
FOREIGN_SHOWN = 5  # names in an error


def run(
    cells: Sequence[Cell],
    folder: Path,
    about: About | None = None,
    cores: int | None = None,
    watch: Callable[[], object] = lambda: None,
    seconds: float | None = None,
    launcher: Callable[[Path], AbstractContextManager[Launcher]] | None = None,
) -> None:
    """Run the stages of some cells that are not finished. Stages that are ready run side by side, in the cells' order.

    The folder of a stage is named by a digest of everything that its result depends on, so a stage is done once for
    all cells that share it, and later calls find it again, also with other cells. Trainings go on from their last
    checkpoint. `cells.json` in the folder says which stages belong to which cell (see `load_cells`). Several processes
    may run the same cells, or others, in one folder and then share the work. While the folder holds a file `paused`
    (see `pause`), stages rest and none begins.

    Args:
        cells: the cells to run.
        folder: the folder of the experiment.
        about: the texts and choices of its page; None: the defaults.
        cores: the cores that the stages share, which is also the most stages at a time. None: the threads that torch
            would use, and on a GPU one stage at a time. Where a launcher gives each stage cores of its own, this is
            only the most stages at a time; None: `sendvae.experiments.schedule.MOST`.
        watch: a function that is called once the cells are known, whenever a stage has ended, every `WATCH_SECONDS`,
            and at the end; less often in between if it would take more than `WATCH_SHARE` of the time.
        seconds: the seconds after which the run stops as after SIGTERM; None: never.
        launcher: opens the launcher that runs stages for this folder (see `load_launcher`); None: processes of this
            machine.

    Raises:
        UserError: the launcher cannot work, or cells ask for something that is not there; nothing was run.
        StagesFailed: a stage failed; raised at the end.
        Stopped: after SIGTERM, Ctrl-C or `seconds`, once the trainings have written their checkpoints.
    """
    folder = folder.resolve()
    _check_place(folder)
    with (launcher or load_launcher())(folder) as opened:
        graph = Graph(folder)
        save_record(folder, cells, graph.add_cells(cells), about)
        watch()
        Schedule(list(graph.nodes.values()), folder, opened, cores, watch, seconds).run()


def pause(folder: Path) -> None:
    """Let the stages of an experiment rest, whoever runs them, and begin none until `resume` is called.

    Raises:
        UserError: the folder holds no experiment.
    """
    load_record(folder)
    (folder / PAUSED).touch()


def resume(folder: Path) -> bool:
    """Let the stages of an experiment go on; return whether it was paused.

    Raises:
        UserError: the folder holds no experiment.
    """
    load_record(folder)
    paused = (folder / PAUSED).exists()
    (folder / PAUSED).unlink(missing_ok=True)
    return paused


def _check_place(folder: Path) -> None:
    """Make the folder of an experiment, and check that it can be one.

    Raises:
        UserError: the folder cannot be written, or holds something else.
    """
    try_folder(folder)
    if (folder / CELLS).is_file():
        return
    if RunFolder(folder).config_path.is_file():
        problem, given = f"{folder} holds a run of another command", str(RunFolder(folder).config_path)
    elif foreign := sorted(
        path.name for path in folder.glob("[!.]*") if path.name not in OWN
    ):  # hidden files do not count
        problem = f"{folder} holds something else than an experiment"
        given = ", ".join(foreign[:FOREIGN_SHOWN])
    else:
        return
    raise UserError(
        problem,
        given=given,
        expected="a folder of an experiment, or a new one",
        next_step="choose another folder",
    )
