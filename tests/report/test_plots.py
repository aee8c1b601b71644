from __future__ import annotations

import itertools
import re

import pytest

from sendvae.report.plots import DRAWN, HOVERED, Series, lines, scatter, ticks


@pytest.mark.parametrize("values", [[0.1, 0.9], [3.0, 3.0], [-5.0, 12345.0], [1e-7, 2e-7], [0.0]])
def test_ticks_enclose_the_values_evenly(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] <= min(values) <= max(values) <= marks[-1]
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert max(steps) == pytest.approx(min(steps))
    assert 2 <= len(marks) <= 12


def test_charts_draw_every_point_once() -> None:
    chart = scatter([Series("a&b", "red", [1, 2], [3, 4]), Series("c", "blue", [0], [1])], "x", "y")
    assert chart.count("<circle") == 3
    assert "a&amp;b" in chart
    line = lines([Series("a", "red", [1, 2, 3], [1.0, float("nan"), 2.5])], "x", "y")
    assert len(re.findall(r'points="(\S+ \S+)"', line)) == 1
    assert "a: 1, 1" in line
    assert "a: 3, 2.5" in line
    assert line.count("<circle") == 2


def test_long_lines_show_the_values_of_some_points() -> None:
    count = 1000
    line = lines([Series("a", "red", range(count), [float(i) for i in range(count)])], "x", "y")
    assert line.count("<circle") == HOVERED
    assert "a: 0, 0" in line
    assert "a: 999, 999" in line
    assert len(re.search(r'points="([^"]+)"', line)[1].split()) == DRAWN < count  # type: ignore[index]


def test_a_single_point_is_seen() -> None:
    assert lines([Series("a", "red", [5], [2.0])], "x", "y").count("<circle") == 1
