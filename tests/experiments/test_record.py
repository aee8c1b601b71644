"""What an experiment keeps is read again, also after a process was killed while it wrote."""

from __future__ import annotations

import json
from pathlib import Path

from sendvae.experiments.graph import TIMES
from sendvae.experiments.record import load_times


def attempt(kind: str, seconds: float) -> str:
    return json.dumps({"kind": kind, "stage": "a", "seconds": seconds, "ended": "finished"})


def test_the_times_of_all_attempts_are_added_without_a_line_that_was_cut_short(tmp_path: Path) -> None:
    lines = [attempt("tokenizer", 3.0), attempt("samples", 2.0)[:-9], attempt("tokenizer", 4.5)]
    (tmp_path / TIMES).write_text("\n".join(lines) + "\n" + attempt("samples", 7.0)[:12])
    assert load_times(tmp_path) == {"tokenizer": 7.5}


def test_an_experiment_without_attempts_has_no_times(tmp_path: Path) -> None:
    assert load_times(tmp_path) == {}
