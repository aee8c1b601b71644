"""Cells are run with toys for stages: once, shared, side by side, apart in failure, killed and again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_stages as toys
from tests.experiments.waiting import PATIENCE, alive, until
from toy_stages import RAN, Toy

from sendvae.errors import UserError
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.graph import Graph
from sendvae.experiments.record import load_cells
from sendvae.experiments.runner import run
from sendvae.experiments.schedule import StagesFailed
from sendvae.experiments.stages import STAGES
from sendvae.training import Stopped

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "source", toys.SOURCE)
    monkeypatch.setitem(STAGES, "toy", toys.kind())


def source(label: str, **options: Any) -> Stage:
    return Stage("source", label, Toy(**options))


def joined(label: str, a: Stage | str, b: Stage | str = "nothing", **options: Any) -> Stage:
    return Stage("toy", label, Toy(**options), {"a": a, "b": b})


def cell(name: str, **stages: Stage) -> Cell:
    return Cell(name, name, 0, stages)


def traces(folder: Path) -> dict[str, list[list[str]]]:
    """Return what each stage left, by label: a list for every time that it ran."""
    found: dict[str, list[list[str]]] = {}
    for path in folder.glob(f"stages/*/{RAN}"):
        label = path.parent.name.split("-", 1)[1].rpartition("-")[0]
        found.setdefault(label, []).extend(line.split() for line in path.read_text().splitlines())
    return found


def counts(folder: Path) -> dict[str, int]:
    return {label: len(lines) for label, lines in traces(folder).items()}


def test_a_stage_runs_once_for_all_cells_and_later_lists(tmp_path: Path) -> None:
    base = source("base", value=1)
    cells = [cell(name, base=base, top=joined(name, base, value=i)) for i, name in enumerate("xy")]
    run(cells, tmp_path, cores=2)
    assert counts(tmp_path) == {"base": 1, "x": 1, "y": 1}
    run(cells, tmp_path, cores=2)
    assert counts(tmp_path) == {"base": 1, "x": 1, "y": 1}
    again = source("another name", value=1)  # what it is called is no part of what it is
    run([cell("z", base=again, top=joined("z", again, value=7))], tmp_path, cores=1)
    assert counts(tmp_path) == {"base": 1, "x": 1, "y": 1, "z": 1}
    assert [found.name for found in load_cells(tmp_path)] == ["z"]
    assert not list((tmp_path / "stages").glob("*another*"))


def test_inputs_are_what_the_stages_before_left(tmp_path: Path) -> None:
    a, b = source("a", value=1), source("b", value=2)
    (tmp_path / "given").write_text("x")
    run(
        [cell("c", top=joined("both", b, a), file=joined("file", str(tmp_path / "given"), a))], tmp_path / "f"
    )
    (line,) = traces(tmp_path / "f")["both"]
    assert line[-1] == "a=out,b=out"
    job_of = json.loads((next((tmp_path / "f/stages").glob("toy-both-*")) / "done.json").read_text())
    assert job_of["threads"] == 1
    (line,) = traces(tmp_path / "f")["file"]
    assert line[-1] == "a=given,b=out"


def digest(folder: Path, stage: Stage) -> str:
    return Graph(folder).add(stage).digest


def test_every_part_of_the_digest_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, read = tmp_path / "given", tmp_path / "read"
    given.write_text("one")
    read.write_text("one")

    def stage() -> Stage:
        return joined("top", source("base", value=1), str(given), value=3, reads=str(read))

    first = digest(tmp_path, stage())
    assert digest(tmp_path, stage()) == first
    assert (
        digest(
            tmp_path, joined("another label", source("base", value=1), str(given), value=3, reads=str(read))
        )
        == first
    )
    base = source("base", value=1)
    changed = {
        "configuration": joined("top", base, str(given), value=4, reads=str(read)),
        "stage before": joined("top", source("base", value=2), str(given), value=3, reads=str(read)),
        "names of inputs": joined("top", str(given), base, value=3, reads=str(read)),
    }
    found = {name: digest(tmp_path, one) for name, one in changed.items()}
    for name, path in (("weights given", given), ("images", read)):
        path.write_text("two")
        found[name] = digest(tmp_path, stage())
        path.write_text("one")
    monkeypatch.setitem(STAGES, "toy", toys.kind(version=1))
    found["version"] = digest(tmp_path, stage())
    monkeypatch.setitem(STAGES, "other", toys.kind())
    one = stage()
    found["kind"] = digest(tmp_path, Stage("other", one.label, one.config, one.inputs))
    assert len({first, *found.values()}) == 1 + len(found)


def test_failures_stay_apart_and_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad, dead, good = source("bad", does="fail"), source("dead", does="kill"), source("good", value=5)
    cells = [
        cell(
            "one", base=bad, top=joined("needs bad", bad), last=joined("needs it", joined("needs bad", bad))
        ),
        cell("two", base=dead, side=joined("good too", good)),
    ]
    with pytest.raises(StagesFailed) as failed:
        run(cells, tmp_path, cores=2)
    told = str(failed.value)
    assert "2 stages failed" in told
    assert "bad: source: ValueError: the toy bad is broken" in told
    assert "dead: source: killed by SIGKILL" in told
    assert "needs bad: toy, needs it: toy" in told
    assert counts(tmp_path) == {"good": 1, "good-too": 1}
    (log,) = tmp_path.glob("stages/source-bad-*/log.txt")
    assert str(log) in told
    text = log.read_text()
    assert "bad prints" in text
    assert "and a library in C" in text
    assert "Traceback" in text
    assert "is broken" not in capfd.readouterr().err.replace(told, "")  # the log has it, not the terminal
    one, two = load_cells(tmp_path)
    assert one.states == {"base": "failed", "top": "missing", "last": "missing"}
    assert one.errors == {"base": "ValueError: the toy bad is broken"}
    assert two.states == {"base": "failed", "side": "finished"}
    times = [json.loads(line) for line in (tmp_path / "times.jsonl").read_text().splitlines()]
    assert sorted(one["ended"] for one in times) == ["failed", "failed", "finished", "finished"]


def test_a_failed_stage_is_tried_again_and_its_log_kept(tmp_path: Path) -> None:
    broken = [cell("c", stage=source("top", does="fail"))]
    for _ in range(2):
        with pytest.raises(StagesFailed):
            run(broken, tmp_path, cores=1)
    (log,) = tmp_path.glob("stages/*/log.txt")
    assert log.read_text().count("Traceback") == 2


def test_a_failed_stage_is_tried_again_though_the_clock_was_set_back(tmp_path: Path) -> None:
    broken = [cell("c", stage=source("top", does="fail"))]
    for _ in range(2):
        with pytest.raises(StagesFailed):
            run(broken, tmp_path, cores=1)
        (failed,) = tmp_path.glob("stages/*/failed.json")
        os.utime(failed, (time.time() + 3600, time.time() + 3600))
    (log,) = tmp_path.glob("stages/*/log.txt")
    assert log.read_text().count("Traceback") == 2


def test_ready_stages_run_side_by_side_and_a_single_one_has_all_threads(tmp_path: Path) -> None:
    a, b = source("a", seconds=0.8), source("b", value=1, seconds=0.8)
    last = joined("last", a, b)
    run([cell("c", last=last)], tmp_path, cores=2)
    found = traces(tmp_path)
    (a_began, a_ended, a_threads, a_pid, *_), (b_began, b_ended, b_threads, b_pid, *_) = (
        found["a"][0],
        found["b"][0],
    )
    assert float(a_began) < float(b_ended)
    assert float(b_began) < float(a_ended)
    assert (a_threads, b_threads) == ("1", "1")
    assert len({a_pid, b_pid, str(os.getpid())}) == 3
    began, _, threads, *_ = found["last"][0]
    assert float(began) > max(float(a_ended), float(b_ended))
    assert threads == "2"


def test_one_core_means_one_after_the_other_in_the_order_of_the_cells(tmp_path: Path) -> None:
    stages = [source(name, value=i, seconds=0.05) for i, name in enumerate("cab")]
    run([cell(stage.label, stage=stage) for stage in stages], tmp_path, cores=1)
    found = traces(tmp_path)
    began = {name: float(found[name][0][0]) for name in "cab"}
    ended = {name: float(found[name][0][1]) for name in "cab"}
    assert ended["c"] <= began["a"]
    assert ended["a"] <= began["b"]


@pytest.mark.parametrize(("cores", "together"), [(None, False), (2, True)])
def test_stages_share_a_gpu_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int | None, together: bool
) -> None:
    monkeypatch.setattr("sendvae.experiments.schedule.default_device", lambda: torch.device("cuda"))
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    stages = [source(name, value=i, seconds=1.0) for i, name in enumerate("ab")]
    run([cell(stage.label, stage=stage) for stage in stages], tmp_path, cores=cores)
    found = traces(tmp_path)
    began, ended = ({name: float(found[name][0][place]) for name in "ab"} for place in (0, 1))
    assert (began["b"] < ended["a"]) is together
    assert {found[name][0][2] for name in "ab"} == {"1" if together else "2"}


def test_who_watches_is_called_before_the_first_stage_after_each_and_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [cell("a", one=source("first"), two=joined("second", source("first"), does="sleep", seconds=4))]
    seen: list[list[str]] = []

    def look() -> None:
        (known,) = load_cells(tmp_path)
        seen.append([role for role, state in known.states.items() if state == "finished"])

    monkeypatch.setattr("sendvae.experiments.schedule.WATCH_SECONDS", 1.0)
    run(cells, tmp_path, cores=1, watch=look)
    assert [seen[0], seen[-1]] == [[], ["one", "two"]]
    assert seen.count(["one"]) >= 2  # once when it ended, and while the other slept


def test_a_slow_look_is_taken_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def look() -> None:
        looks.append(time.monotonic())
        time.sleep(0.4)

    monkeypatch.setattr("sendvae.experiments.schedule.WATCH_SECONDS", 0.1)
    run([cell("a", one=source("first", seconds=4))], tmp_path, cores=1, watch=look)
    assert len(looks) == 3  # before, at the end, and once in between: each such look needs 8 s of rest


def test_stages_that_end_soon_share_a_slow_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stage begins during a look, so looks keep to their share of the time however many stages end."""
    looks: list[int] = []

    def look() -> None:
        (known,) = load_cells(tmp_path)
        looks.append(sum(state == "finished" for state in known.states.values()))
        time.sleep(0.2)

    monkeypatch.setattr("sendvae.experiments.schedule.WATCH_SHARE", 0.001)
    run(
        [cell("a", **{f"s{i}": source(f"stage {i}", value=i) for i in range(4)})],
        tmp_path,
        cores=1,
        watch=look,
    )
    assert looks == [0, 1, 4]


