"""Plots of the tearsheet as plotly figures: plain dictionaries of traces and layout, checked by the tests.

Colours are names (``up``, ``down``, ``accent``, ...) of the page's CSS variables, written ``$up``: the script
of the page looks them up, so one figure serves light and dark pages.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ui.reports.metrics import Mark, drawdowns_pct

COLUMNS: Final = 1_000
"""Pixels of a plot at most: more points in one column cannot be seen."""
R_BIN: Final = 0.25
R_LOW, R_HIGH = -3.0, 5.0
NANOS_PER_MS: Final = 1_000_000

type Plot = dict[str, Any]
type Ints = NDArray[np.int64]


def extreme_indices(times: Ints, values: NDArray[np.float64], columns: int = COLUMNS) -> Ints:
    """Return the points that a plot of some pixels cannot do without: lowest and highest in each column.

    Parameters
    ----------
    times, values
        Shape (n,), times ascending.
    columns
        Pixels of the plot, >= 1.

    Returns
    -------
    ndarray of shape (m,)
        Ascending indices, m <= 2 * columns + 2, first and last point included. No peak and no trough
        of the whole series is lost, which taking every n-th point would do.
    """
    count = len(times)
    if count <= 2 * columns:
        return np.arange(count)
    span = int(times[-1] - times[0]) or 1
    column = (times - times[0]) * columns // (span + 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    edges = [*starts.tolist(), count]
    kept = {0, count - 1}
    for start, end in pairwise(edges):
        part = values[start:end]
        kept |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(kept), np.int64)


def equity_plot(marks: Sequence[Mark], balance: float, currency: str) -> Plot | None:
    """Return equity over time and, below it on the same time axis, the drawdown; None below two marks."""
    if len(marks) < 2:
        return None
    times = np.array([ts_ns for ts_ns, _equity in marks], np.int64)
    equity = np.array([value for _ts_ns, value in marks], np.float64)
    depth = -np.array(drawdowns_pct(marks, balance), np.float64)
    top, below = extreme_indices(times, equity), extreme_indices(times, depth)
    digits = _digits(float(equity.max() - equity.min()))
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"equity, {currency}",
                "x": _millis(times[top]),
                "y": np.round(equity[top], digits + 2).tolist(),
                "line": {"color": "$accent", "width": 1.6},
                "hovertemplate": f"%{{x|%Y-%m-%d %H:%M}}<br>%{{y:,.{digits}f}} {currency}<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "lines",
                "name": "drawdown, %",
                "x": _millis(times[below]),
                "y": np.round(depth[below], 4).tolist(),
                "yaxis": "y2",
                "fill": "tozeroy",
                "fillcolor": "$depth",
                "line": {"color": "$down", "width": 1},
                "hovertemplate": "%{x|%Y-%m-%d %H:%M}<br>%{y:.2f} %<extra></extra>",
            },
        ],
        "layout": {
            "height": 420,
            "xaxis": {"type": "date", "anchor": "y2"},
            "yaxis": {"domain": [0.34, 1], "title": {"text": f"equity, {currency}"}, "tickformat": ","},
            "yaxis2": {"domain": [0, 0.28], "title": {"text": "drawdown, %"}, "rangemode": "tozero"},
            "shapes": [
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "yref": "y",
                    "y0": balance,
                    "y1": balance,
                    "line": {"color": "$muted", "dash": "dot", "width": 1},
                }
            ],
        },
    }


def r_plot(r_multiples: Sequence[float]) -> Plot | None:
    """Return the distribution of R multiples in quarters of R; both ends collect what lies beyond."""
    known = [value for value in r_multiples if math.isfinite(value)]
    if not known:
        return None
    counts = r_counts(known)
    starts = [R_LOW + index * R_BIN for index in range(len(counts))]
    mean = math.fsum(known) / len(known)
    at = min(max(mean, R_LOW), R_HIGH)
    ticks = list(range(int(R_LOW), int(R_HIGH) + 1))
    names = [
        f"{'≤' if one == R_LOW else '≥' if one == R_HIGH else ''}{one:+d}" if one else "0" for one in ticks
    ]
    return {
        "data": [
            {
                "type": "bar",
                "x": [start + R_BIN / 2 for start in starts],
                "y": counts,
                "width": R_BIN * 0.9,
                "marker": {"color": ["$up" if start >= 0 else "$down" for start in starts]},
                "customdata": [f"{start:+.2f} to {start + R_BIN:+.2f} R" for start in starts],
                "hovertemplate": "%{customdata}: %{y} trades<extra></extra>",
            }
        ],
        "layout": {
            "height": 300,
            "xaxis": {
                "title": {"text": "result, R"},
                "range": [R_LOW, R_HIGH],
                "tickvals": ticks,
                "ticktext": names,
            },
            "yaxis": {"title": {"text": "trades"}},
            "shapes": [
                {
                    "type": "line",
                    "x0": at,
                    "x1": at,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": "$ink", "dash": "dash", "width": 1},
                }
            ],
            "annotations": [
                {
                    "x": at,
                    "y": 1,
                    "yref": "paper",
                    "yanchor": "bottom",
                    "showarrow": False,
                    "text": f"mean {mean:+.2f} R",
                }
            ],
        },
    }


def r_counts(r_multiples: Sequence[float]) -> list[int]:
    """Return how many results fall into each quarter of R from -3 to 5, the ends with what lies beyond."""
    counts = [0] * round((R_HIGH - R_LOW) / R_BIN)
    for value in r_multiples:
        index = math.floor((value - R_LOW) / R_BIN)
        counts[min(max(index, 0), len(counts) - 1)] += 1
    return counts


def group_plot(groups: Mapping[str, Mapping[str, Any]], name: str) -> Plot | None:
    """Return the mean R of each group of trades as bars, with count and win rate to read on them.

    Parameters
    ----------
    groups
        Group -> figures as of :func:`ui.reports.metrics.trade_figures`.
    name
        What the groups are, for the axis.
    """
    rows = [(group, one) for group, one in groups.items() if one["expectancy_r"] is not None]
    if len(rows) < 2:
        return None  # one bar is a number with a frame
    means = [float(one["expectancy_r"]) for _group, one in rows]
    return {
        "data": [
            {
                "type": "bar",
                "x": [group.replace("_", " ") for group, _one in rows],
                "y": [round(mean, 4) for mean in means],
                "marker": {"color": ["$up" if mean >= 0 else "$down" for mean in means]},
                "text": [f"{one['positions_closed']:,}" for _group, one in rows],
                "textposition": "outside",
                "cliponaxis": False,
                "customdata": [round(100 * float(one["win_rate"]), 1) for _group, one in rows],
                "hovertemplate": "%{x}: %{y:+.3f} R, %{text} trades, %{customdata} % won<extra></extra>",
            }
        ],
        "layout": {
            "height": 260,
            "xaxis": {"type": "category", "title": {"text": name}},
            "yaxis": {"title": {"text": "mean R (number: trades)"}, "zeroline": True},
        },
    }


def factor_plot(factors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Plot | None:
    """Return the mean R of trades whose signal had a factor beside that of those whose had not."""
    names = list(factors)
    if not names:
        return None
    bars = []
    for part, colour in (("with", "$accent"), ("without", "$muted")):
        figures = [factors[name][part] for name in names]
        bars.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": part,
                "y": [name.replace("_", " ") for name in names],
                "x": [one["expectancy_r"] for one in figures],
                "marker": {"color": colour},
                "customdata": [one["positions_closed"] for one in figures],
                "hovertemplate": f"{part} %{{y}}: %{{x:+.3f}} R, %{{customdata}} trades<extra></extra>",
            }
        )
    return {
        "data": bars,
        "layout": {
            "height": 90 + 44 * len(names),
            "barmode": "group",
            "showlegend": True,
            "xaxis": {"title": {"text": "mean R"}, "zeroline": True},
            "yaxis": {"automargin": True, "autorange": "reversed"},
        },
    }


def cost_plot(sensitivity: Mapping[str, Any]) -> Plot:
    """Return the mean R under other fees and under worse market exits."""
    fees = [(f"fees × {one['factor']:g}", one) for one in sensitivity["fees"]]
    slips = [(f"exits +{one['bps']:g} bps", one) for one in sensitivity["exit_slippage"]]
    means = [one["expectancy_r"] for _name, one in fees + slips]
    return {
        "data": [
            {
                "type": "bar",
                "x": [name for name, _one in fees + slips],
                "y": means,
                "marker": {"color": ["$up" if (mean or 0) >= 0 else "$down" for mean in means]},
                "hovertemplate": "%{x}: %{y:+.3f} R<extra></extra>",
            }
        ],
        "layout": {"height": 260, "yaxis": {"title": {"text": "mean R"}, "zeroline": True}},
    }


def reliability_plot(bins: Sequence[Mapping[str, float]]) -> Plot | None:
    """Return what a model promised against what came, by bins of probability; None without a bin.

    Parameters
    ----------
    bins
        ``promised`` and ``came`` in [0, 1], ``orders`` and the 95 % interval ``low``, ``high`` of each.
    """
    if not bins:
        return None
    came = [one["came"] for one in bins]
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [0, 1],
                "y": [0, 1],
                "line": {"color": "$muted", "dash": "dot", "width": 1},
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "x": [one["promised"] for one in bins],
                "y": came,
                "marker": {"color": "$accent", "size": 9},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [one["high"] - one["came"] for one in bins],
                    "arrayminus": [one["came"] - one["low"] for one in bins],
                    "color": "$accent",
                    "thickness": 1,
                },
                "customdata": [one["orders"] for one in bins],
                "hovertemplate": "promised %{x:.0%}, came %{y:.0%} of %{customdata}<extra></extra>",
            },
        ],
        "layout": {
            "height": 320,
            "xaxis": {"range": [0, 1], "tickformat": ".0%", "title": {"text": "promised"}},
            "yaxis": {"range": [0, 1], "tickformat": ".0%", "title": {"text": "came"}},
        },
    }


def _millis(times: Ints) -> list[int]:
    millis: list[int] = (times // NANOS_PER_MS).tolist()
    return millis


def _digits(span: float) -> int:
    return 0 if span > 20 else 2 if span > 0.2 else 4
