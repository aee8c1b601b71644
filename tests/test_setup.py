"""`make setup` says what is wrong and what to do, and leaves no half-made environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYTHON = """#!/bin/sh
case "$*" in
*print*) echo {version} ;;
*sys.exit*) exit {old} ;;
*"-m venv"*)
    mkdir -p .venv/bin
    printf '%s\\n' '#!/bin/sh' 'echo "$*" >> ../calls' 'case "$*" in *editable*) {install} ;; esac' > .venv/bin/python
    chmod +x .venv/bin/python ;;
esac
"""


def clone(folder: Path, version: str = "3.11.7", install: str = "exit 0") -> Path:
    """Return a copy of what setup reads, with a stand-in for Python whose pip does what `install` says."""
    place = folder / "clone"
    (place / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "setup.sh", place / "tools")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, place)
    old = int(tuple(map(int, version.split("."))) < (3, 11))
    python = folder / "python"
    python.write_text(PYTHON.format(version=version, old=old, install=install))
    python.chmod(0o755)
    return place


def setup(place: Path, python: str = "../python") -> subprocess.CompletedProcess[str]:
    command = ["sh", "tools/setup.sh", python]
    environment = {**os.environ, "TMPDIR": str(place)}
    return subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_whole_environment_is_marked(tmp_path: Path) -> None:
    place = clone(tmp_path)
    assert setup(place).returncode == 0
    assert (place / ".venv" / ".installed").exists()
    assert not (place / ".venv" / ".unfinished").exists()
    assert "--constraint constraints.txt --editable .[dev]" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize("version", ["3.6.15", "3.9.18", "3.10.13"])
def test_an_old_python_is_refused_by_its_version(tmp_path: Path, version: str) -> None:
    place = clone(tmp_path, version)
    result = setup(place)
    assert result.returncode == 1
    assert f"../python, which is Python {version}; Python 3.11 or newer is needed" in result.stderr
    assert "make setup PYTHON=" in result.stderr
    assert not (place / ".venv").exists()


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    place = clone(tmp_path)
    result = setup(place, "python9")
    assert result.returncode == 1
    assert "tried python9, which cannot be run" in result.stderr
    assert not (place / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("Failed to establish a new connection", "The package index was not reached"),
        ("ProxyError(Cannot connect to proxy)", "The package index was not reached"),
        ("the moon is in the way", "Its last lines are above"),
    ],
)
def test_what_pip_could_not_do_is_explained_and_removed(tmp_path: Path, words: str, said: str) -> None:
    place = clone(tmp_path, install=f'echo "{words}" >&2; exit 1')
    result = setup(place)
    assert result.returncode == 1
    assert words in result.stderr
    assert said in result.stderr
    assert "unfinished .venv was removed" in result.stderr
    assert not (place / ".venv").exists()


def test_what_a_killed_run_left_is_made_anew(tmp_path: Path) -> None:
    place = clone(tmp_path)
    (place / ".venv").mkdir()
    (place / ".venv" / ".unfinished").touch()
    (place / ".venv" / "half").touch()
    assert setup(place).returncode == 0
    assert not (place / ".venv" / "half").exists()


def test_an_environment_of_the_users_own_is_never_removed(tmp_path: Path) -> None:
    place = clone(tmp_path, install="exit 1")
    (place / ".venv").mkdir()
    (place / ".venv" / "mine").touch()
    (place / ".venv" / ".installed").touch()
    assert setup(place).returncode == 1
    assert (place / ".venv" / "mine").exists()
    assert not (place / ".venv" / ".installed").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_hands_its_python_over(tmp_path: Path) -> None:
    place = clone(tmp_path, "3.9.18")
    command = ["make", "setup", "PYTHON=../python"]
    result = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "../python, which is Python 3.9.18" in result.stderr
    (tmp_path / "python").write_text(PYTHON.format(version="3.12.1", old=0, install="exit 0"))
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=60)
    assert (place / ".venv" / ".installed").exists()
