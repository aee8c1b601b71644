"""The record of what a result was made with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from sendvae.runs import describe_environment, environment


def test_the_record_can_be_written_as_json() -> None:
    record = describe_environment()
    assert json.loads(json.dumps(record)) == record
    assert record["torch"] == torch.__version__
    assert record["threads"] == torch.get_num_threads()


def test_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a repository of its own: clean, then with a change; then in a folder that git does not know."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    module = tmp_path / "environment.py"
    module.write_text("one")
    monkeypatch.setattr(environment, "__file__", str(module))
    assert environment.commit() == "unknown"
    git("init", "-q")
    assert environment.commit() == "unknown"  # a repository that does not hold the package
    git("add", "environment.py")
    git("commit", "-q", "-m", "one")
    head = git("rev-parse", "HEAD")[:12]
    assert environment.commit() == head
    module.write_text("two")
    assert environment.commit() == f"{head}-dirty"


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert environment.commit() == "unknown"
