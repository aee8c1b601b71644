"""`sendvae doctor`: facts, faults with the way out, and an exit code that scripts may trust."""

from __future__ import annotations

import importlib.util
import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from sendvae import __version__
from sendvae.cli import doctor
from sendvae.cli.main import app
from sendvae.extras import EXTRAS

runner = CliRunner()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def lines(*arguments: str) -> list[dict[str, str]]:
    return json.loads(runner.invoke(app, ["doctor", "--json", *arguments]).output)


def test_it_shows_what_is_there() -> None:
    found = {(line["group"], line["name"]): line["text"] for line in lines()}
    assert found["versions", "torch"] == metadata.version("torch")
    assert found["versions", "sendvae"].startswith(metadata.version("sendvae"))
    assert "cores" in found["devices", "cpu"]
    assert {name for group, name in found if group == "optional"} == {f"[{name}]" for name in EXTRAS}
    assert all(found["optional", f"[{name}]"].endswith("installed") for name in EXTRAS)
    assert "demo-send-vae" in found["weights here", "tokenizers"]
    assert "effnet-lite0" in found["weights here", "vision backbones"]


def test_people_read_it_and_it_ends_well() -> None:
    shown = runner.invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "missing:" not in shown.output
    assert [
        shown.output.index(group) for group in ("versions", "devices", "optional", "weights here", "disk")
    ] == sorted(
        shown.output.index(group) for group in ("versions", "devices", "optional", "weights here", "disk")
    )


def test_a_requirement_that_is_missing_or_too_old_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "requires", lambda _: ["torch>=900", "no-such-package>=2", "numpy>=1; extra == 'x'"]
    )
    shown = runner.invoke(app, ["doctor"])
    assert shown.exit_code == 1
    assert "missing: torch>=900 is needed: pip install 'torch>=900'" in shown.output
    assert "missing: no-such-package>=2 is not installed: pip install 'no-such-package>=2'" in shown.output
    assert "numpy" not in {line["name"] for line in lines()}


def test_an_extra_that_is_missing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else found(name))
    shown = runner.invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert "loop.trackers: without wandb: pip install 'sendvae[tracking]'" in shown.output


def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(2**40, 2**40 - 10**9, 10**9)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    shown = runner.invoke(app, ["doctor", "--cache", str(tmp_path / "not" / "there")])
    assert shown.exit_code == 1
    assert "missing: less than 2.1 GB free: sendvae cache prune, or another folder" in shown.output
    assert asked[1] == tmp_path


def test_what_cites_it_has_its_version() -> None:
    root = Path(__file__).parents[2]
    assert f"version: {__version__}\n" in (root / "CITATION.cff").read_text()
    assert f"## {__version__} (" in (root / "CHANGELOG.md").read_text()
