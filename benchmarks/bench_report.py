"""The report of a long run: from closed trades and equity marks to figures and the HTML page.

Goals: 10 s for 10,000 trades over a year on a quiet machine, and a page of at most 6 MB.

    python benchmarks/bench_report.py [--trades 10000] [--days 365] [--charts 60] [--repeat 3] [--keep FILE]
                                      [--json]

The run is made up: trades of twelve coins with a signal each, equity every five minutes, charts of sixty
trades on 260 buckets each, as a run draws by default. Timed is what `backtest_node.py run` does after the
engine: figures with their intervals, signals, and the page; the fastest of the repeats. A slower report makes
every backtest slower by that much, a larger page is one that mail programs refuse.
"""

import argparse
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from packet_builder.packet import PACKET_DTYPE  # noqa: E402
from strategies.trade_manager.record import ClosedTrade, Decision  # noqa: E402
from ui.reports.run_figures import run_figures  # noqa: E402
from ui.reports.signals import signal_figures  # noqa: E402
from ui.reports.tearsheet import Report, render  # noqa: E402
from ui.reports.trade_sections import DrawnTrade, drawn_trade  # noqa: E402

DAY_NS = 86_400 * 10**9
MARK_NS = 300 * 10**9
START_NS = 1_735_689_600 * 10**9
BALANCE = Decimal(10_000)
COINS = [f"COIN{index}USDT.BINANCE" for index in range(12)]
REASONS = ("target", "stop", "break_even", "trailing", "time")
FACTORS = ("trend", "volume", "sweep", "divergence", "session")
SIZE_LIMIT = 6_000_000


def made_up_trades(count: int, days: int, seed: int = 1) -> list[ClosedTrade]:
    """Return trades with a fixed seed, in order of exit."""
    rng = np.random.default_rng(seed)
    entries = np.sort(rng.integers(0, days * DAY_NS - 3_600 * 10**9, count))
    results = np.where(rng.random(count) < 0.42, rng.normal(1.6, 0.4, count), rng.normal(-1.05, 0.1, count))
    trades = []
    for index, (offset, r) in enumerate(zip(entries.tolist(), results.tolist(), strict=True)):
        held_secs = float(rng.exponential(900.0))
        entry_ns = START_NS + offset
        price = 100.0 + index % 50
        trades.append(
            ClosedTrade(
                setup_id=f"L{index}",
                strategy_id="Confluence-1",
                instrument_id=COINS[index % len(COINS)],
                side="long" if index % 2 else "short",
                entry_ts_ns=entry_ns,
                exit_ts_ns=entry_ns + int(held_secs * 1e9),
                entry_price=f"{price:.2f}",
                exit_price=f"{price * (1 + r / 100):.4f}",
                qty="10",
                pnl=f"{10 * price / 100 * r:.8f}",
                fees=f"{10 * price * 0.0011:.8f}",
                dust_qty="0",
                r_multiple=r,
                mae_r=-abs(r) / 2,
                mfe_r=abs(r),
                exit_reason=REASONS[index % len(REASONS)],
                stop_price=f"{price * 0.99:.2f}",
                target_price=f"{price * 1.02:.2f}",
                zone_id=index,
                zone_low=price * 0.99,
                zone_high=price * 1.02,
                tainted=index % 400 == 0,
                entry_bucket_seq=100,
                exit_bucket_seq=160,
                held_secs=held_secs,
                entry_decision_price=f"{price:.2f}",
                exit_decision_price=f"{price:.2f}",
                entry_slippage="0",
                exit_slippage=f"{rng.exponential(0.2):.8f}",
                entry_slippage_bps=0.0,
                exit_slippage_bps=float(rng.exponential(2.0)),
                market_exit_value=f"{10 * price:.2f}",
            )
        )
    return sorted(trades, key=lambda one: one.exit_ts_ns)


