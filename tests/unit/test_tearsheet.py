"""The report page: complete, self-contained, small, and drawn where it should be."""

import json
import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from packet_builder.packet import PACKET_DTYPE
from strategies.trade_manager.record import ClosedTrade
from tests.unit.test_metrics import closed
from ui.reports import sections, tearsheet
from ui.reports.metrics import trade_figures
from ui.reports.run_figures import run_figures
from ui.reports.summary import format_summary
from ui.reports.svg import spread, thinned
from ui.reports.tearsheet import Report, plotly_script, render
from ui.reports.trade_sections import drawn_trade, merge_buckets

RETRACEMENTS = (0.618, 0.705, 0.79)
MINUTE = 60_000_000_000


def packets(count: int, first_seq: int = 0) -> NDArray[Any]:
    """Make consecutive buckets whose prices climb by a tick each."""
    rows = np.zeros(count, PACKET_DTYPE)
    rows["seq"] = first_seq + np.arange(count)
    rows["ts_close_ns"] = (1 + np.arange(count)) * MINUTE
    rows["open"] = 1.50 + np.arange(count) * 0.001
    rows["close"] = rows["open"] + 0.001
    rows["high"], rows["low"] = rows["close"] + 0.0005, rows["open"] - 0.0005
    return rows


def summary_of(trades: list[ClosedTrade], marks: list[tuple[int, float]]) -> dict[str, Any]:
    """Make a summary as a run writes it."""
    figures = json.loads(json.dumps(run_figures(trades, marks, Decimal(1000)), default=float))
    return {
        **figures,
        "run_id": "20260318T000000Z-ote-1",
        "strategy": "ote",
        "instruments": ["XRPUSDT.BINANCE"],
        "start": "2026-03-18T00:00:00Z",
        "end": "2026-03-19T00:00:00Z",
        "synthetic": False,
        "ticks": 1000,
        "buckets": 90,
        "zones": 7,
        "zones_skipped": {"target_within_fees": 3},
        "entries_submitted": 4,
        "entries_filled": 2,
        "entries_cancelled_by_model": 0,
        "currency": "USDT",
        "starting_balance": 1000.0,
        "final_balance": 1001.0,
        "total_return_pct": 0.1,
        "open_positions": [],
        "fills": {
            "latency_ms": 50.0,
            "liquidity_consumption": True,
            "queue_position": True,
            "slippage_ticks": 0,
            "slippage_bps": "0",
            "seed": 42,
            "fees": {"XRPUSDT.BINANCE": {"maker": "0.001", "taker": "0.00075"}},
            "account": "CASH, long only",
        },
        "decision_sha256": "ab" * 32,
        "engine_ticks_per_s": 1e5,
        "wall_s": 1.0,
        "peak_rss_mb": 400.0,
        "run_dir": "var/runs/x",
    }


def page(trades: list[ClosedTrade], drawn: int | None = None, config: str = "catalog: var/catalog") -> str:
    """Render a page for some trades; `drawn` of them with a chart."""
    marks = [(index * MINUTE * 5, 1000.0 + index) for index in range(20)]
    charts = [
        drawn_trade(number, trade, packets(60), RETRACEMENTS)
        for number, trade in enumerate(trades[:drawn], 1)
    ]
    return render(Report(summary_of(trades, marks), trades, marks, charts, config))


def own(html: str) -> str:
    """Return a page without the library it draws with."""
    assert html.count(plotly_script()) == 1
    return html.replace(plotly_script(), "")


