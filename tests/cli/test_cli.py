"""The command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendvae import __version__
from sendvae.cli.main import app, main

runner = CliRunner()


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).output.strip() == __version__


@pytest.mark.parametrize(
    "command", [["demo"], ["train", "tokenizer"], ["train", "diffusion"], ["models"], ["report"]]
)
def test_every_command_explains_itself_with_an_example(command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert f"sendvae {' '.join(command)}" in result.output
    assert "Example" in result.output


def test_models_lists_licences() -> None:
    output = runner.invoke(app, ["models"], env={"COLUMNS": "200"}).output
    for word in ("demo-f8d16", "effnet-lite0", "mobilenet-v2", "Apache-2.0", "CC-BY 4.0"):
        assert word in output


def test_print_config_resolves_overrides() -> None:
    result = runner.invoke(app, ["train", "tokenizer", "demo/send-vae", "seed=5", "--print-config"])
    assert result.exit_code == 0
    assert "seed: 5" in result.output


def test_presets_lists_each_under_its_command() -> None:
    output = runner.invoke(app, ["presets"]).output
    assert output.index("sendvae train tokenizer ...") < output.index("demo/plain ")
    assert output.index("sendvae train diffusion ...") < output.index("demo/sit-tiny ")
    only = runner.invoke(app, ["presets", "joint"]).output
    assert "demo/joint " in only
    assert "demo/plain " not in only


@pytest.mark.parametrize(
    "arguments", [["data", "prepare", "", "x"], ["report", ""], ["sample", "x", "--to", ""]]
)
def test_an_empty_argument_is_refused_before_anything_is_done(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It comes from a variable of the shell that is not set, and a path that is empty is the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sendvae", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: an argument is empty\n  given:    sendvae ")
    assert not list(tmp_path.iterdir())


def test_user_errors_are_one_message_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["sendvae", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: nothing to report")
    assert "Traceback" not in message
