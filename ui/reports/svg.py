"""The few drawing tools the pictures of trades need: scales, lines and paths as SVG text.

Colours are CSS classes, so one drawing serves light and dark pages. Coordinates are rounded to a tenth of
a pixel: it cannot be seen and halves the file.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NANOS_PER_SECOND: Final = 1_000_000_000


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


def format_time(ts_ns: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return UNIX nanoseconds as UTC text."""
    return datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).strftime(form)


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


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