def test_a_run_that_is_stopped_does_not_look_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages are told to stop at once, however long a look takes."""
    looks: list[float] = []

    def look() -> None:
        looks.append(time.monotonic())
        time.sleep(0.2)

    run([cell("first", one=source("first", value=9))], tmp_path)  # starts the server of processes
    monkeypatch.setattr("sendvae.experiments.schedule.WATCH_SHARE", 0.001)
    stages = {f"s{i}": source(f"stage {i}", value=i) for i in range(2)}
    with pytest.raises(Stopped):
        run(
            [cell("a", **stages, slow=source("slow", does="sleep", seconds=60))],
            tmp_path,
            cores=1,
            watch=look,
            seconds=6,
        )
    assert load_cells(tmp_path)[0].states["s1"] == "finished"
    assert len(looks) == 2  # before, and after the first stage


def test_a_look_that_fails_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(0)
        if len(looks) > 1:
            raise ValueError("no picture")

    run([cell("a", one=source("first"))], tmp_path, cores=1, watch=look)
    assert load_cells(tmp_path)[0].states == {"one": "finished"}
    assert "cannot be shown now: ValueError: no picture" in capsys.readouterr().err


def test_what_cannot_run_is_refused_before_anything_runs(tmp_path: Path) -> None:
    good = source("good")
    with pytest.raises(UserError, match="unknown kind of stage 'toi'"):
        run([cell("c", a=good, b=Stage("toi", "x", Toy()))], tmp_path)
    with pytest.raises(UserError, match=r"needs other inputs(?s:.*)a, b"):
        run([cell("c", a=good, b=Stage("toy", "x", Toy(), {"a": good}))], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="nothing can be written"):
        run([cell("c", a=good)], tmp_path / "file")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("kind: tokenizer")
    with pytest.raises(UserError, match="holds a run of another command"):
        run([cell("c", a=good)], tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]
    assert counts(tmp_path) == {}


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import toy_stages as toys
from sendvae.experiments import process
from sendvae.cli.stopping import graceful
from sendvae.experiments.runner import run
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.stages import STAGES
from sendvae.training import Stopped

process.PRELOADED[:] = ["toy_stages"]  # toys compute nothing
STAGES["source"], STAGES["toy"] = toys.SOURCE, toys.kind()
quick, waits = Stage("source", "quick", toys.Toy()), Stage("source", "waits", toys.Toy(does="wait"))
top = Stage("toy", "top", toys.Toy(), {"a": quick, "b": waits})
with graceful():
    run([Cell("c", "c", 0, {"quick": quick, "waits": waits, "top": top})], Path(sys.argv[1]), cores=2)
"""