class Balance(HTMLParser):
    """Checks that every element that was opened is closed, in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember an element."""
        del attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ignore an element that closes itself."""

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag


@pytest.mark.parametrize("trades", [[], [closed("1"), closed("-2", -1.0, side="short", exit_reason="stop")]])
def test_page_is_well_formed(trades: list[ClosedTrade]) -> None:
    """With and without trades, every element is closed."""
    parser = Balance()
    parser.feed(own(page(trades)))
    assert parser.open == []


def test_page_asks_nobody_for_anything() -> None:
    """No address, import or link beside the library: the page works without a network."""
    html = own(page([closed()]))
    assert not re.search(r"https?:|//cdn|@import|<link|src=|url\(", html)


def test_page_says_what_was_assumed_and_how_it_was_set() -> None:
    """Fills, fees, exit reasons, hash and settings are on the page."""
    html = page([closed(exit_reason="time_limit")], config="bucket_usd: 10000 # <b>")
    for words in (
        "latency ms",
        "queue position",
        "maker 0.1 %, taker 0.075 %",
        "time limit",
        "ab" * 32,
        "bucket_usd: 10000 # &lt;b&gt;",
        "target within fees",
        "CASH, long only",
    ):
        assert words in html


def test_words_of_the_data_cannot_become_markup() -> None:
    """Reasons and ids are escaped."""
    assert "<script>alert" not in page([closed(exit_reason="<script>alert(1)</script>")])


def test_page_stays_below_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts that do not fit are left out, and the page says how many it shows."""
    trades = [closed() for _ in range(30)]
    limit = len(page(trades, 5).encode()) + 10_000
    monkeypatch.setattr(tearsheet, "MAX_BYTES", limit)
    html = page(trades)
    assert len(html.encode()) <= limit
    shown = own(html).count("<figure")
    assert 1 <= shown < 30
    assert f"{shown} of 30 trades" in html


def test_chart_shows_zone_orders_and_fills() -> None:
    """One drawing holds range, OTE band, sweet spot, stop, target, entry and exit."""
    html = own(page([closed()]))
    for css in ("range", "ote", "sweet", "stop", "target", "entry-mark", "exit-mark", "up-fill"):
        assert re.search(rf'<svg.*class="{css}"', html), css


@pytest.mark.parametrize(("side", "sweet"), [("long", 1.4 + 0.295 * 0.2), ("short", 1.4 + 0.705 * 0.2)])
def test_levels_are_measured_from_the_end_of_the_range(side: str, sweet: float) -> None:
    """A long enters low in its range, a short high."""
    picture = drawn_trade(1, closed(side=side), packets(5), RETRACEMENTS).picture
    assert picture.sweet_price == pytest.approx(sweet)
    assert picture.ote[0] < picture.sweet_price < picture.ote[1]


@pytest.mark.parametrize(("count", "limit", "each"), [(10, 10, 1), (11, 10, 2), (25, 10, 3), (1, 5, 1)])
def test_merged_candles_keep_extremes_and_ends(count: int, limit: int, each: int) -> None:
    """Open of the first, close of the last, highest high and lowest low of each group."""
    rows = packets(count, first_seq=40)
    window = merge_buckets(rows, limit)
    groups = [rows[start : start + each] for start in range(0, count, each)]
    assert window.per_candle == each
    assert len(window.seq) == len(groups) <= limit
    assert window.seq.tolist() == [group["seq"][0] for group in groups]
    assert window.open.tolist() == [group["open"][0] for group in groups]
    assert window.close.tolist() == [group["close"][-1] for group in groups]
    assert window.high.tolist() == [group["high"].max() for group in groups]
    assert window.low.tolist() == [group["low"].min() for group in groups]


def test_drawing_helpers() -> None:
    """Labels apart, ends kept."""
    assert [y for y, _text, _css in spread([(10, "a", ""), (11, "b", ""), (50, "c", "")], 5)] == [10, 15, 50]
    assert thinned(100, 3) == [0, 50, 99] or thinned(100, 3) == [0, 49, 99]


def test_terminal_text_names_result_and_assumptions() -> None:
    """The printed report holds the figures a reader looks for first."""
    text = format_summary(summary_of([closed("1"), closed("-2", -1.0)], [(0, 1000.0), (MINUTE, 999.0)]))
    for words in (
        "win rate                 50.0 %",
        "profit factor            0.50",
        "latency 50 ms",
        "queue position on",
        "maker 0.001, taker 0.00075",
        "3 target within fees",
        "ab" * 32,
    ):
        assert words in text


