"""`--profile`: a trace of a few steps and a table of what took longest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sendvae.runs.profiling import profiling, step_done


def work(steps: int) -> None:
    for _ in range(steps):
        torch.ones(8, 8) @ torch.ones(8, 8)
        step_done()


def products(trace: Path) -> int:
    events = json.loads(trace.read_text())["traceEvents"]
    return sum(event.get("name") == "aten::matmul" for event in events)


def test_so_many_steps_are_traced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After one to warm up; what comes later is not in the trace."""
    trace = tmp_path / "run" / "profile.json"
    with profiling(3, trace):
        work(8)
    assert products(trace) == 3
    said = capsys.readouterr().err
    assert "aten::matmul" in said
    assert f"profile of 3 steps: {trace}" in said


def test_a_run_that_ends_early_is_traced_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "profile.json"
    with profiling(5, trace):
        work(3)
    assert products(trace) == 2
    assert "profile of 2 steps" in capsys.readouterr().err
    with profiling(5, tmp_path / "none.json"):
        work(0)
    assert "nothing was profiled" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_nothing_is_traced_unless_asked(tmp_path: Path) -> None:
    with profiling(0, tmp_path / "profile.json"):
        work(2)
    work(1)
    assert list(tmp_path.iterdir()) == []