def command(folder: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(folder), str(HERE)]


def begin(folder: Path) -> subprocess.Popen[str]:
    """Start the program, and return when the stage that waits does."""
    process = subprocess.Popen(
        command(folder),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: bool(list(folder.glob("stages/*/waits"))) and counts(folder).get("quick") == 1)
    return process


def waiting(folder: Path) -> int:
    (path,) = folder.glob("stages/*/waits")
    return int(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "whole_group"),
    [
        (signal.SIGTERM, True),
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
    ],
)
def test_stopped_and_again(signum: int, whole_group: bool, tmp_path: Path) -> None:
    process = begin(tmp_path)
    pid = waiting(tmp_path)
    os.killpg(process.pid, signum) if whole_group else process.send_signal(signum)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signum, told
    assert "Run the same command again" in told
    assert "Traceback" not in told
    assert not alive(pid)
    assert len(list(tmp_path.glob("stages/*/checkpoint"))) == 1  # it was asked once, and waited for
    assert counts(tmp_path) == {"quick": 1}
    code, told = finish(tmp_path)
    assert code == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


def finish(folder: Path) -> tuple[int, str]:
    process = subprocess.run(
        command(folder),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    return process.returncode, process.stderr


def test_killed_leaves_no_orphan_and_goes_on(tmp_path: Path) -> None:
    process = begin(tmp_path)
    pid = waiting(tmp_path)
    process.kill()
    process.communicate()
    until(lambda: not alive(pid))
    (path,) = tmp_path.glob("stages/*/waits")
    (path.parent / "checkpoint").touch()  # so that the toy goes through
    code, told = finish(tmp_path)
    assert code == 0, told
    assert "1 of 3 stages are there" in told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


@pytest.mark.slow
def test_two_runs_on_the_folder_share_the_work(tmp_path: Path) -> None:
    process = begin(tmp_path)
    second = subprocess.Popen(
        command(tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert second.stderr is not None
    assert any("being done by another process" in line for line in second.stderr)
    assert waiting(tmp_path)  # still the first one's
    process.terminate()  # it writes its checkpoint, and the second one goes on from there
    process.communicate(timeout=PATIENCE)
    _, told = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


def test_stages_of_a_lists_side_by_side_in_two_threads_run_once(tmp_path: Path) -> None:
    base = source("base", does="sleep", seconds=1.0)
    cells = [cell(f"c{i}", base=base, top=joined(f"top{i}", base, value=i)) for i in range(4)]
    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run, cells, tmp_path, cores=1) for _ in range(2)]:
            one.result()
    assert counts(tmp_path) == {"base": 1, **{f"top{i}": 1 for i in range(4)}}


def test_what_another_run_failed_at_is_not_tried_again(tmp_path: Path) -> None:
    cells = [cell("c", bad=source("bad", does="fail", seconds=0.5))]
    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run, cells, tmp_path, cores=1) for _ in range(2)]:
            with pytest.raises(StagesFailed, match="the toy bad is broken"):
                one.result()
    (log,) = tmp_path.glob("stages/source-bad-*/log.txt")
    assert log.read_text().count("bad prints") == 1


def test_a_budget_stops_what_runs_and_keeps_what_is_done(tmp_path: Path) -> None:
    quick, slow = source("quick", value=1), source("slow", does="sleep", seconds=60)
    began = time.monotonic()
    with pytest.raises(Stopped, match="stopped: 1 of 2 stages are done") as stopped:
        run([cell("c", quick=quick, slow=slow)], tmp_path, cores=2, seconds=4)
    assert time.monotonic() - began < 30
    assert stopped.value.signum not in (
        signal.SIGTERM,
        signal.SIGINT,
    )  # the end that was asked for is no failure
    assert counts(tmp_path) == {"quick": 1}
