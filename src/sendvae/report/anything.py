"""The choice of the page that a folder or a file gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sendvae.errors import UserError
from sendvae.evaluation.results import RESULTS, Result
from sendvae.experiments.record import CELLS
from sendvae.report.experiment import write_experiment
from sendvae.report.result import write_result
from sendvae.report.run import write_run
from sendvae.runs import JOURNAL, RunFolder

PAGE = "report.html"
KNOWN = f"a run folder, a folder with {RESULTS}, a {RESULTS}, or the folder of an experiment (with {CELLS})"


def write_report(source: Path, output: Path | None = None, live: bool = False) -> Path:
    """Draw the page of a run, a result or an experiment, and return its path.

    Args:
        source: a run folder, the folder or file of a result, or an experiment's folder, finished or not.
        output: the file to write; by default `report.html` beside what it shows.
        live: whether an experiment still runs; its page then loads itself again every few seconds.

    Raises:
        UserError: the source is nothing that can be drawn, or has nothing to draw yet.
    """
    if not source.exists():
        raise UserError("no such file or folder", given=source, expected=KNOWN)
    if source.is_file():
        if source.suffix != ".json":
            raise UserError("nothing to report", given=source, expected=KNOWN)
        if source.name == CELLS:
            return write_report(source.parent, output, live)
        return write_result(Result.load(source), source.parent, output or source.with_name(PAGE))
    page = output or source / PAGE
    if (source / CELLS).is_file():
        return write_experiment([source], page, live)
    if (source / RESULTS).is_file():
        return write_result(Result.load(source), source, page)
    run = RunFolder(source)
    if run.config_path.is_file():
        return write_run(source, page)
    inside = sorted({path.parent for name in (RESULTS, CELLS, JOURNAL) for path in source.rglob(name)})
    raise UserError(
        "nothing to report",
        given=f"no run, result or experiment in {source}",
        expected=KNOWN,
        next_step=f"there is one in {inside[0]}" if inside else None,
    )


def write_common_report(folders: Sequence[Path], output: Path | None = None) -> Path:
    """Draw one page of the cells of several experiments, and return its path.

    Args:
        folders: the folders of experiments, finished or not.
        output: the file to write; by default `report.html` in the current folder.

    Raises:
        UserError: a folder is given twice, or is not that of an experiment.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError("a folder is given twice", given=", ".join(map(str, folders)))
    for folder in folders:
        if not (folder / CELLS).is_file():
            raise UserError(
                "one page of several sources shows experiments only",
                given=f"{folder}, "
                + (f"which has no {CELLS}" if folder.exists() else "which does not exist"),
                expected=f"folders of experiments (with {CELLS})",
                next_step="draw the others one by one",
            )
    return write_experiment(folders, output or Path(PAGE))
