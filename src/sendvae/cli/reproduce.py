"""`sendvae reproduce`."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sendvae.cli.document import ALL, RUNS, write_document
from sendvae.cli.plan import print_plan
from sendvae.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sendvae.experiments.launchers import Launcher
    from sendvae.experiments.study import Study

PAGE = "reproduction.html"
RESULTS = Path("docs") / "results"
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments (table3, figure4, ...), or all. --list shows them."),
    ] = None,
    scale: Annotated[str, typer.Option(help="tiny, small, paper, or a YAML file that extends one.")] = "tiny",
    list_all: Annotated[bool, typer.Option("--list", help="List the experiments and stop.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show cells, cost, disk and missing data, and stop.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of stages at a time. Default: one for each core; 1 on a GPU; 64 on a cluster.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Stop after this time (90m, 2h), with checkpoints; the same command goes on."),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Compute cells that have a committed result, too, and compare the two."),
    ] = False,
    cell: Annotated[
        list[str] | None, typer.Option(help="Run only this cell, such as send-vae-0; may be repeated.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the runs; what is in it goes on. Default: runs/reproduce/SCALE."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            help="Folder of committed results, with a folder for each scale. Default: docs/results."
        ),
    ] = None,
    launcher: Annotated[
        str,
        typer.Option(
            help="What runs the stages: local (processes), ray, submitit (Slurm), or a YAML file of options."
        ),
    ] = "local",
    launcher_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Option of the launcher, such as partition=gpu; may be repeated.",
        ),
    ] = None,
    pause: Annotated[
        bool, typer.Option("--pause", help="Suspend the stages that run in the folder, and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Let the suspended stages of the folder go on, and stop.")
    ] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Write the result of each finished cell, and the pictures that figures show, into --results, too.",
        ),
    ] = False,
    tflops: Annotated[
        float | None,
        typer.Option(min=0.0001, help="With --dry-run: show the hours at this sustained rate of a device."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write a document of these experiments from committed results alone, and stop."),
    ] = None,
) -> None:
    """Run the paper's tables and figures at a scale, and show ours beside the paper's.

    Cells that have a result, in the folder of the runs or committed, are not run again. After Ctrl-C, the same command
    goes on. A second command on the same folder shares the work.

    Examples:

        sendvae reproduce --list

        sendvae reproduce table3 --scale tiny --dry-run

        sendvae reproduce table3 table7 --scale tiny --jobs 2 --budget 2h

        sendvae reproduce table3 --scale paper --dry-run

        sendvae reproduce table3 --launcher submitit --launcher-option partition=gpu --launcher-option gpus=1

        sendvae reproduce --pause
    """
    from sendvae.experiments.paper import EXPERIMENTS

    if list_all:
        for one in EXPERIMENTS.values():
            typer.echo(f"{one.name:11} {one.title}")
        return
    if pause or resume:
        _hold(run, scale, pause, resume)
        return
    if not names:
        raise UserError(
            "no experiment is named",
            expected=", ".join([*EXPERIMENTS, ALL]),
            next_step="sendvae reproduce --list",
        )
    chosen = [EXPERIMENTS[name] for name in (EXPERIMENTS if ALL in names else dict.fromkeys(names))]
    seconds = _seconds(budget) if budget is not None else None

    from sendvae.experiments.launchers import load_launcher
    from sendvae.experiments.scale import load_scale
    from sendvae.experiments.study import Study

    opens = load_launcher(launcher, launcher_option or [])
    at = load_scale(scale)
    committed = _committed(results, at.config.title)
    if publish and committed is None:
        raise UserError("--publish needs a folder of results", next_step="name it: --results docs/results")
    if markdown is not None:
        write_document(chosen, at, committed, markdown)
        return
    study = Study(
        chosen,
        at,
        run or RUNS / at.config.title,
        committed / at.config.title if committed else None,
        fresh=fresh,
        fetch=not dry_run,
        only=cell,
    )
    if dry_run:
        print_plan(study, tflops or at.config.tflops)
        return
    _run(study, jobs, seconds, publish, opens)


def _hold(run: Path | None, scale: str, pause: bool, resume: bool) -> None:
    """Pause the stages that run in a folder, or let them go on.

    Raises:
        UserError: both options are given, there is no such scale, or the folder holds no experiment.
    """
    from sendvae.experiments import runner
    from sendvae.experiments.scale import load_scale

    if pause and resume:
        raise UserError("--pause and --resume exclude each other", next_step="give one of them")
    folder = run or RUNS / load_scale(scale).config.title
    if pause:
        runner.pause(folder)
        typer.echo(
            f"paused: {folder}; nothing is lost, and sendvae reproduce --resume --run {folder} goes on"
        )
    else:
        was = runner.resume(folder)
        typer.echo(f"goes on: {folder}" if was else f"was not paused: {folder}")


def _run(
    study: Study,
    jobs: int | None,
    seconds: float | None,
    publish: bool,
    launcher: Callable[[Path], AbstractContextManager[Launcher]],
) -> None:
    """Run the wanted cells of a study, draw the page, and print the results.

    Raises:
        UserError: no cell can be run, and none has a result.
    """
    from sendvae.cli.stopping import AGAIN, graceful
    from sendvae.experiments.schedule import StagesFailed
    from sendvae.experiments.study import lacking_texts
    from sendvae.report.reproduction import write_reproduction
    from sendvae.training import Stopped

    page = study.folder / PAGE
    if study.lacking:
        sys.stderr.write("\n".join(lacking_texts(study.lacking)) + "\n")
        if not study.nodes and len(study.wanted) == len(study.cells):
            raise UserError(
                "none of these cells can be run, and none has a result",
                given=f"scale {study.scale.config.title}, {len(study.cells)} cells; what is missing stands above",
                next_step=study.scale.config.data,
            )
    if study.nodes:
        typer.echo(f"{len(study.nodes)} of {len(study.cells)} cells are run in {study.folder}")
    failed = None
    with graceful(f"stages that were finished are kept; {AGAIN}"):
        try:
            study.run(
                shlex.join(["sendvae", *sys.argv[1:]]),
                jobs,
                seconds,
                lambda: write_reproduction(study.reproductions(), page, live=True),
                publish,
                launcher,
            )
        except Stopped:
            write_reproduction(study.reproductions(), page)
            typer.echo(f"page: {page}")
            raise
        except StagesFailed as error:
            failed = error
    found = study.reproductions()
    for one in found:
        typer.echo(
            f"\n{one.experiment.name}: {one.experiment.title} {one.done} of {one.wanted} cells have a result."
        )
        for verdict in one.verdicts:
            paper = f" (the paper: {verdict.paper})" if verdict.paper else ""
            typer.echo(f"  {verdict.word:13} {verdict.claim}: {verdict.ours}{paper}")
        for name, fields in one.refused.items():
            typer.echo(f"  not used, declared otherwise: {name}: {'; '.join(fields)}")
    for name, (number, here, there) in study.deviations().items():
        typer.echo(
            f"{name}: of its numbers {number} differs most from the committed one: {here:g} | {there:g}"
        )
    typer.echo(f"\npage: {write_reproduction(found, page)}")
    if failed is not None:
        sys.stderr.write(f"{failed}\n")
        raise typer.Exit(1)


def _committed(results: Path | None, scale: str) -> Path | None:
    """Return the folder of committed results: the named one, else that of the clone; None if there is none.

    The clone is the working folder, or the one that holds this package.

    Raises:
        UserError: the named folder, or that of the scale in it, is a file.
    """
    if results is not None:
        for folder in (results, results / scale):
            if folder.exists() and not folder.is_dir():
                raise UserError(
                    "--results is no folder", given=folder, next_step="name one, or a place for a new one"
                )
        return results
    import sendvae

    clone = Path(sendvae.__file__).resolve().parents[2] / RESULTS
    return next((folder for folder in (RESULTS, clone) if folder.is_dir()), None)


def _seconds(text: str) -> float:
    """Return the seconds of a duration such as "90m" or "2h".

    Raises:
        UserError: the text is no duration.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if found is None or float(found[1]) == 0:
        raise UserError(
            "--budget is no duration", given=text, expected="a number and s, m, h or d: 90m, 2h, 1.5d"
        )
    return float(found[1]) * UNITS[found[2]]
