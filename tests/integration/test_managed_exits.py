"""Each exit rule on hand-made bars in a real engine: the reason and the price, for both sides.

A long enters at the open of the second bar at 1.5000 with stop 1.4800 and target 1.6000; a short is its
mirror. What rests at the venue acts inside a bar, the rules at its close; what these send fills at the next
open.
"""

from decimal import Decimal

import pytest

from strategies.protection import VENUES
from strategies.trade_manager.management import ManagementRules, rules_of
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.record import ClosedTrade
from tests.integration.bar_harness import ManagedStrategy, Row, managed_trade
from tests.integration.engine_harness import AccountName

D = Decimal
LONG = EntryPlan(1, D("1.5"), D("1.48"), D("1.6"), D(100), 1, 1.48, 1.6, entry_kind="market")
SHORT = EntryPlan(-1, D("1.5"), D("1.52"), D("1.4"), D(100), 1, 1.4, 1.52, entry_kind="market")
FLAT: Row = (1.50, 1.50, 1.50, 1.50)
S0, S1 = rules_of("s0"), rules_of("s1")
QUICK = rules_of("s0", time_exit_mins=10.0)
QUICK_S1 = rules_of("s1", time_exit_mins=10.0)
MOMENTUM = rules_of("s0", trail_from_pct=0.0, break_even_from_pct=0.0)

# Rules, bars after the signal's (open, high, low, close), RSI of the last of them -> exit reason and price.
EXITS: dict[str, tuple[ManagementRules, list[Row], float, str, str]] = {
    "the target": (S0, [(1.50, 1.61, 1.49, 1.60)], 50, "target", "1.6"),
    "the stop": (S0, [(1.50, 1.51, 1.47, 1.49)], 50, "stop", "1.48"),
    "both in one bar: the stop": (S0, [(1.50, 1.61, 1.47, 1.60)], 50, "stop", "1.48"),
    "a gap over the stop: the open": (S0, [FLAT, (1.46, 1.62, 1.45, 1.61)], 50, "stop", "1.46"),
    "a gap over the target: its price": (S0, [FLAT, (1.62, 1.63, 1.40, 1.50)], 50, "target", "1.6"),
    "s0 break-even from 30 %": (
        S0,
        [(1.50, 1.535, 1.495, 1.53), (1.53, 1.53, 1.49, 1.51)],
        50,
        "break_even",
        "1.5",
    ),
    "s1 does not at 30 %": (S1, [(1.50, 1.535, 1.495, 1.53), (1.53, 1.53, 1.47, 1.51)], 50, "stop", "1.48"),
    "a wick to 30 % moves nothing": (
        S0,
        [(1.50, 1.54, 1.495, 1.51), (1.51, 1.53, 1.47, 1.51)],
        50,
        "stop",
        "1.48",
    ),
    "a gap over the stop at the entry": (
        S0,
        [(1.50, 1.535, 1.495, 1.53), (1.53,) * 4, (1.49, 1.53, 1.47, 1.51)],
        50,
        "break_even",
        "1.49",
    ),
    "a gap over it before the move arrives: refused, the first stop stays": (
        S0,
        [(1.50, 1.535, 1.495, 1.53), (1.49, 1.53, 1.47, 1.51)],
        50,
        "stop",
        "1.48",
    ),
    "trailing at 30 % of the best close": (
        S0,
        [(1.50, 1.56, 1.50, 1.55), (1.55, 1.585, 1.545, 1.58), (1.58, 1.59, 1.55, 1.57)],
        50,
        "trailing",
        "1.556",
    ),
    "trailing stop and target in one bar: the stop": (
        S0,
        [(1.50, 1.56, 1.50, 1.55), (1.55, 1.61, 1.53, 1.60)],
        50,
        "trailing",
        "1.535",
    ),
    "s1 trails from 50 % as well": (
        S1,
        [(1.50, 1.56, 1.50, 1.55), (1.55, 1.56, 1.53, 1.54)],
        50,
        "trailing",
        "1.535",
    ),
    "age, in profit: the next open": (
        QUICK,
        [FLAT, (1.50, 1.52, 1.49, 1.51), (1.515,) * 4],
        50,
        "time",
        "1.515",
    ),
    "age, 15 % behind": (
        QUICK,
        [FLAT, (1.50, 1.52, 1.484, 1.485), (1.486,) * 4],
        50,
        "time_small_loss",
        "1.486",
    ),
    "age, 20 % behind waits for the stop": (
        rules_of("s0", time_exit_mins=5.0),
        [(1.50, 1.50, 1.4801, 1.4801), (1.4801, 1.49, 1.475, 1.49)],
        50,
        "time_small_loss",
        "1.4801",
    ),
    "s1 age, in profit": (QUICK_S1, [FLAT, (1.50, 1.52, 1.49, 1.51), (1.515,) * 4], 50, "time", "1.515"),
    "momentum": (
        MOMENTUM,
        [(1.50, 1.59, 1.50, 1.56), (1.558,) * 4],
        80,
        "momentum",
        "1.558",
    ),
    "no momentum exit without the RSI": (
        MOMENTUM,
        [(1.50, 1.59, 1.50, 1.56), (1.558, 1.558, 1.47, 1.5)],
        50,
        "stop",
        "1.48",
    ),
}


