"""Killed at random moments and given again, every command ends with the bytes of one that nobody disturbed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.kills import Unbroken
from tests.faults.stages import STAGES, given

KILLS = 8  # of each stage
SHORT = ("caching of latents",)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return given(tmp_path_factory.mktemp("given"))


@pytest.mark.parametrize("name", SHORT)
def test_killed_once_it_ends_bit_equal(name: str, made: Path, tmp_path: Path) -> None:
    struck = Unbroken(STAGES[name], made, tmp_path / "unbroken").strike(1, signal.SIGKILL, tmp_path, seed=0)
    assert struck.kills == 1
    assert struck.files


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STAGES)
def test_killed_at_random_moments_it_ends_bit_equal(name: str, made: Path, tmp_path: Path) -> None:
    unbroken = Unbroken(STAGES[name], made, tmp_path / "unbroken")
    struck = unbroken.strike(KILLS, signal.SIGKILL, tmp_path, seed=1)
    assert struck.kills == KILLS
    assert struck.going_on


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STAGES)
def test_asked_to_stop_at_random_moments_it_says_how_to_go_on(name: str, made: Path, tmp_path: Path) -> None:
    unbroken = Unbroken(STAGES[name], made, tmp_path / "unbroken")
    for signum in (signal.SIGTERM, signal.SIGINT):
        assert unbroken.strike(2, signum, tmp_path / signum.name, seed=2).kills == 2
