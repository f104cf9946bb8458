"""Small drawings as SVG text for the report of a model; colours are classes, for day and night."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]

WIDTH, HEIGHT = 520.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 44.0
ROW = 20.0
NAME_WIDTH = 190.0


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line of a style class, named in the key; dots are drawn where `has_dots`."""

    name: str
    css: str
    points: Sequence[Point]
    has_dots: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """Label and range of an axis; the format is that of a single tick."""

    label: str
    low: float
    high: float
    form: str = "{:g}"

    def share(self, value: float) -> float:
        """Return where a value lies within the range, 0 to 1, cut off outside."""
        width = self.high - self.low
        return min(max((value - self.low) / width if width > 0 else 0.5, 0.0), 1.0)


def axis_for(label: str, values: Sequence[float], form: str = "{:g}") -> Axis:
    """Return an axis that holds all finite values with a little room."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = (high - low) * 0.05 or max(abs(high), 1e-9) * 0.1
    return Axis(label, low - room, high + room, form)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers within the range.

    Examples
    --------
    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = min((part * magnitude for part in (1, 2, 5, 10)), key=lambda one: abs(one - span / count))
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


def chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return a line chart with axes, grid and key; the title is read by screen readers."""
    parts = _grid(x, y)
    for line in lines:
        placed = [(_x(x, one[0]), _y(y, one[1])) for one in line.points if math.isfinite(one[1])]
        if len(placed) > 1:
            path = "L".join(f"{px:.1f} {py:.1f}" for px, py in placed)
            parts.append(f'<path class="{line.css}" d="M{path}"/>')
        if line.has_dots or len(placed) == 1:
            parts += [f'<circle class="{line.css}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in placed]
    key = "".join(f'<span><i class="{line.css}"></i>{html.escape(line.name)}</span>' for line in lines)
    return f'{_svg(WIDTH, HEIGHT, parts, title)}<p class="key">{key}</p>'


def bars(title: str, rows: Sequence[tuple[str, float]], form: str = "{:.3g}") -> str:
    """Return horizontal bars for (name, value >= 0), in the given order."""
    most = max((value for _, value in rows), default=0.0) or 1.0
    room = WIDTH - NAME_WIDTH - 70
    parts = []
    for number, (name, value) in enumerate(rows):
        y = number * ROW
        width = max(room * value / most, 0.5)
        parts.append(_text(NAME_WIDTH - 8, y + 14, name, "end"))
        parts.append(
            f'<rect class="bar" x="{NAME_WIDTH}" y="{y + 3:.1f}" width="{width:.1f}" height="{ROW - 6}"/>'
        )
        parts.append(_text(NAME_WIDTH + width + 6, y + 14, form.format(value), "start"))
    return _svg(WIDTH, max(len(rows), 1) * ROW, parts, title)


def swarm(title: str, rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], unit: str) -> str:
    """Return, per name, its (SHAP value, rank of the feature's value 0..1) as dots from low to high value."""
    values = [value for _, dots in rows for value, _ in dots]
    axis = axis_for(unit, [*values, 0.0])
    room = WIDTH - NAME_WIDTH - 20
    height = len(rows) * ROW + 34
    zero = NAME_WIDTH + room * axis.share(0.0)
    parts = [f'<line class="grid" x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height - 34:.1f}"/>']
    for number, (name, dots) in enumerate(rows):
        parts.append(_text(NAME_WIDTH - 8, number * ROW + 14, name, "end"))
        for at, (value, rank) in enumerate(dots):
            # A fixed scatter in height: dots of one feature do not hide each other.
            y = number * ROW + ROW / 2 + (at * 7 % 11 - 5) * 0.9
            css = f"dot{min(int(rank * 5), 4)}"
            x = NAME_WIDTH + room * axis.share(value)
            parts.append(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="1.8"/>')
    parts += [
        _text(NAME_WIDTH + room * axis.share(value), height - 20, f"{value:g}", "middle")
        for value in ticks(axis.low, axis.high)
    ]
    parts.append(_text(NAME_WIDTH + room / 2, height - 4, unit, "middle"))
    return _svg(WIDTH, height, parts, title)


def _grid(x: Axis, y: Axis) -> list[str]:
    parts = []
    for value in ticks(y.low, y.high):
        at = _y(y, value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>')
        parts.append(_text(LEFT - 6, at + 4, y.form.format(value), "end"))
    parts += [
        _text(_x(x, value), HEIGHT - BOTTOM + 16, x.form.format(value), "middle")
        for value in ticks(x.low, x.high)
    ]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x.label, "middle"))
    parts.append(
        f'<text x="12" y="{HEIGHT / 2 - 20}" text-anchor="middle" '
        f'transform="rotate(-90 12 {HEIGHT / 2 - 20})">{html.escape(y.label)}</text>'
    )
    return parts


def _x(axis: Axis, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * axis.share(value)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * axis.share(value)


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(content)}</text>'


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(title, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )
