"""Stages of an experiment as Ray tasks and as jobs of submitit: what they leave is what local processes leave."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import toy_stages as toys
from fake_slurm import install
from tests.experiments.waiting import alive, until
from toy_stages import RAN

from sendvae.errors import UserError
from sendvae.experiments.graph import DONE, PAUSED, STAGE_FOLDER
from sendvae.experiments.launchers import LAUNCHERS, load_launcher
from sendvae.experiments.launchers.submitit_jobs import Attendant
from sendvae.experiments.process import Child, Task
from sendvae.experiments.stages import Job

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
SUBMITIT = ["submitit", "executor=local", "minutes=15", "warning=60"]

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import toy_stages as toys
from sendvae.cli.stopping import graceful
from sendvae.experiments.runner import run
from sendvae.experiments.schedule import StagesFailed
from sendvae.experiments.cell import Cell, Stage
from sendvae.experiments.launchers import load_launcher
from sendvae.experiments.stages import STAGES

STAGES["source"], STAGES["toy"] = toys.SOURCE, toys.kind()
folder, jobs, cells, launcher, *options = sys.argv[2:]

def source(name, **options):
    return Stage("source", name, toys.Toy(**options))

quick, waits = source("quick", value=1), source("waits", does="wait")
bad, dead = source("bad", does="fail"), source("dead", does="kill")
top = Stage("toy", "top", toys.Toy(), {"a": quick, "b": waits})
after = Stage("toy", "after", toys.Toy(), {"a": bad, "b": quick})
lists = {
    "waits": {"quick": quick, "waits": waits, "top": top},
    "fails": {"bad": bad, "after": after, "dead": dead, "quick": quick},
}
with graceful():
    try:
        run([Cell("c", "c", 0, lists[cells])], Path(folder), cores=int(jobs) or None,
            launcher=load_launcher(launcher, options))
    except StagesFailed as failed:
        sys.exit(str(failed))
"""


def environment() -> dict[str, str]:
    """Where the processes of a launcher find this package, and the toys."""
    path = os.pathsep.join([str(SOURCE), str(HERE)])
    return {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray node of one CPU on this machine; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--head", "--block", "--num-cpus=1", "--object-store-memory=80000000", "--include-dashboard=false",
        "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={tmp_path_factory.mktemp('ray')}",
    ]  # fmt: skip
    command = [str(Path(sys.executable).with_name("ray")), "start", *options]
    log = tmp_path_factory.mktemp("node") / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment(), stdout=file, stderr=file, start_new_session=True
        )
    try:
        until(lambda: "Ray runtime started" in log.read_text())
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(params=["ray", "submitit"])
def launcher(request: pytest.FixtureRequest) -> list[str]:
    """A launcher's name and options."""
    if request.param == "ray":
        return ["ray", f"address={request.getfixturevalue('node')}"]
    return SUBMITIT


