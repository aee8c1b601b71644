from __future__ import annotations

import itertools
import re

import pytest

from sendvae.report.plots import COLOURS, DRAWN, HOVERED, Series, key, legend, lines, mark, scatter, ticks


@pytest.mark.parametrize("values", [[0.1, 0.9], [3.0, 3.0], [-5.0, 12345.0], [1e-7, 2e-7], [0.0]])
def test_ticks_enclose_the_values_evenly(values: list[float]) -> None:
    marks = ticks(values)
    assert marks[0] <= min(values) <= max(values) <= marks[-1]
    steps = [b - a for a, b in itertools.pairwise(marks)]
    assert max(steps) == pytest.approx(min(steps))
    assert 2 <= len(marks) <= 12


def test_charts_draw_every_point_once() -> None:
    chart = scatter([Series("a&b", COLOURS[0], [1, 2], [3, 4]), Series("c", COLOURS[1], [0], [1])], "x", "y")
    assert chart.count("<path") == 3
    assert "a&amp;b" in chart
    line = lines([Series("a", COLOURS[0], [1, 2, 3], [1.0, float("nan"), 2.5])], "x", "y")
    assert len(re.findall(r'points="(\S+ \S+)"', line)) == 1
    assert "a: 1, 1" in line
    assert "a: 3, 2.5" in line
    assert line.count("<path") == 2


def test_long_lines_show_the_values_of_some_points() -> None:
    count = 1000
    line = lines([Series("a", COLOURS[0], range(count), [float(i) for i in range(count)])], "x", "y")
    assert line.count("<path") == HOVERED
    assert "a: 0, 0" in line
    assert "a: 999, 999" in line
    assert len(re.search(r'points="([^"]+)"', line)[1].split()) == DRAWN < count  # type: ignore[index]


def test_a_single_point_is_seen() -> None:
    assert lines([Series("a", COLOURS[0], [5], [2.0])], "x", "y").count("<path") == 1


def test_series_differ_without_colours_too() -> None:
    """By the dash of their lines and the form of their marks, which their keys show."""
    ones = [Series(str(i), colour, [0, 1], [i, i + 1]) for i, colour in enumerate(COLOURS)]
    dots, curves = scatter(ones, "x", "y"), lines(ones, "x", "y")
    forms = re.findall(r'<path d="([^"]+)" [^>]*fill="([^"]+)"', dots)
    drawn = re.findall(r'<polyline [^>]*stroke="([^"]+)" (?:stroke-dasharray="([^"]+)" )?', curves)
    assert len({form for form, _ in forms}) == len({dash for _, dash in drawn}) == len(COLOURS)
    for colour, dash in drawn:
        (form,) = {form for form, its_colour in forms if its_colour == colour}
        assert f'd="{form}"' in key(colour)
        assert f'd="{form}"' in mark(colour)
        assert (f'stroke-dasharray="{dash}"' in key(colour)) if dash else "dasharray" not in key(colour)
    assert f"{key(COLOURS[1])}a&lt;b</span>" in legend({"a<b": COLOURS[1]})


def test_a_million_is_one() -> None:
    line = lines([Series("a", COLOURS[0], [0, 1e6], [1.0, 2500.0])], "x", "y")
    assert "a: 1M, 2.5k" in line