def made_up_signals(trades: list[ClosedTrade], seed: int = 2) -> list[Decision]:
    """Return the signal of each trade, with its score and factors."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(60, 101, len(trades)) / 100
    has = rng.random((len(trades), len(FACTORS))) < 0.5
    return [
        Decision(
            ts_ns=one.entry_ts_ns,
            strategy_id=one.strategy_id,
            instrument_id=one.instrument_id,
            kind="signal_taken",
            zone_id=one.zone_id,
            detail={
                "confidence": float(score),
                **{f"factor_{name}": float(is_there) for name, is_there in zip(FACTORS, row, strict=True)},
            },
        )
        for one, score, row in zip(trades, scores.tolist(), has.tolist(), strict=True)
    ]


def made_up_marks(trades: list[ClosedTrade], days: int) -> list[tuple[int, float]]:
    """Return the equity every five minutes: the balance and the profits so far."""
    times = START_NS + np.arange(1, days * DAY_NS // MARK_NS + 1) * MARK_NS
    profits = np.cumsum([0.0, *(float(one.pnl) for one in trades)])
    done = np.searchsorted([one.exit_ts_ns for one in trades], times, side="right")
    return list(zip(times.tolist(), (float(BALANCE) + profits[done]).tolist(), strict=True))


def made_up_charts(trades: list[ClosedTrade], count: int) -> list[DrawnTrade]:
    """Return some trades with 260 buckets around each."""
    rows = np.zeros(260, PACKET_DTYPE)
    rows["seq"] = np.arange(260)
    rows["ts_close_ns"] = START_NS + np.arange(260) * 10**9
    walk = 100 + np.cumsum(np.random.default_rng(3).normal(0, 0.05, 260))
    rows["open"], rows["close"] = walk, np.roll(walk, -1)
    rows["high"] = np.maximum(rows["open"], rows["close"]) + 0.02
    rows["low"] = np.minimum(rows["open"], rows["close"]) - 0.02
    chosen = np.linspace(0, len(trades) - 1, count).astype(int).tolist()
    return [drawn_trade(index + 1, trades[index], rows, (0.618, 0.705, 0.79)) for index in chosen]


def report_of(
    trades: list[ClosedTrade],
    signals: list[Decision],
    marks: list[tuple[int, float]],
    drawn: list[DrawnTrade],
) -> str:
    """Do what a run does after the engine; return the page."""
    figures = run_figures(trades, marks, BALANCE)
    figures |= signal_figures(trades, signals, {"signals": len(signals) * 3, "signals_taken": len(signals)})
    summary = {**json.loads(json.dumps(figures, default=float)), **facts(marks)}
    return render(Report(summary, trades, marks, drawn, "catalog: var/catalog\n" * 200))


def facts(marks: list[tuple[int, float]]) -> dict[str, Any]:
    """Return what a summary says beside the figures."""
    return {
        "run_id": "made-up",
        "strategy": "confluence",
        "instruments": COINS,
        "start": "2025-01-01T00:00:00Z",
        "end": "2026-01-01T00:00:00Z",
        "synthetic": True,
        "ticks": 1_000_000,
        "buckets": 0,
        "zones": 0,
        "zones_skipped": {},
        "entries_submitted": 20_000,
        "entries_filled": 10_000,
        "entries_cancelled_by_model": 0,
        "currency": "USDT",
        "starting_balance": float(BALANCE),
        "final_balance": marks[-1][1],
        "total_return_pct": (marks[-1][1] / float(BALANCE) - 1) * 100,
        "open_positions": [],
        "data": "bars",
        "fills": {
            "latency_ms": 50.0,
            "fees": {name: {"maker": "0.0002", "taker": "0.0005"} for name in COINS},
        },
        "decision_sha256": "0" * 64,
        "engine_ticks_per_s": 1e5,
        "wall_s": 1.0,
        "peak_rss_mb": 1.0,
    }


def main() -> int:
    """Measure, check the page, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--charts", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the page here")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    trades = made_up_trades(arguments.trades, arguments.days)
    signals, marks = made_up_signals(trades), made_up_marks(trades, arguments.days)
    drawn = made_up_charts(trades, arguments.charts)
    seconds = []
    page = ""
    for _ in range(arguments.repeat):
        started_s = time.perf_counter()
        page = report_of(trades, signals, marks, drawn)
        seconds.append(time.perf_counter() - started_s)
    size = len(page.encode())
    assert size <= SIZE_LIMIT, f"the page has {size:,} bytes"
    assert f"{len(trades):,}</b><span>closed trades" in page
    if arguments.keep:
        arguments.keep.write_text(page, encoding="utf-8")
    figures = {"trades": len(trades), "marks": len(marks), "report_s": min(seconds), "html_bytes": size}
    if arguments.json:
        print(json.dumps(figures))
    else:
        print(
            f"{len(trades):,} trades, {len(marks):,} marks: {min(seconds):.2f} s, {size / 1e6:.2f} MB "
            f"({page.count('<figure')} charts)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
