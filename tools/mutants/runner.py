"""Runs the tests of mutants on copies of the tree, side by side."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue

from tools.mutants.mutant import ROOT, Mutant, mutated

PARTS = ("src", "tests", "tools", "pyproject.toml")  # of the copy
TIMEOUT = 900  # seconds of a mutant's tests
TESTS_FAILED = 1  # pytest's exit code; higher ones are mistakes in the call
# What most tests import is imported once, by the process that all processes of tests are forked from.
WARM = ("torch", "torchvision", "scipy.stats", "sklearn", "PIL.Image", "pydantic", "yaml")
FORKS = get_context("forkserver")


def run_tests(root: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> tuple[int, str]:
    """Run tests of the tree at `root` in a process of their own; return pytest's exit code and its output.

    Tests that take longer than `timeout` seconds have failed.
    """
    with tempfile.TemporaryDirectory(prefix="mutant-output-") as folder:
        output = Path(folder) / "output.txt"
        process = FORKS.Process(target=_pytest, args=(root, list(tests), output))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            return TESTS_FAILED, f"stopped after {timeout:.0f} s"
        return process.exitcode, output.read_text(errors="replace")


def _pytest(root: Path, tests: Sequence[str], output: Path) -> None:
    """Run pytest in `root` and end this process with its exit code. The package of `root` hides the installed one."""
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    os.environ |= {"PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(root / "src"), str(root)]
    import pytest

    named = all("::" in test for test in tests)  # slow tests run, too, if all tests are named one by one
    marks = ["-m", ""] if named else []
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *marks, *(f"tests/{test}" for test in tests)])
    sys.stdout.flush()
    os._exit(int(code))


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """Yield the folder of a copy of the tree, which may be changed and is removed after the block."""
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
    return failed[0].removeprefix("tests/") if failed else (output.strip().splitlines() or ["no output"])[-1]


def run(mutants: Sequence[Mutant], timeout: float = TIMEOUT, jobs: int = 1) -> list[str]:
    """Run every mutant's tests on a copy with its fault; print each one's fate, and return the survivors' names.

    Args:
        mutants: the mutants.
        timeout: the seconds that a mutant's tests may take.
        jobs: the number of mutants at a time.

    Raises:
        ValueError: a mutant is stale, names no test, or breaks the import; or tests fail without any fault.
    """
    FORKS.set_forkserver_preload(list(WARM))
    survivors = []
    with ExitStack() as stack:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(jobs):
            copies.put(stack.enter_context(copy_of(ROOT)))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        stack.callback(pool.shutdown, cancel_futures=True)  # after an error nothing more is begun
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        shares = [share for i in range(jobs) if (share := tests[i::jobs])]
        for code, output in pool.map(lambda share: _healthy(copies, share, timeout * len(mutants)), shares):
            if code:
                raise ValueError(f"the tests fail without any fault:\n{output[-4000:]}")
        began = {pool.submit(_faulty, copies, mutant, timeout): mutant for mutant in mutants}
        for count, future in enumerate(as_completed(began), 1):
            mutant, (code, output, seconds) = began[future], future.result()
            if code > TESTS_FAILED:
                raise ValueError(f"{mutant.name} breaks more than its tests:\n{output[-4000:]}")
            if code == 0:
                survivors.append(mutant.name)
            fate = "SURVIVES" if code == 0 else f"dies in {killer(output)}"
            print(f"{count:3}/{len(mutants)} {mutant.name:30} {fate}  ({seconds:.0f} s)", flush=True)
    return survivors


def _healthy(copies: SimpleQueue[Path], tests: Sequence[str], timeout: float) -> tuple[int, str]:
    root = copies.get()
    try:
        return run_tests(root, tests, timeout)
    finally:
        copies.put(root)


def _faulty(copies: SimpleQueue[Path], mutant: Mutant, timeout: float) -> tuple[int, str, float]:
    root, began = copies.get(), time.monotonic()
    file = root / "src/sendvae" / mutant.file
    healthy = file.read_text()
    try:
        file.write_text(mutated(mutant, root))
        code, output = run_tests(root, mutant.tests, timeout)
    finally:
        file.write_text(healthy)
        copies.put(root)
    return code, output, time.monotonic() - began
