"""Progress: plain lines without a terminal, a bar on one."""

from __future__ import annotations

import io
import re
import sys

import pytest

from sendvae.runs import progress

MODULE = sys.modules[progress.__module__]  # by name, the package's attribute is the function


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(MODULE, "time", clock)
    return clock


def test_a_plain_line_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("send-vae", 4000, start=1000) as bar:
        for _ in range(6):
            clock.now += 4.0
            bar.advance(200, note="loss 0.123")
    lines = capsys.readouterr().err.splitlines()
    # Lines at 12 s and 24 s, 50 images a second; what was done before the start counts in no rate.
    assert lines == [
        "send-vae: 1,600/4,000 img, 50.0 img/s, ETA 48s, loss 0.123",
        "send-vae: 2,200/4,000 img, 50.0 img/s, ETA 36s, loss 0.123",
    ]


def test_the_last_line_says_how_long_it_took(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 4, unit="file", start=1) as bar:
        for i in range(3):
            clock.now += 1.0
            bar.advance(1, note=f"at {i}" if i < 2 else "")
    assert capsys.readouterr().err == "reading: 4/4 file, 1.0 file/s, took 3s, at 1\n"


def test_silent_where_nothing_is_left_and_beside_the_main_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("nothing left", 4, start=4) as bar:
        bar.advance(1)
    monkeypatch.setattr(MODULE, "is_main", lambda: False)
    with progress("another process", 4) as bar:
        bar.advance(4)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("training", 40, start=10) as bar:
        bar.advance(20, note="loss 0.5")
        bar.advance(10)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "training" in text
    assert "40/40" in text
    assert "img/s" in text
    assert text.rstrip().endswith("loss 0.5")
