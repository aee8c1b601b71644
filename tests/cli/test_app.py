"""`sendvae app` as people call it, up to where it would serve."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.errors import UserError

runner = CliRunner()


def refused(*arguments: str) -> str:
    result = runner.invoke(app, ["app", *arguments])
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    return str(result.exception)


def test_help_has_examples() -> None:
    output = runner.invoke(app, ["app", "--help"], env={"COLUMNS": "200"}).output
    assert "sendvae app runs/sit-plain runs/sit-send-vae" in output
    assert "127.0.0.1" in output


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else found(name))
    assert "pip install 'sendvae[app]'" in refused()


def test_a_port_in_use_comes_before_models() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} cannot be opened" in refused("no-such-model", "--port", str(port))


def test_a_wrong_model_comes_before_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "demo-f8d16" in refused("demo-f8d61")
    assert list(tmp_path.iterdir()) == []
