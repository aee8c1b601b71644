"""Runs the tests of mutants on a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.mutants.mutant import ROOT, Mutant, mutated

PARTS = ("src", "tests", "tools", "pyproject.toml")  # of the copy
TIMEOUT = 900  # seconds of a mutant's tests
TESTS_FAILED = 1  # pytest's exit code; higher ones are mistakes in the call


def run_tests(root: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> tuple[int, str]:
    """Run tests of the tree at `root` in a process of their own; return pytest's exit code and its output.

    Tests that take longer than `timeout` seconds have failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return TESTS_FAILED, f"stopped after {timeout:.0f} s"
    return done.returncode, done.stdout + done.stderr


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Give a copy of the tree that may be changed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for part in PARTS:
            source, target = root / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, target)
        yield Path(folder)


def killer(output: str) -> str:
    """Return the first test that failed, from pytest's output."""
    failed = [line.split()[1] for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].removeprefix("tests/") if failed else output.strip().splitlines()[-1]


def run(mutants: Sequence[Mutant], timeout: float = TIMEOUT) -> list[str]:
    """Run every mutant's tests on a copy with its fault; print each one's fate, and return the survivors' names.

    Raises:
        ValueError: a mutant is stale, names no test, or breaks the import; its tests fail without it.
    """
    survivors = []
    with copy_of(ROOT) as root:
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, output = run_tests(root, tests, timeout * len(mutants))
        if code:
            raise ValueError(f"the tests fail without any fault:\n{output[-4000:]}")
        for mutant in mutants:
            file, began = root / "src/sendvae" / mutant.file, time.monotonic()
            healthy, faulty = file.read_text(), mutated(mutant, root)
            file.write_text(faulty)
            code, output = run_tests(root, mutant.tests, timeout)
            file.write_text(healthy)
            if code > TESTS_FAILED:
                raise ValueError(f"{mutant.name} breaks more than its tests:\n{output[-4000:]}")
            if code == 0:
                survivors.append(mutant.name)
            fate = "SURVIVES" if code == 0 else f"dies in {killer(output)}"
            print(f"{mutant.name:30} {fate}  ({time.monotonic() - began:.0f} s)", flush=True)
    return survivors