def test_page_holds_every_section_of_a_scored_run() -> None:
    """Months, costs, execution, certainty, hours, scores and factors each have their part."""
    from benchmarks.bench_report import (
        made_up_charts,
        made_up_marks,
        made_up_signals,
        made_up_trades,
        report_of,
    )

    trades = made_up_trades(300, 40)
    html = own(
        report_of(trades, made_up_signals(trades), made_up_marks(trades, 40), made_up_charts(trades, 2))
    )
    for title in (
        "Monthly returns",
        "Sensitivity to costs",
        "Execution",
        "How sure",
        "By confidence",
        "By factor",
    ):
        assert f"<h2>{title}</h2>" in html, title
    assert html.count('class="plot"') == 8
    assert html.count("<figure") == 2


def test_only_the_first_rows_of_a_long_table_are_on_the_page() -> None:
    """Of 1,010 trades 1,000 are listed, and the page says where all of them are."""
    html = own(page([closed() for _ in range(1_010)], 0))
    assert "All 1,010 trades (the first 1,000; trades.csv has all of them)" in html


def test_calibration_says_what_it_leaves_out() -> None:
    """Two bins make a plot and two rows, with the interval of each share."""
    html = sections.reliability(
        [{"promised": 0.2, "came": 0.1, "orders": 10}, {"promised": 0.7, "came": 1.0, "orders": 10}]
    )
    assert html.count("<tr>") == 3
    assert "72.2 % to 100.0 %" in html
    assert "cancelled ones are missing" in html
    assert sections.reliability([]) == ""


def test_page_has_signals_guards_universe_and_funding() -> None:
    """A run on the klines of many perpetuals: each of these has its part, once."""
    trades = [closed("1", funding="-0.25"), closed("-2", -1.0)]
    life = {
        "began_after_start": ["B"],
        "ended_before_end": [],
        "never_members": [],
        "absent_from_catalog": None,
    }
    pause = {"scope": "all", "began": "2026-03-18T01:00:00Z", "ended": None, "text": "three stops"}
    marks = [(0, 1000.0), (MINUTE, 999.0)]
    summary = summary_of(trades, marks) | {
        "data": "bars",
        "funding_times": 3,
        "funding_missing": {"XRPUSDT-PERP.BINANCE": 12},
        "signals": {
            "recorded": 9,
            "taken": 2,
            "skipped": {"not_in_universe": 7},
            "bars_by_score": {"long_90": 4, "signal_long_90": 2},
            "bars_ready": 200,
        },
        "by_confidence": {},
        "by_category": {"majors": trade_figures(trades)},
        "by_factor": {},
        "universe": {
            "enforced": True,
            "top": 5,
            "source": "quote volume",
            "members_mean": 4.5,
            "coins": 30,
            "signals_refused": 7,
        },
        "survivorship": {**life, "in_universe": trade_figures(trades), "outside": trade_figures([])},
        "guards": {
            "daily_loss": {
                "pauses": 1,
                "paused_mins": 60.0,
                "longest_mins": 60.0,
                "in_force": 1,
                "skipped": 5,
                "scopes": {"all": 1},
                "list": [pause],
            }
        },
    }
    html = own(render(Report(summary, trades, marks, [], "")))
    for title in (
        "From signal to trade",
        "How often each score occurs",
        "Why signals were not traded",
        "By category",
        "Guards",
        "Universe and survivorship",
    ):
        assert html.count(f"<h2>{title}</h2>") == 1, title
    for content in (
        "7 signals refused",
        "at least 12, XRPUSDT-PERP.BINANCE",
        "three stops",
        "bars per second in the engine",
    ):
        assert content in html
    assert '<b class="bad">−0.25</b><span>funding, USDT</span>' in html
    assert "<td>−0.2500</td>" in html
