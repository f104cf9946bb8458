"""Plots of the tearsheet: valid plotly figures that hide no extreme."""

import json
import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.unit.test_metrics import closed
from ui.reports.metrics import trade_figures
from ui.reports.plots import (
    cost_plot,
    equity_plot,
    extreme_indices,
    factor_plot,
    group_plot,
    r_counts,
    r_plot,
    reliability_plot,
)
from ui.reports.sensitivity import sensitivity

MINUTE = 60_000_000_000
GROUPS = {
    "stop": json.loads(json.dumps(trade_figures([closed("-1", -1.0)]), default=float)),
    "target": json.loads(json.dumps(trade_figures([closed("2", 2.0)] * 2), default=float)),
}
FIGURES: dict[str, Any] = {
    "equity": equity_plot([(index * MINUTE, 100.0 + index % 7) for index in range(50)], 100.0, "USDT"),
    "r": r_plot([-1.0, 0.5, 9.0]),
    "groups": group_plot(GROUPS, "exit reason"),
    "factors": factor_plot({"sweep": {"with": GROUPS["target"], "without": GROUPS["stop"]}}),
    "costs": cost_plot(sensitivity([closed()])),
    "reliability": reliability_plot([{"promised": 0.3, "came": 0.5, "low": 0.2, "high": 0.8, "orders": 4}]),
}


def uncoloured(value: Any) -> Any:
    """Replace the names of the page's colours by a colour plotly knows."""
    return json.loads(re.sub(r'"\$\w+"', '"red"', json.dumps(value)))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_plotly_figures(name: str) -> None:
    """Plotly's own validation takes every property of every trace and layout."""
    figure = go.Figure(uncoloured(FIGURES[name]))
    assert len(figure.data) >= 1
    assert figure.layout.height > 100


def test_colours_are_names_of_the_page() -> None:
    """Every `$name` is a CSS variable of the page, in light and in dark."""
    from ui.reports.tearsheet import ASSETS

    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    names = set(re.findall(r'"\$(\w+)"', json.dumps(FIGURES)))
    assert names
    for name in names:
        assert style.count(f"--{name}:") >= 2, name


def test_thinning_keeps_every_extreme() -> None:
    """A single spike among 100,000 points is drawn, with first and last point, in at most 2 per column."""
    times = np.arange(100_000, dtype=np.int64) * MINUTE
    values = np.sin(np.arange(100_000) / 5_000)
    values[61_803] = -9.0
    values[61_804] = 9.0
    kept = extreme_indices(times, values, 500)
    assert len(kept) <= 2 * 500 + 2
    assert {0, 61_803, 61_804, 99_999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_thinning_follows_time_not_position() -> None:
    """After a pause in the marks a column of time without any is empty, not stretched."""
    times = np.concatenate([np.arange(3_000), 10_000_000 + np.arange(3_000)]).astype(np.int64)
    kept = extreme_indices(times, np.arange(6_000, dtype=np.float64), 100)
    assert kept.tolist() == [0, 2_999, 3_000, 5_999]


def test_short_series_stay_whole() -> None:
    """Nothing is thinned that fits."""
    assert len(extreme_indices(np.arange(7), np.zeros(7), 4)) == 7


def test_deepest_drawdown_survives_thinning() -> None:
    """The lowest point of the drawn drawdown is that of the run."""
    marks = [
        (index * MINUTE, 1000.0 + index % 997 - (500.0 if index == 12_345 else 0.0))
        for index in range(50_000)
    ]
    plot = equity_plot(marks, 1000.0, "USDT")
    assert plot is not None
    lowest = min(plot["data"][1]["y"])
    assert lowest == pytest.approx(-100 * (1 - marks[12_345][1] / 1996.0), abs=1e-3)


def test_distribution_collects_what_lies_beyond() -> None:
    """Results outside -3 R..5 R are counted in the outermost bars."""
    counts = r_counts([-9.0, -2.9, 0.1, 99.0])
    assert (counts[0], counts[12], counts[-1], sum(counts)) == (2, 1, 1, 4)


def test_unknown_r_multiples_are_left_out() -> None:
    """A trade without a stop has no R: it changes nothing."""
    assert r_plot([0.1, float("nan"), 99.0]) == r_plot([0.1, 99.0])


def test_nothing_to_draw_is_no_plot() -> None:
    """One mark is no curve, no trade no distribution, one group no comparison."""
    assert equity_plot([(0, 1.0)], 1.0, "USDT") is None
    assert r_plot([]) is None
    assert r_plot([float("nan")]) is None
    assert group_plot({"stop": GROUPS["stop"]}, "exit reason") is None
    assert factor_plot({}) is None
    assert reliability_plot([]) is None
