"""Stages rest while their experiment is paused, and nothing is lost by it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import toy_stages as toys
from tests.experiments.test_runner import begin, cell, counts, finish, joined, source, until, waiting
from tests.experiments.waiting import alive

from sendvae.errors import UserError
from sendvae.experiments.graph import DONE, PAUSED, STAGE_FOLDER
from sendvae.experiments.process import Task, attend
from sendvae.experiments.runner import pause, resume, run
from sendvae.experiments.stages import STAGES, Job

STEPS = 60


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "source", toys.SOURCE)
    monkeypatch.setitem(STAGES, "toy", toys.kind())


def steps(folder: Path) -> int:
    """Return how many steps the toys that step have done."""
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("steps.txt"))


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Do some work in a thread, which has ended when the block has."""
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join(180)
    assert not thread.is_alive()


def rests(folder: Path) -> bool:
    before = steps(folder)
    time.sleep(1.0)
    return steps(folder) == before


def paused_in_log(folder: Path) -> bool:
    (log,) = folder.glob("stages/*-waits-*/log.txt")
    return "paused, " in log.read_text()


def test_stages_rest_and_none_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    walks = source("walks", does="step", value=STEPS)
    cells = [cell("a", one=walks, two=joined("after", walks)), cell("b", three=source("other", value=1))]
    with beside(lambda: run(cells, tmp_path, cores=1)) as thread:
        until(lambda: steps(tmp_path) > 3)
        pause(tmp_path)
        until(lambda: rests(tmp_path))
        assert steps(tmp_path) < STEPS
        assert thread.is_alive()
        assert counts(tmp_path) == {}
        assert resume(tmp_path)
        assert not resume(tmp_path)
    assert steps(tmp_path) == STEPS
    assert counts(tmp_path) == {"walks": 1, "after": 1, "other": 1}
    told = capsys.readouterr().err
    assert f"paused: stages rest until {tmp_path / PAUSED} is removed" in told
    assert told.index("paused") < told.index("goes on") < told.index("begins    after")


def test_a_run_that_begins_while_it_is_paused_waits(tmp_path: Path) -> None:
    run([cell("a", one=source("first"))], tmp_path, cores=1)
    pause(tmp_path)
    cells = [cell("b", one=source("second", value=1))]
    with beside(lambda: run(cells, tmp_path, cores=1)) as thread:
        time.sleep(2.0)
        assert thread.is_alive()
        assert counts(tmp_path) == {"first": 1}
        assert not list(tmp_path.glob("stages/source-second-*/log.txt"))
        resume(tmp_path)
    assert counts(tmp_path) == {"first": 1, "second": 1}


def test_the_end_of_a_run_is_not_held_up(tmp_path: Path) -> None:
    cells = [cell("a", one=source("first"))]
    run(cells, tmp_path, cores=1)
    pause(tmp_path)
    run(cells, tmp_path, cores=1)  # nothing is left to do


@pytest.mark.slow
def test_what_rests_is_stopped_after_its_checkpoint(tmp_path: Path) -> None:
    process = begin(tmp_path)
    waiting(tmp_path)
    pause(tmp_path)
    until(lambda: paused_in_log(tmp_path))
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=180)
    assert process.returncode == 143, told
    assert len(list(tmp_path.glob("stages/*/checkpoint"))) == 1
    resume(tmp_path)
    code, told = finish(tmp_path)
    assert code == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


@pytest.mark.slow
def test_what_rests_is_no_orphan(tmp_path: Path) -> None:
    process = begin(tmp_path)
    pid = waiting(tmp_path)
    pause(tmp_path)
    until(lambda: paused_in_log(tmp_path))
    process.kill()
    process.communicate()
    until(lambda: not alive(pid))


def test_a_stage_on_another_machine_heeds_the_file(tmp_path: Path) -> None:
    folder = tmp_path / STAGE_FOLDER / "walks"
    folder.mkdir(parents=True)
    job = Job(toys.Toy(does="step", value=STEPS), {}, folder, tmp_path, "walks")
    task = Task("walks", toys.work, job, folder / DONE, 1, str(Path.cwd()), tmp_path / PAUSED)
    seen: list[bool] = []

    def hold() -> None:
        until(lambda: steps(tmp_path) > 3)
        (tmp_path / PAUSED).touch()
        until(lambda: rests(tmp_path))
        seen.append(steps(tmp_path) < STEPS)
        (tmp_path / PAUSED).unlink()

    with beside(hold):
        assert attend(task, signal.SIGTERM) is None
    assert seen == [True]
    assert steps(tmp_path) == STEPS


def test_a_stage_that_is_asked_to_end_says_why(tmp_path: Path) -> None:
    folder = tmp_path / STAGE_FOLDER / "waits"
    folder.mkdir(parents=True)
    job = Job(toys.Toy(does="wait"), {}, folder, tmp_path, "waits")
    task = Task("waits", toys.work, job, folder / DONE, 1, str(Path.cwd()), tmp_path / PAUSED)

    def ask() -> None:
        until(lambda: (folder / "waits").is_file())
        for _ in range(3):  # schedulers repeat it
            os.kill(os.getpid(), signal.SIGTERM)

    with beside(ask):
        error = attend(task, signal.SIGTERM)
    assert error == "the toy is stopped. Run the same command again to go on."
    assert (folder / "checkpoint").is_file()


def test_only_an_experiment_is_paused(tmp_path: Path) -> None:
    for change in (pause, resume):
        with pytest.raises(UserError, match="no experiment"):
            change(tmp_path)
    assert not list(tmp_path.iterdir())
