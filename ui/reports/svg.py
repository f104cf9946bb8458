"""The few drawing tools the tearsheet needs: scales, axes and paths as SVG text.

Colours are CSS classes, so one drawing serves light and dark pages. Coordinates are rounded to a tenth of
a pixel: it cannot be seen and halves the file.
"""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NANOS_PER_SECOND: Final = 1_000_000_000
MINUTE_NS: Final = 60 * NANOS_PER_SECOND
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
TIME_STEPS_NS: Final = (
    *(minutes * MINUTE_NS for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_NS for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_NS for days in (1, 2, 5, 10, 30, 90, 365)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers within [low, high].

    Examples
    --------
    >>> nice_ticks(0.0, 9.0, 4)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    rough = span / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * magnitude for factor in (1, 2, 2.5, 5, 10)), key=lambda one: abs(one - rough))
    digits = max(0, 2 - math.floor(math.log10(step)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, digits) for index in range(first, last + 1)]


def time_ticks(first_ns: int, last_ns: int, count: int = 7) -> list[tuple[int, str]]:
    """Return about `count` round UTC times within the span, each with its label."""
    span = max(last_ns - first_ns, 1)
    step = next((one for one in TIME_STEPS_NS if span / one <= count), TIME_STEPS_NS[-1])
    form = "%d %b" if step >= DAY_NS else "%d %b %H:%M" if span > DAY_NS else "%H:%M"
    start = -(-first_ns // step) * step
    return [(ts_ns, format_time(ts_ns, form)) for ts_ns in range(start, last_ns + 1, step)]


def format_time(ts_ns: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return UNIX nanoseconds as UTC text."""
    return datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).strftime(form)


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Return the path data of an open line through the points."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def path(data: str, css: str) -> str:
    """Return a path element."""
    return f'<path class="{css}" d="{data}"/>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """Return a straight line."""
    return f'<line class="{css}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>'


def rect(x: float, y: float, width: float, height: float, css: str, title: str = "") -> str:
    """Return a rectangle, at least half a pixel in both directions so that it can be seen."""
    shape = (
        f'x="{number(x)}" y="{number(y)}" width="{number(max(width, 0.5))}" '
        f'height="{number(max(height, 0.5))}"'
    )
    if title:
        return f'<rect class="{css}" {shape}><title>{html.escape(title)}</title></rect>'
    return f'<rect class="{css}" {shape}/>'


def text(x: float, y: float, content: str, css: str = "axis", anchor: str = "start") -> str:
    """Return a text element."""
    return (
        f'<text class="{css}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">'
        f"{html.escape(content)}</text>"
    )


def drawing(width: float, height: float, parts: Sequence[str], label: str) -> str:
    """Return the SVG element; `label` is read by screen readers."""
    return (
        f'<svg viewBox="0 0 {number(width)} {number(height)}" role="img" '
        f'aria-label="{html.escape(label, quote=True)}">{"".join(parts)}</svg>'
    )


def spread(labels: Sequence[tuple[float, str, str]], gap: float) -> list[tuple[float, str, str]]:
    """Move labels (y, text, class) apart vertically until neighbours are `gap` pixels apart."""
    placed: list[tuple[float, str, str]] = []
    for y, content, css in sorted(labels):
        lowest = placed[-1][0] + gap if placed else y
        placed.append((max(y, lowest), content, css))
    return placed


def thinned(count: int, limit: int) -> list[int]:
    """Return at most `limit` indices of range(count), evenly spread, first and last included."""
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def y_axis(
    scale: Scale, left: float, right: float, label: Callable[[float], str], count: int = 5
) -> list[str]:
    """Return horizontal grid lines with their labels left of the plot."""
    parts = []
    for value in nice_ticks(min(scale.low, scale.high), max(scale.low, scale.high), count):
        y = scale(value)
        parts += [line(left, y, right, y, "grid"), text(left - 6, y + 3.5, label(value), anchor="end")]
    return parts
