"""Busy processes compute while they should, and end."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from benchmarks import busy


def test_busy_processes_end_with_the_block_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    with busy.busy(2):
        assert [one.poll() for one in started] == [None, None]
    assert [one.poll() is None for one in started] == [False, False]
    with pytest.raises(KeyError):
        _fail_beside(1)
    assert [one.poll() is None for one in started] == [False, False, False]


def _fail_beside(count: int) -> None:
    with busy.busy(count):
        raise KeyError