def begin(
    folder: Path, cells: str, launcher: Sequence[str], jobs: int = 1, **more: str
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(HERE), str(folder), str(jobs), cells, *launcher]
    return subprocess.Popen(
        command, env=environment() | more, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(folder: Path, cells: str, launcher: Sequence[str], jobs: int = 1) -> tuple[int, str]:
    process = begin(folder, cells, launcher, jobs)
    _, told = process.communicate(timeout=300)
    return process.returncode, told


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()  # its jobs hold the other end


def counts(folder: Path) -> dict[str, int]:
    """Return how often each stage ran, by label."""
    return {
        path.parent.name.split("-", 1)[1].rpartition("-")[0]: len(path.read_text().splitlines())
        for path in folder.glob(f"stages/*/{RAN}")
    }


def waiting(folder: Path) -> int:
    """Wait for the stage that waits, and return its process."""
    until(lambda: any(path.read_text() for path in folder.glob("stages/*/waits")))
    (path,) = folder.glob("stages/*/waits")
    return int(path.read_text())


def states(folder: Path) -> dict[str, object]:
    """Return what of each stage's end does not depend on who ran it."""
    found: dict[str, object] = {}
    for stage in (folder / "stages").glob("*-*"):
        done, failed = stage / "done.json", stage / "failed.json"
        found[stage.name] = json.loads(failed.read_text()) if failed.exists() else done.exists()
    return found


@pytest.mark.slow
def test_what_comes_out_is_what_local_processes_leave(launcher: list[str], tmp_path: Path) -> None:
    told = {}
    for name, options in (("local", ["local"]), ("other", launcher)):
        code, told[name] = finish(tmp_path / name, "fails", options)
        assert code == 1, told[name]
    assert states(tmp_path / "other") == states(tmp_path / "local")
    assert counts(tmp_path / "other") == {"quick": 1}
    for said in ("ValueError: the toy bad is broken", "dead: source: killed by SIGKILL", "after: toy"):
        assert said in told["other"]
    (log,) = (tmp_path / "other").glob("stages/source-bad-*/log.txt")
    assert "and a library in C" in log.read_text()
    (trace,) = (tmp_path / "other").glob(f"stages/source-quick-*/{RAN}")
    _, _, threads, pid, place, *_ = trace.read_text().split()
    assert (threads, place) == ("1", str(Path.cwd()))
    assert int(pid) != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopped_after_the_checkpoints_and_again(launcher: list[str], signum: int, tmp_path: Path) -> None:
    process = begin(tmp_path, "waits", launcher)
    pid = waiting(tmp_path)
    os.killpg(process.pid, signum)  # as Ctrl-C in a terminal does
    _, told = process.communicate(timeout=180)
    assert process.returncode == 128 + signum, told
    assert "Run the same command again" in told
    assert not alive(pid)
    assert len(list(tmp_path.glob("stages/*/checkpoint"))) == 1
    assert counts(tmp_path) == {"quick": 1}
    code, told = finish(tmp_path, "waits", launcher)
    assert code == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


@pytest.mark.slow
def test_a_runner_that_was_killed_goes_on(launcher: list[str], tmp_path: Path) -> None:
    process = begin(tmp_path, "waits", launcher)
    pid = waiting(tmp_path)
    kill(process)
    again = begin(tmp_path, "waits", launcher)
    if launcher[0] == "submitit":  # jobs live on; what is submitted again waits for them
        (log,) = tmp_path.glob("stages/source-waits-*/log.txt")
        until(lambda: "is being written by another process; waiting for it" in log.read_text())
        assert alive(pid)
        os.kill(pid, signal.SIGTERM)
    else:  # tasks end with who asked for them
        until(lambda: not alive(pid))
        (path,) = tmp_path.glob("stages/*/waits")
        (path.parent / "checkpoint").touch()  # so that the toy goes through
        kill(again)  # whose own attempt may wait already
        again = begin(tmp_path, "waits", launcher)
    _, told = again.communicate(timeout=300)
    assert again.returncode == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}


@pytest.mark.slow
def test_jobs_of_slurm(tmp_path: Path) -> None:
    fake = install(tmp_path / "slurm")
    fake["PATH"] += os.pathsep + os.environ["PATH"]
    folder, options = tmp_path / "run", ["submitit", "minutes=90", "partition=long", "gpus=2", "memory=1.5"]
    # A runner that was killed leaves its job to the next one.
    first = begin(folder, "waits", options, **fake)
    pid = waiting(folder)
    kill(first)
    again = begin(folder, "waits", options, **fake)
    assert again.stderr is not None
    assert any("begins    waits: source" in line for line in again.stderr)
    assert alive(pid)
    time.sleep(3)
    assert len(list((tmp_path / "slurm/jobs").glob("*.options"))) == 2
    again.send_signal(signal.SIGINT)
    _, told = again.communicate(timeout=180)
    assert again.returncode == 130, told
    assert not alive(pid)
    assert len(list(folder.glob("stages/*/checkpoint"))) == 1
    assert (tmp_path / "slurm/cancelled").read_text().splitlines() == [
        "--state=PENDING 101",
        "--signal=TERM 101",
    ] or (tmp_path / "slurm/cancelled").read_text().count("--signal=TERM") == 1
    done = begin(folder, "waits", options, **fake)
    _, told = done.communicate(timeout=300)
    assert done.returncode == 0, told
    assert counts(folder) == {"quick": 1, "waits": 1, "top": 1}
    asked = next((tmp_path / "slurm/jobs").glob("*.options")).read_text()
    for option in (
        "partition=long",
        "time=90",
        "gpus-per-node=2",
        "mem=1536MB",
        "cpus-per-task=1",
        "signal=USR2@120",
    ):
        assert option in asked


