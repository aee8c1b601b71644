"""metrics.jsonl survives kills and resumes."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sendvae.runs import Journal, images_in_journal, read_journal
from sendvae.runs.journal import TAIL


def filled(path: Path, count: int) -> Journal:
    journal = Journal(path)
    for step in range(1, count + 1):
        journal.append(images=step * 10, step=step, loss=1.0 / step)
    return journal


def test_lines_beyond_the_checkpoint_go(tmp_path: Path) -> None:
    journal = filled(tmp_path / "metrics.jsonl", 4)
    journal.truncate_after(30)
    journal.append(images=40, step=4, loss=0.5, extra=2.0)
    assert read_journal(journal.path) == {
        "images": [10, 20, 30, 40],
        "step": [1, 2, 3, 4],
        "loss": [1.0, 1 / 2, 1 / 3, 0.5],
        "extra": [None, None, None, 2.0],
    }
    journal.truncate_after(0)
    assert read_journal(journal.path) == {}


def test_truncating_before_the_first_line_was_written(tmp_path: Path) -> None:
    Journal(tmp_path / "metrics.jsonl").truncate_after(0)
    assert list(tmp_path.iterdir()) == []


@given(cut=st.integers(0, 2))
def test_a_torn_last_line_is_dropped(tmp_path_factory: object, cut: int) -> None:
    """Wherever a kill cut the last line off, the lines before stand and the next one begins afresh."""
    path = tmp_path_factory.mktemp("journal") / "metrics.jsonl"  # type: ignore[attr-defined]
    journal = filled(path, 3)
    text = path.read_text()
    last = text.splitlines()[-1]
    path.write_text(text[: -len(last) - 1] + last[: (cut + 1) * len(last) // 4])
    assert read_journal(path)["images"] == [10, 20]
    journal.truncate_after(30)
    journal.append(images=30, step=3, loss=1 / 3)
    assert path.read_text() == text
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_images_at_the_end_of_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert images_in_journal(path) == 0
    path.touch()
    assert images_in_journal(path) == 0
    for i in range(1, 400):
        Journal(path).append(images=32 * i, step=i, loss=0.1234567, rate=float(i))
    assert path.stat().st_size > 2 * TAIL
    assert images_in_journal(path) == 32 * 399
    with path.open("a") as file:
        file.write('{"images": 99999, "st')  # killed while writing
    assert images_in_journal(path) == 32 * 399
