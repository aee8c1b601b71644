"""A run folder holds one run, worked on by one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sendvae.errors import UserError
from sendvae.runs import RunFolder

CONFIG = {"seed": 0, "data": {"limit": None}, "loop": {"images": 5, "rates": [1e-6, 2.0]}}


def prepare(path: Path, config: dict[str, object], environment: dict[str, object] | None = None) -> None:
    with RunFolder(path).prepare(config, environment or {}):
        pass


def test_the_configuration_is_recorded_once(tmp_path: Path) -> None:
    folder = tmp_path / "deep/er"
    prepare(folder, CONFIG, {"python": "3"})
    prepare(folder, CONFIG, {"python": "4"})  # resumes
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG
    assert json.loads((folder / "environment.json").read_text()) == {"python": "3"}


def test_another_configuration_is_refused_with_every_difference(tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG)
    other = {"seed": 0, "loop": {"images": 6, "rates": [1e-6, 3.0]}, "ema": 0.9}
    with pytest.raises(UserError) as error:
        prepare(tmp_path, other)
    text = str(error.value)
    given, expected = text.index("given:"), text.index("expected:")
    for field in ("loop.images=6", "loop.rates=[1e-06, 3.0]", "ema=0.9"):
        assert given < text.index(field) < expected
    for field in ("loop.images=5", "loop.rates=[1e-06, 2.0]", "ema=None"):
        assert text.index(field) > expected
    assert "seed" not in text
    assert "limit" not in text  # absent and None are the same
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == CONFIG


def test_many_differences_are_counted(tmp_path: Path) -> None:
    prepare(tmp_path, {f"f{i}": 0 for i in range(11)})
    with pytest.raises(UserError, match="f7=1 and 3 more"):
        prepare(tmp_path, {f"f{i}": 1 for i in range(11)})


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from sendvae.runs import RunFolder\nwith RunFolder(Path({str(tmp_path)!r})).prepare({{}}, {{}}): pass"
    with (
        RunFolder(tmp_path).prepare({}, {}),
        pytest.raises(UserError, match="another process"),
        RunFolder(tmp_path).prepare({}, {}),
    ):
        pass
    with RunFolder(tmp_path).prepare({}, {}):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another process" in other.stderr
    prepare(tmp_path, {})  # released


def test_the_lock_is_released_on_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path).prepare({}, {}):
        raise RuntimeError
    prepare(tmp_path, {})


def test_further_processes_of_a_run_do_not_compete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunFolder(tmp_path).prepare(CONFIG, {}):
        monkeypatch.setattr("sendvae.runs.folder.is_main", lambda: False)
        with RunFolder(tmp_path).prepare({}, {}) as run:
            assert run.path == tmp_path


def test_layout(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    paths = (
        run.config_path,
        run.environment_path,
        run.journal_path,
        run.checkpoints,
        run.samples,
        run.report_path,
    )
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "config.yaml", "environment.json", "metrics.jsonl", "checkpoints", "samples", "report.html",
    ]  # fmt: skip
