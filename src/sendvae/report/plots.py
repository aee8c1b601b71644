"""Charts as SVG text that follows the page's colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 26, 14, 44  # the last tick label is centred on the right end
TICKS = 5
HOVERED = 120  # points of a line that show their values, spread evenly
HOVERED_IN_ALL = 1200  # of a chart, shared by its lines
DRAWN = 2 * WIDTH  # points of a line


@dataclass(frozen=True)
class Series:
    """A line or a cloud; `colour` is a CSS colour or variable."""

    label: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]


def scatter(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Dots with a title each (shown on hover), one colour a series."""
    axes = _Axes([v for s in series for v in s.x], [v for s in series for v in s.y])
    dots = [
        f'<circle cx="{axes.px(x):.1f}" cy="{axes.py(y):.1f}" r="6" fill="{escape(s.colour)}" class="dot">'
        f"<title>{escape(s.label)}: {_number(x)}, {_number(y)}</title></circle>"
        for s in series
        for x, y in zip(s.x, s.y, strict=True)
    ]
    return _svg(axes, dots, x_label, y_label, f"{y_label} against {x_label}, one dot a run")


def lines(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Lines with their values under the pointer; a single point is a dot, points that are not finite are left out."""
    kept = [
        Series(s.label, s.colour, *zip(*points, strict=True))
        for s in series
        if (points := [(x, y) for x, y in zip(s.x, s.y, strict=True) if math.isfinite(y)])
    ]
    axes = _Axes([v for s in kept for v in s.x], [v for s in kept for v in s.y])
    paths = []
    for s in kept:
        if len(s.x) == 1:
            place = f'cx="{axes.px(s.x[0]):.1f}" cy="{axes.py(s.y[0]):.1f}"'
            title = f"<title>{escape(s.label)}</title>"
            paths.append(f'<circle {place} r="4" fill="{escape(s.colour)}" class="dot">{title}</circle>')
            continue
        drawn = _spread(len(s.x), DRAWN)
        points = " ".join(f"{axes.px(s.x[i]):.1f},{axes.py(s.y[i]):.1f}" for i in drawn)
        paths.append(
            f'<polyline points="{points}" fill="none" stroke="{escape(s.colour)}" class="line">'
            f"<title>{escape(s.label)}</title></polyline>"
        )
        hovered = min(HOVERED, max(2, HOVERED_IN_ALL // len(kept)))
        paths += [_point(axes, s, i) for i in _spread(len(s.x), hovered)]
    names = y_label or ", ".join(s.label for s in kept)
    return _svg(axes, paths, x_label, y_label, f"{names} against {x_label}")


def _point(axes: _Axes, s: Series, i: int) -> str:
    """Return a dot that shows itself and its values under the pointer."""
    title = f"<title>{escape(s.label)}: {_number(s.x[i])}, {_number(s.y[i])}</title>"
    place = f'cx="{axes.px(s.x[i]):.1f}" cy="{axes.py(s.y[i]):.1f}"'
    return f'<circle {place} r="5" fill="{escape(s.colour)}" class="point">{title}</circle>'


def _spread(count: int, most: int) -> list[int]:
    """Return at most `most` positions of `count`, the first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


class _Axes:
    """Data to pixels, with round ticks."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x_ticks, self.y_ticks = ticks(xs), ticks(ys)

    def px(self, x: float) -> float:
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def py(self, y: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose the values."""
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
    if value and abs(value) >= 1000:
        return f"{value / 1000:.4g}k"
    if value and abs(value) < 1e-2:
        return f"{value:.2e}".replace("e-0", "e-")
    return f"{value:.4g}"