@pytest.mark.slow
def test_a_job_is_queued_again_once_its_checkpoint_is_written(tmp_path: Path) -> None:
    folder = tmp_path / STAGE_FOLDER / "waits"
    folder.mkdir(parents=True)
    job = Job(toys.Toy(does="wait"), {}, folder, tmp_path, "waits")
    task = Task("waits", toys.work, job, folder / DONE, 1, str(Path.cwd()), tmp_path / PAUSED)
    attendant = Attendant(task)
    attendant.child = Child(task)
    waiting(tmp_path)
    again = attendant.checkpoint()
    assert (folder / "checkpoint").is_file()
    assert again.function.task == task
    assert again.function.child is None


@pytest.mark.slow
def test_a_job_whose_time_is_over_is_queued_again(tmp_path: Path) -> None:
    code, told = finish(tmp_path, "waits", ["submitit", "executor=local", "minutes=1", "warning=25"])
    assert code == 0, told
    assert counts(tmp_path) == {"quick": 1, "waits": 1, "top": 1}
    (log,) = tmp_path.glob("stages/source-waits-*/log.txt")
    assert "the toy is stopped" in log.read_text()
    assert log.read_text().count("waits prints") == 2


@pytest.mark.slow
def test_more_than_a_node_has_is_refused_at_once(node: str, tmp_path: Path) -> None:
    code, told = finish(tmp_path, "waits", ["ray", f"address={node}", "gpus=1"])
    assert code != 0
    assert "no node of the Ray cluster has what a stage asks for" in told
    assert "of 1 the largest: 1 CPUs, 0 GPUs" in told
    assert not (tmp_path / "stages").exists()


def test_every_launcher_has_a_preset() -> None:
    for name, row in LAUNCHERS.items():
        assert row.config.model_fields["kind"].default == name
    load_launcher("submitit", ["executor=local"])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("slurm", [], "unknown launcher 'slurm'"),
        (
            "submitit",
            ["partitions=gpu"],
            "unknown configuration key 'partitions'(?s:.*)did you mean 'partition'",
        ),
        ("submitit", ["gpus=many"], "configuration key 'gpus' has a wrong value"),
        ("submitit", [], "needs Slurm(?s:.*)sbatch(?s:.*)executor=local"),
        ("ray", ["address=127.0.0.1:1"], "no Ray cluster answers(?s:.*)refused(?s:.*)ray start --head"),
        ("ray", ["address=here"], "'address' is no address(?s:.*)HOST:PORT"),
        ("mine.yaml", [], "configuration file not found"),
    ],
)
def test_what_cannot_work_is_refused_before_anything(
    name: str, options: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=text):
        load_launcher(name, options)


@pytest.mark.parametrize("name", ["ray", "submitit"])
def test_a_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == name else found(module))
    with pytest.raises(UserError, match=rf"pip install 'sendvae\[{name}\]'"):
        load_launcher(name)


def test_a_file_of_options(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: launchers/submitit\nexecutor: local\ncpus: 3\n")
    with load_launcher(str(tmp_path / "mine.yaml"))(tmp_path) as opened:
        assert opened.threads == 3
    (tmp_path / "other.yaml").write_text("kind: tokenizer\n")
    with pytest.raises(UserError, match="unknown launcher 'tokenizer'"):
        load_launcher(str(tmp_path / "other.yaml"))
