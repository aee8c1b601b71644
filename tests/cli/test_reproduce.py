"""`sendvae reproduce` as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.experiments.kept_results import DISTANCE, F1, keep_result
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.errors import UserError
from sendvae.experiments.graph import Graph
from sendvae.experiments.paper import EXPERIMENTS
from sendvae.experiments.record import save_record
from sendvae.experiments.scale import load_scale

runner = CliRunner()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDVAE_WEIGHTS", str(tmp_path / "weights"))


def told(*arguments: str) -> str:
    result = runner.invoke(app, ["reproduce", *arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def refused(*arguments: str) -> str:
    result = runner.invoke(app, ["reproduce", *arguments])
    assert isinstance(result.exception, UserError), result.output
    return str(result.exception)


def commit(folder: Path, *names: str) -> None:
    """Results of every cell: Send-VAE's samples are 5 better than the others of their seed."""
    scale, graph = load_scale("tiny"), Graph(folder)
    for name in names:
        for place, cell in scale.cells(EXPERIMENTS[name]).items():
            lead = 5.0 + 0.1 * place.seed if place.row.variant == "send-vae" else 0.0
            digests = {role: graph.add(stage).digest for role, stage in cell.stages.items()}
            keep_result(folder / "tiny", cell, {DISTANCE: 300.0 + 40 * place.seed - lead, F1: 0.5}, digests)


def test_the_list() -> None:
    text = told("--list")
    assert [line.split()[0] for line in text.splitlines()] == list(EXPERIMENTS)


def test_committed_results_are_drawn_without_computing(tmp_path: Path) -> None:
    commit(tmp_path / "results", "table3")
    began = time.monotonic()
    text = told("table3", "--results", "results")
    assert time.monotonic() - began < 20
    assert "10 of 10 cells have a result" in text
    assert re.search(
        r"holds +Noise injection lowers.*-5\.2 \[-5\.396, -5\.004\], 5 pairs \(the paper: 7\.57 against 8\.42\)",
        text,
    )
    assert not (tmp_path / "runs/reproduce/tiny/stages").exists()
    page = (tmp_path / "runs/reproduce/tiny/reproduction.html").read_text()
    assert "FD-MobileNetV2 ↓" in page
    assert "SiT-B/1 with REPA, 80 epochs" in page


def test_the_document(tmp_path: Path) -> None:
    commit(tmp_path / "results", "table3")
    told("all", "--results", "results", "--markdown", "page.md")
    text = (tmp_path / "page.md").read_text()
    for name in EXPERIMENTS:
        heading = re.sub(r"^(table|figure)(?=\d)", r"\1 ", name).capitalize()
        assert f"## {heading}: {EXPERIMENTS[name].title}" in text
    assert "| Noise injection lowers the distance of samples | **holds** |" in text
    assert "| with (send-vae) | 374.8 ± " in text
    assert "| with | 7.57 | 5.37 | 115.3 | 0.74 | 0.60 |" in text
    assert "`sendvae reproduce table2 --scale tiny`" in text
    assert not (tmp_path / "runs").exists()


def test_the_plan(tmp_path: Path) -> None:
    text = told("table3", "--dry-run", "--tflops", "0.1", "--results", "none")
    assert "10 stages of kind tokenizer: 2.22 PFLOP, 6.2 hours" in text
    assert re.search(r"in all: .* hours at 0.1 TFLOP/s, sustained; probes", text)
    assert re.search(r"disk: \d+\.\d GB", text)
    assert "missing" not in text
    commit(tmp_path / "results", "table3")
    (tmp_path / "results/tiny/send-vae-3.json").unlink()
    text = told("table3", "--dry-run", "--results", "results")
    assert "cells: 10, of which 9 have a result" in text
    assert "1 stages of kind tokenizer: " in text
    assert "send-vae: seeds 3\n" in text
    assert not (tmp_path / "runs").exists()


def test_the_plan_at_full_scale_says_what_is_missing(tmp_path: Path) -> None:
    text = told("table3", "--scale", "paper", "--dry-run")
    assert "2 stages of kind diffusion: 40.1 EFLOP" in text
    assert "send-vae: seeds 0 (missing data)" in text
    assert "sendvae data prepare IMAGENET data/imagenet256" in text
    assert not list(tmp_path.iterdir())


