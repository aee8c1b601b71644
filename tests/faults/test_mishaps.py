"""Whatever befalls them, commands end with the bytes of one that nobody disturbed."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.commands import NotHere
from tests.faults.mishaps import MISHAPS, clock_library, try_mishap
from tests.faults.stages import STAGES, given
from tests.faults.unbroken import Unbroken

ALL = [(stage.name, one.name) for stage in STAGES.values() for one in MISHAPS.values() if one.meets(stage)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Unbroken]:
    """Run a stage undisturbed, once."""
    folder = tmp_path_factory.mktemp("unbroken")
    made = given(folder / "given")
    return functools.cache(lambda name: Unbroken(STAGES[name], made, folder / name.replace(" ", "-")))


def test_killed_a_training_ends_bit_equal(tmp_path: Path) -> None:
    """SIGKILL past its first checkpoint."""
    longer = STAGES["training of a tokenizer"]
    stage = replace(
        longer, arguments=lambda given: [*longer.arguments(given), "loop.images=24", "data.limit=16"]
    )
    whole = Unbroken(stage, tmp_path, tmp_path / "whole")
    places, draw = (tmp_path / str(number) for number in range(9)), random.Random(1)
    killed = next(place for place in places if whole.kill_past(1, place, draw))
    assert whole.stage.left(killed) != whole.left
    whole.finish(killed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("stage", "mishap"), ALL)
def test_met_at_random_moments_it_ends_bit_equal(
    stage: str, mishap: str, unbroken: Callable[[str], Unbroken], tmp_path: Path
) -> None:
    cases = MISHAPS[mishap].cases
    try:
        tried = try_mishap(MISHAPS[mishap], unbroken(stage), cases, tmp_path, seed=1)
    except NotHere as missing:
        pytest.skip(str(missing))
    assert not tried.failures, tried.failures[0]
    assert tried.cases >= cases


def test_a_clock_is_set_back() -> None:
    try:
        library = clock_library()
    except NotHere as missing:
        pytest.skip(str(missing))
    program = (
        "import datetime, time; print(time.time(), time.time_ns() / 1e9, datetime.datetime.now().timestamp())"
    )
    for at, behind in ((0.0, 3600), (time.monotonic() + 600, 0)):
        environment = os.environ | {"LD_PRELOAD": str(library), "CLOCK_SET_BACK_AT": str(at)}
        told = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        for seconds in map(float, told.stdout.split()):
            assert time.time() - seconds == pytest.approx(behind, abs=30)
