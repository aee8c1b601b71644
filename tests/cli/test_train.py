"""`sendvae train`: what is shown without training."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.config import TokenizerConfig, load_config
from sendvae.errors import UserError
from sendvae.training.estimate import estimate

runner = CliRunner()


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", [[], ["tokenizer"], ["diffusion"], ["joint"]])
def test_every_example_of_the_help_is_a_configuration(command: list[str]) -> None:
    """Each resolves as it stands there; nothing is trained."""
    help_text = runner.invoke(app, ["train", *command, "--help"], env={"COLUMNS": "200"}).output
    examples = re.findall(r"sendvae (train (?:tokenizer|diffusion|joint) .*?)\s*$", help_text, re.MULTILINE)
    assert len(examples) >= 3
    for example in examples:
        result = runner.invoke(app, [*example.split(), "--print-config"])
        assert result.exit_code == 0, (example, result.output)
        assert f"kind: {example.split()[1]}" in result.output


@pytest.mark.parametrize(
    "arguments", [["tokenizer", "demo/send-vae"], ["diffusion", "demo/sit-tiny"], ["joint", "demo/joint"]]
)
def test_a_dry_run_shows_costs_and_makes_nothing(arguments: list[str], tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", *arguments, "--dry-run", "--images-per-second", "100"])
    assert result.exit_code == 0, result.output
    for words in (
        "parameters",
        "FLOP",
        "steps",
        "memory of each process",
        "upper estimate",
        "time at 100 images/s",
    ):
        assert words in result.output
    assert not list(tmp_path.iterdir())


def test_a_dry_run_shows_the_estimators_figures() -> None:
    command = ["train", "tokenizer", "demo/plain", "loop.images=16000", "loop.batch_size=160"]
    output = runner.invoke(app, [*command, "--dry-run", "--processes", "2", "--tflops", "0.001"]).output
    found = estimate(load_config(TokenizerConfig, "demo/plain", command[3:]))
    assert "2,768,355  trained" in output
    assert "the run: 16,000 images, 100 steps" in output
    assert f"an image: {found.flops_per_image / 1e9:.3g} GFLOP" in output
    assert "for the 80 images of a forward pass" in output
    assert f"a checkpoint: {found.checkpoint / 1e9:.2f} GB, every 800 images" in output
    hours = found.flops_total / 1e9 / 3600
    assert f"on each of 2: {hours / 2:,.1f} hours, {hours:,.1f} device hours" in output


def test_rates_without_a_dry_run_are_refused(tmp_path: Path) -> None:
    result = runner.invoke(app, ["train", "tokenizer", "demo/plain", "--tflops", "3"])
    assert isinstance(result.exception, UserError)
    assert "--dry-run" in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "preset"),
    [("tokenizer", "imagenet256-f16d32-vavae"), ("diffusion", "imagenet256-sit-xl1-800"), ("joint", "imagenet256-f8d4-repae")],
)  # fmt: skip
def test_a_printed_configuration_is_one(command: str, preset: str, tmp_path: Path) -> None:
    printed = runner.invoke(app, ["train", command, preset, "seed=7", "--print-config"])
    assert printed.exit_code == 0, printed.output
    (tmp_path / "printed.yaml").write_text(printed.output)
    again = runner.invoke(app, ["train", command, "printed.yaml", "--print-config"])
    assert again.output == printed.output
    assert "seed: 7" in printed.output


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (["demo/sit-tiny"], "runs/demo/sit-tiny-demo-f8d16"),
        (["demo/sit-tiny", "tokenizer=runs/a/send"], "runs/demo/sit-tiny-send"),
        (["demo/sit-tiny", "tokenizer=made/vae/tokenizer"], "runs/demo/sit-tiny-vae"),
        (["demo/sit-tiny", "tokenizer=hf-hub:REPA-E/e2e-vae"], "runs/demo/sit-tiny-e2e-vae"),
        (["mine.v2.yaml"], "runs/mine.v2-demo-f8d16"),
        (["demo/sit-tiny", "--run", "here"], "here"),
    ],
)
def test_a_sits_run_is_named_after_its_tokenizer(
    arguments: list[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("made/vae/tokenizer").mkdir(parents=True)
    Path("mine.v2.yaml").write_text("extends: demo/sit-tiny\n")
    started: list[Path] = []
    monkeypatch.setattr(
        "sendvae.training.train_diffusion", lambda _, run, *__, **___: started.append(run) or run
    )
    result = runner.invoke(app, ["train", "diffusion", *arguments])
    assert result.exit_code == 0, result.exception
    assert started == [Path(folder)]
