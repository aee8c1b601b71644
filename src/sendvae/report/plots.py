"""Charts as SVG text that follows the page's colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 26, 14, 44  # the last tick label is centred on the right end
TICKS = 5
HOVERED = 120  # points of a line that show their values, spread evenly
HOVERED_IN_ALL = 1200  # such points of a chart, shared by its lines
DRAWN = 2 * WIDTH  # the most points of a line

# Variables of the style sheet: each series has one colour, the same in every table and chart. Each colour has a dash
# and a mark, so that series are told apart without colours, too. Marks lie around 0, with a radius of about 6.
COLOURS = ("var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)")
DASHES = ("", "7 3", "2 3", "10 3 2 3", "4 4", "12 3 2 3 2 3")
MARKS = (
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0Z",  # circle
    "M-5-5H5V5H-5Z",  # square
    "M0-7L6 5H-6Z",  # triangle
    "M0-7L7 0L0 7L-7 0Z",  # diamond
    "M0 7L6-5H-6Z",  # triangle, upside down
    "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",  # cross
)


@dataclass(frozen=True)
class Series:
    """The points of a line or a cloud. `colour` is one of `COLOURS`."""

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]


def scatter(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Return a chart of marks, each with a title that is shown on hover. A series has one colour and one mark."""
    axes = _Axes([v for s in series for v in s.x], [v for s in series for v in s.y])
    dots = [
        _mark(axes.px(x), axes.py(y), s.colour, "dot shown", _values(s, i))
        for s in series
        for i, (x, y) in enumerate(zip(s.x, s.y, strict=True))
    ]
    return _svg(axes, dots, x_label, y_label, f"{y_label} against {x_label}, one dot a run")


def lines(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Return a chart of lines that show their values on hover.

    A series with a single point is drawn as a mark. Points that are not finite are left out.
    """
    kept = [
        Series(s.label, s.colour, *zip(*points, strict=True))
        for s in series
        if (points := [(x, y) for x, y in zip(s.x, s.y, strict=True) if math.isfinite(y)])
    ]
    axes = _Axes([v for s in kept for v in s.x], [v for s in kept for v in s.y])
    paths = []
    for s in kept:
        if len(s.x) == 1:
            paths.append(_mark(axes.px(s.x[0]), axes.py(s.y[0]), s.colour, "dot shown", _values(s, 0)))
            continue
        drawn = _spread(len(s.x), DRAWN)
        points = " ".join(f"{axes.px(s.x[i]):.1f},{axes.py(s.y[i]):.1f}" for i in drawn)
        paths.append(
            f'<polyline points="{points}" fill="none" stroke="{s.colour}" {_dash(s.colour)}class="line">'
            f"<title>{escape(s.label)}</title></polyline>"
        )
        hovered = min(HOVERED, max(2, HOVERED_IN_ALL // len(kept)))
        paths += [_point(axes, s, i) for i in _spread(len(s.x), hovered)]
    names = y_label or ", ".join(s.label for s in kept)
    return _svg(axes, paths, x_label, y_label, f"{names} against {x_label}")


def key(colour: str) -> Markup:
    """Return the line and the mark of a colour, for legends."""
    line = f'<path d="M1 10H43" fill="none" stroke="{colour}" {_dash(colour)}class="line"/>'
    form = _mark(22, 10, colour, "dot")
    return Markup(f'<svg class="key" viewBox="0 0 44 20" aria-hidden="true">{line}{form}</svg>')


def mark(colour: str) -> Markup:
    """Return the mark of a colour, for tables and captions."""
    form = _mark(10, 10, colour, "dot")
    return Markup(f'<svg class="key mark" viewBox="0 0 20 20" aria-hidden="true">{form}</svg>')


def legend(colours: Mapping[str, str]) -> Markup:
    """Return a legend: the names of series, each after the line and the mark of its colour."""
    names = "".join(f"<span>{key(colour)}{escape(name)}</span>" for name, colour in colours.items())
    return Markup(f'<p class="legend">{names}</p>')


def _point(axes: _Axes, s: Series, i: int) -> str:
    """Return a mark at a point of a line, which appears with its values on hover."""
    return _mark(axes.px(s.x[i]), axes.py(s.y[i]), s.colour, "point shown", _values(s, i))


def _mark(x: float, y: float, colour: str, kind: str, title: str = "") -> str:
    told = f"<title>{escape(title)}</title>" if title else ""
    form = MARKS[COLOURS.index(colour)]
    return f'<path d="{form}" transform="translate({x:.1f} {y:.1f})" fill="{colour}" class="{kind}">{told}</path>'


def _dash(colour: str) -> str:
    dash = DASHES[COLOURS.index(colour)]
    return f'stroke-dasharray="{dash}" ' if dash else ""


def _values(s: Series, i: int) -> str:
    return f"{s.label}: {_number(s.x[i])}, {_number(s.y[i])}"


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` positions of `count`, the first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


class _Axes:
    """Two axes with round ticks, which map data to pixels."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x_ticks, self.y_ticks = ticks(xs), ticks(ys)

    def px(self, x: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def py(self, y: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) that enclose the values."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.05, high + (abs(high) or 1.0) * 0.05
    raw = (high - low) / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _svg(axes: _Axes, marks: Sequence[str], x_label: str, y_label: str, title: str) -> Markup:
    grid, bottom, right = [], HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in axes.y_ticks:
        y = axes.py(tick)
        grid.append(f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        grid.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in axes.x_ticks:
        x = axes.px(tick)
        grid.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_number(tick)}</text>')
    middle = (TOP + bottom) / 2
    labels = [
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle" class="axis">{escape(x_label)}</text>',
        (
            f'<text x="12" y="{middle}" text-anchor="middle" class="axis" '
            f'transform="rotate(-90 12 {middle})">{escape(y_label)}</text>'
        ),
    ]
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join([*grid, *labels, *marks])
        + "</svg>"
    )


def _number(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:.4g}M"
    if abs(value) >= 1000:
        return f"{value / 1000:.4g}k"
    if value and abs(value) < 1e-2:
        return f"{value:.2e}".replace("e-0", "e-")
    return f"{value:.4g}"