def test_without_its_data_a_scale_is_refused(tmp_path: Path) -> None:
    assert "none of these cells can be run" in refused("table3", "--scale", "paper")
    assert not (tmp_path / "runs/reproduce/paper/stages").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tabel3"], "unknown experiment 'tabel3'"),
        (["table3", "--scale", "huge"], "unknown scale 'huge'"),
        ([], "no experiment is named"),
        (["table3", "--budget", "soon"], "--budget is no duration"),
        (["table3", "--budget", "0h"], "--budget is no duration"),
        (["table3", "--cell", "send-vae-9"], "unknown cell of these experiments 'send-vae-9'"),
        (["table3", "--results", "file"], "--results is no folder"),
        (["table3", "--results", "there"], "--results is no folder\n  given:    there/tiny"),
        (["table3", "--launcher", "pbs"], "unknown launcher 'pbs'"),
        (["table3", "--launcher-option", "gpus=1"], "unknown configuration key 'gpus'"),
        (
            ["table3", "--launcher", "ray", "--launcher-option", "address=127.0.0.1:1"],
            "no Ray cluster answers",
        ),
        (["--pause"], "no experiment"),
        (["--resume", "--scale", "huge"], "unknown scale 'huge'"),
        (["--pause", "--resume"], "exclude each other"),
    ],
)
def test_bad_input(arguments: list[str], text: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/tiny").touch()
    assert text in refused(*arguments)


def test_pausing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    save_record(tmp_path / "mine", [], [], None)
    text = told("--pause", "--run", "mine")
    assert "paused: mine" in text
    assert "sendvae reproduce --resume --run mine" in text
    assert (tmp_path / "mine/paused").is_file()
    text = told("table3", "--dry-run", "--run", "mine")
    assert f"paused: stages in {tmp_path / 'mine'} rest" in text
    assert "goes on: mine" in told("--resume", "--run", "mine")
    assert "was not paused: mine" in told("--resume", "--run", "mine")
    assert "paused" not in told("table3", "--dry-run", "--run", "mine")


def test_results_of_another_declaration_are_named_and_not_drawn(tmp_path: Path) -> None:
    commit(tmp_path / "results", "table3")
    path = tmp_path / "results/tiny/send-vae-0.json"
    path.write_text(path.read_text().replace('"steps": 50', '"steps": 30'))
    told("table3", "--results", "results", "--markdown", "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "9 of 10 cells have a result" in text
    assert "Not used, declared otherwise: send-vae-0 (samples.config.sampling.steps: 30 | 50)" in text
    plan = told("table3", "--results", "results", "--dry-run")
    assert "not used, declared otherwise: send-vae-0: samples.config.sampling.steps: 30 | 50" in plan
    assert "send-vae: seeds 0\n" in plan


MICRO = """
extends: scales/tiny
title: micro
seeds: 2
overrides: [data.limit=40, loop.precision=fp32]
variants:
  no-noise: {seeds: 2, overrides: [loop.images=16, loop.batch_size=8]}
  send-vae: {seeds: 2, overrides: [loop.images=16, loop.batch_size=8]}
generators:
  b: {overrides: [loop.images=32, loop.batch_size=4, loop.checkpoint_every=4, loop.milestone_every=4]}
samplings:
  plain: {steps: 2, images: 24, batch_size: 24}
evaluation:
  reconstruction: {limit: 20, metrics: [psnr]}
  latents: {limit: 40, scores: [gap]}
  generation: {reference_limit: 30, metrics: [fd]}
"""


@pytest.mark.slow
def test_the_example_of_a_cluster_gives_the_numbers_of_local_processes(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/cluster.md").read_text()
    (example,) = re.findall(r"```yaml\n(# cluster\.yaml\n.*?)```", page, re.S)
    (tmp_path / "cluster.yaml").write_text(example)
    (tmp_path / "micro.yaml").write_text(MICRO)
    code = "import sys; sys.argv[0] = 'sendvae'; from sendvae.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "reproduce",
        "table3",
        "--scale",
        "micro.yaml",
        "--cell",
        "send-vae-1",
    ]
    # Threads are part of how sums are rounded, and this machine has no Slurm.
    options = [
        "--launcher",
        "cluster.yaml",
        "--launcher-option",
        "executor=local",
        "--launcher-option",
        "cpus=1",
    ]
    numbers = []
    for more in (["--run", "here"], ["--run", "there", *options]):
        done = subprocess.run([*command, "--jobs", "1", *more], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        kept = json.loads((tmp_path / more[1] / "results/send-vae-1.json").read_text())
        numbers.append(kept["numbers"])
    assert numbers[0] == numbers[1]
    assert len(list((tmp_path / "there/jobs").glob("*_submitted.pkl"))) == 4


@pytest.mark.slow
def test_a_cell_is_computed_again_to_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "micro.yaml").write_text(MICRO)
    (tmp_path / "docs/results").mkdir(parents=True)
    code = "import sys; sys.argv[0] = 'sendvae'; from sendvae.cli.main import main; main()"
    command = [sys.executable, "-c", code, "reproduce", "table3", "--scale", "micro.yaml", "--jobs", "1"]

    def run(*more: str) -> str:
        done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = run("--publish", "--cell", "send-vae-1")
    assert "1 of 4 cells have a result" in text
    there = sorted(path.name for path in (tmp_path / "docs/results/micro").iterdir())
    assert there == ["quantities.json", "send-vae-1.json"]
    text = run("--fresh", "--cell", "send-vae-1", "--run", "again")
    found = re.search(
        r"send-vae-1: of its numbers (\S+) differs most from the committed one: (\S+) \| (\S+)", text
    )
    assert found is not None
    assert float(found[2]) == pytest.approx(float(found[3]), rel=1e-4)