def mirrored(row: Row) -> Row:
    """Return a bar turned over at 1.50."""
    opened, high, low, close = (round(3.0 - price, 4) for price in row)
    return opened, low, high, close


def the_trade(strategy: ManagedStrategy) -> ClosedTrade:
    """Return the one trade; nothing went wrong on the way."""
    assert not strategy.is_halted
    assert strategy.counters["illegal_transitions"] == 0
    (trade,) = strategy.trades
    return trade


@pytest.mark.parametrize("name", EXITS)
@pytest.mark.parametrize("side", ["long", "short"])
def test_an_exit_has_its_reason_and_price(name: str, side: str) -> None:
    """For a short everything mirrored at 1.50, the RSI at 50."""
    rules, rows, rsi, reason, price = EXITS[name]
    all_rows = [FLAT, *rows, (rows[-1][3],) * 4]
    is_long = side == "long"
    rsis = [rsi if is_long else 100 - rsi] * len(all_rows)
    strategy = managed_trade(
        all_rows if is_long else [mirrored(row) for row in all_rows],
        LONG if is_long else SHORT,
        rules,
        rsi=rsis,
    )
    trade = the_trade(strategy)
    expected = D(price) if is_long else 3 - D(price)
    assert (trade.exit_reason, D(trade.exit_price)) == (reason, expected)
    assert trade.mae_price <= 0 <= trade.mfe_price
    assert D(trade.stop_price) == (D("1.48") if is_long else D("1.52")), "R stays that of the first stop"


def test_a_manual_close_is_named_so() -> None:
    """Whoever closes by hand fills at the next open."""
    strategy = managed_trade([FLAT, FLAT, FLAT, (1.51,) * 4, FLAT], LONG, S0, manual_close_at=2)
    trade = the_trade(strategy)
    assert (trade.exit_reason, trade.exit_price) == ("manual", "1.51")


def test_excursions_and_r_are_those_of_the_bars() -> None:
    """Entered at an open: that bar counts whole; the bar of the exit adds its fill alone."""
    rows: list[Row] = [FLAT, (1.50, 1.515, 1.49, 1.51), (1.51, 1.60, 1.47, 1.59), (1.59,) * 4]
    trade = the_trade(managed_trade(rows, LONG, S0))
    assert trade.exit_reason == "stop"
    assert trade.mfe_price == pytest.approx(0.015)
    assert trade.mae_price == pytest.approx(-0.02)
    assert trade.mfe_r == pytest.approx(0.75)
    assert trade.mae_r == pytest.approx(-1.0)
    fees = (1.50 + 1.48) * 100 * 0.0005
    assert trade.r_multiple == pytest.approx((-0.02 * 100 - fees) / (0.02 * 100), abs=1e-4)


@pytest.mark.parametrize(
    ("venue", "account", "expected"),
    [
        ("BINANCE", "margin", ["stop_placed", "target_placed", "stop_to_break_even", "stop_placed"]),
        ("BINANCE", "cash", ["stop_placed", "stop_to_break_even", "stop_placed"]),
        ("BYBIT", "margin", ["stop_placed", "target_placed", "stop_to_break_even", "stop_moved"]),
        ("BYBIT", "cash", ["stop_placed", "stop_to_break_even", "stop_moved"]),
    ],
)
def test_the_moved_stop_rests_at_the_venue(venue: str, account: AccountName, expected: list[str]) -> None:
    """Replaced, or modified in place where the venue can; then it fills there."""
    rows: list[Row] = [
        FLAT,
        (1.50, 1.535, 1.495, 1.53),
        (1.53, 1.535, 1.52, 1.53),
        (1.53, 1.53, 1.49, 1.4995),
    ]
    strategy = managed_trade([*rows, (1.4995,) * 4], LONG, S0, account=account, venue=VENUES[venue, account])
    words = [decision.reason for decision in strategy.decisions if decision.kind == "protection"]
    assert words == expected
    assert the_trade(strategy).exit_reason == "break_even"


def test_a_spot_stop_whose_limit_a_gap_jumped_over_leaves_at_the_next_open() -> None:
    """The stop-limit triggers and rests above the market; the close shows it and that is enough."""
    rows: list[Row] = [FLAT, FLAT, (1.40, 1.42, 1.38, 1.40), (1.39, 1.40, 1.37, 1.38), (1.30,) * 4]
    trade = the_trade(managed_trade(rows, LONG, S0, account="cash"))
    assert (trade.exit_reason, trade.exit_price) == ("stop", "1.39")
