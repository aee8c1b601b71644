"""The list of deliberate faults fits the code as it is; the tool tells those that die from those that survive."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tools.mutants import MUTANTS, find
from tools.mutants.mutant import mutated

ROOT = Path(__file__).parent.parent
NAMES = [mutant.name for mutant in MUTANTS]


def test_names_are_unique() -> None:
    assert len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_every_mutant_applies_and_names_tests_that_exist(name: str) -> None:
    (mutant,) = find([name])
    faulty = mutated(mutant)
    if mutant.file.endswith(".py"):
        compile(faulty, mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        file, _, function = test.partition("::")
        text = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function.partition('[')[0]}(" in text


def test_a_stale_mutant_is_told() -> None:
    stale = replace(find(["draws-position"])[0], old="text that no file has")
    with pytest.raises(ValueError, match=r"stale: its text occurs 0 times in randomness\.py"):
        mutated(stale)


FATES = """
from dataclasses import replace
from tools.mutants import find
from tools.mutants.runner import run

if __name__ == "__main__":
    (real,) = find(["draws-position"])
    harmless = replace(real, name="harmless", new="stream(self.seed, self.images_seen + 0, name,")
    print("survivors:", run([real, harmless], jobs=2))
    run([replace(real, name="broken", new="stream(self.seed, (, name,")])
"""


@pytest.mark.slow
def test_a_fault_dies_and_a_harmless_change_survives(tmp_path: Path) -> None:
    """In a process of its own, since other tests may have started a server of processes that preloads other modules."""
    (tmp_path / "fates.py").write_text(FATES)
    command = [sys.executable, str(tmp_path / "fates.py")]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "survivors: ['harmless']" in done.stdout, done.stderr
    assert done.returncode != 0
    assert "broken breaks more than its tests" in done.stderr
