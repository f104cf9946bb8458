"""Limits at the one place that every entry passes, in a real engine; what lessens the risk always passes."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.common.component import TestClock
from nautilus_trader.model.enums import TradingState
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.test_kit.stubs.component import TestComponentStubs

from runtime.live.limit_watch import LimitWatch, read_guards
from runtime.live.limits import (
    LEAST_RATE,
    NO_LIMITS,
    LimitSettings,
    attach_limits,
    limit_entries,
    risk_engine_config,
)
from strategies.breakout import BreakoutConfig, BreakoutStrategy
from strategies.entry_limits import EntryIntent, EntryLimits, LimitRules
from strategies.exposure import notionals
from strategies.guards import LossRules
from tests.integration.bar_harness import run_bars
from tests.integration.engine_harness import instrument_of
from tests.integration.test_bar_strategies import BREAK, EXTERNAL, QUIET, RULES, kept

NOW = 1_773_795_600_000_000_000
NAME = "XRPUSDT-PERP.BINANCE"
CHART = [*QUIET, BREAK, (1.515, 1.60, 1.51, 1.53), (1.53, 1.53, 1.40, 1.41), (1.41,) * 4]


def run(settings: LimitSettings | None) -> tuple[Any, list[Any], list[Any]]:
    """Run the breakout strategy with limits; return it, its decisions, and its trades."""
    instrument = instrument_of("margin")
    strategy = BreakoutStrategy(BreakoutConfig(instrument_id=instrument.id, bar_type=EXTERNAL, **RULES))
    decisions, trades = kept(strategy)
    if settings is not None:
        limit_entries([strategy], settings)
    run_bars(CHART, strategy, instrument)
    return strategy, decisions, trades


LIMITED = {
    "an instrument that is not allowed": {"allowed_instruments": ("ADAUSDT.BINANCE",)},
    "more of a symbol than allowed": {"max_symbol_notional": Decimal(1)},
    "more of this symbol than allowed": {
        "max_symbol_notional": Decimal(10**9),
        "symbol_notionals": {NAME: Decimal(1)},
    },
    "more of the account than allowed": {"max_account_notional": Decimal(1)},
}


@pytest.mark.parametrize("case", LIMITED)
def test_an_entry_beyond_a_limit_never_leaves(case: str) -> None:
    """No order reaches the venue; the journal has the figure that decided, under the reason `risk`."""
    strategy, decisions, trades = run(LimitSettings(**LIMITED[case]))
    refused = [one for one in decisions if one.kind == "entry_refused"]
    assert {one.reason for one in refused} == {"risk"}
    assert refused[0].detail["text"]
    assert {one.reason for one in decisions if one.kind == "entry_rejected"} == {"risk"}
    assert (trades, strategy.cache.orders_total_count()) == ([], 0)
    assert strategy.counters["entries_over_limits"] == len(refused)
    assert strategy.counters["illegal_transitions"] == 0


def test_wide_limits_and_none_decide_alike() -> None:
    """A backtest with limits that nothing reaches decides what one without any decides."""
    wide = LimitSettings(
        max_symbol_notional=Decimal(10**9), max_account_notional=Decimal(10**9), price_band_pct=99.0
    )
    _, without, trades = run(None)
    assert trades
    for settings in (wide, NO_LIMITS):
        _, decisions, same_trades = run(settings)
        assert (decisions, same_trades) == (without, trades)


def test_the_limit_is_where_it_says() -> None:
    """A limit just above the entry lets it out, with all its exits; one just below does not."""
    _, decisions, trades = run(None)
    first = next(one for one in decisions if one.kind == "entry_submitted")
    notional = Decimal(first.qty) * Decimal(first.price)
    _, limited, same = run(LimitSettings(max_symbol_notional=notional * Decimal("1.05")))
    assert not [one for one in limited if one.kind == "entry_refused"]
    assert same == trades
    _, less, none = run(LimitSettings(max_symbol_notional=notional * Decimal("0.95")))
    assert {one.reason for one in less if one.kind == "entry_refused"} == {"risk"}
    assert none == []


# -- the rules themselves ------------------------------------------------------------------------------------


def intent(**facts: Any) -> EntryIntent:
    """Return an entry of 100 at 1.0 in a calm market."""
    plain: dict[str, Any] = {
        "ts_ns": NOW,
        "instrument_id": NAME,
        "qty": Decimal(100),
        "price": Decimal(1),
        "symbol_notional": Decimal(0),
        "account_notional": Decimal(0),
        "last_prices": [1.0, 1.001, 0.999],
    }
    return EntryIntent(**(plain | facts))


BANDS = {
    "an entry 30 % below": ({"price": Decimal("0.7")}, False),
    "a last trade 30 % above": ({"last_prices": [1.3, 1.0, 1.0, 1.0, 1.0]}, False),
    "a mark price elsewhere": ({"mark_price": 1.3}, False),
    "a calm market": ({"mark_price": 1.01}, True),
    "no price known": ({"price": Decimal("nan")}, False),
}


@pytest.mark.parametrize("case", BANDS)
def test_the_price_band_of_entries(case: str) -> None:
    """The entry and the last trade are held against the last trades' median and the mark."""
    facts, passes = BANDS[case]
    skip = EntryLimits(LimitRules(price_band_pct=10.0)).check(intent(**facts))
    assert (skip is None) == passes


def test_the_rate_of_entries_slides() -> None:
    """Two per minute: the third waits until the first is a minute old; refused ones do not count."""
    limits = EntryLimits(LimitRules(max_entries_per_min=2))
    secs = [0, 10, 20, 59, 61, 62]
    passed = [limits.check(intent(ts_ns=NOW + one * 1_000_000_000)) is None for one in secs]
    assert passed == [True, True, False, False, True, False]


def test_a_daily_loss_stops_entries_until_midnight() -> None:
    """The guards that strategies have, asked of the account at the last look."""
    limits = EntryLimits(LimitRules(loss=LossRules(max_daily_loss_pct=5.0)))
    day_ns = 86_400_000_000_000
    assert limits.check(intent(equity=1000.0)) is None
    lost = limits.check(intent(equity=940.0))
    assert lost is not None
    assert "6.00 % lost" in lost.text
    assert limits.check(intent(equity=990.0)) is not None
    assert limits.check(intent(ts_ns=NOW + day_ns, equity=990.0)) is None


def test_an_equity_that_is_no_number_refuses() -> None:
    """A limit that cannot be checked must not pass silently."""
    limits = EntryLimits(LimitRules(loss=LossRules(max_drawdown_pct=5.0)))
    assert limits.check(intent(equity=float("nan"))) is not None


def test_a_closed_gate_refuses_everything_until_it_is_opened() -> None:
    """A kill closes it even before the desks have started."""
    limits = EntryLimits(LimitRules())
    limits.close("killed by anna")
    assert limits.check(intent()) is not None
    limits.reopen(NOW)
    assert limits.check(intent()) is None


# -- Nautilus' engine, and the watch -------------------------------------------------------------------------


def test_the_risk_engine_gets_limits_that_exits_can_live_with() -> None:
    """Rates of at least 100 per second, and a notional that an exit at a higher price stays below."""
    settings = LimitSettings(max_symbol_notional=Decimal(1000), symbol_notionals={NAME: Decimal(50)})
    config = risk_engine_config(settings, [NAME, "ADAUSDT.BINANCE"])
    assert config.max_order_submit_rate == f"{LEAST_RATE}/00:00:01"
    assert config.max_notional_per_order == {NAME: 201, "ADAUSDT.BINANCE": 4001}


WRONG = {
    "negative": {"max_symbol_notional": Decimal(-1)},
    "NaN": {"max_account_notional": Decimal("nan")},
    "no id": {"allowed_instruments": ("XRP",)},
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_must_make_sense(case: str) -> None:
    """The message names the field or the value."""
    with pytest.raises(ValueError, match=r"notional|instrument id"):
        LimitSettings(**WRONG[case])


class WatchedAccount:
    """An account whose equity a test sets, with one desk."""

    def __init__(self, folder: Any, *, shorts: bool = True) -> None:
        self.equity = Decimal(1000)
        instrument_id = InstrumentId.from_str(NAME)
        desk = SimpleNamespace(
            instrument_id=instrument_id,
            instrument=object(),
            market=SimpleNamespace(shorts=shorts),
            account_equity=lambda: self.equity,
            entry_limits=None,
        )
        strategies = [SimpleNamespace(desks=(desk,))]
        self.limits = EntryLimits(LimitRules(loss=LossRules(max_daily_loss_pct=5.0)))
        attach_limits(strategies, self.limits)
        self.states: list[TradingState] = []
        self.sent: list[tuple[str, Any]] = []
        self.watch = LimitWatch(
            self.limits, folder, lambda: strategies, lambda call: call(), self.states.append
        )

        clock, bus = TestClock(), TestComponentStubs.msgbus()
        clock.set_time(NOW)
        self.clock = clock
        for topic in ("hold.entries", "release.entries"):
            bus.subscribe(
                topic=topic, handler=lambda message, topic=topic: self.sent.append((topic, message))
            )
        self.watch.register_base(
            portfolio=TestComponentStubs.portfolio(),
            msgbus=bus,
            cache=TestComponentStubs.cache(),
            clock=clock,
        )
        self.watch.start()


def test_a_loss_holds_the_account_and_the_engine_reduces(tmp_path: Any) -> None:
    """Beyond the limit: held and REDUCING; the next day: released and ACTIVE. Never HALTED."""
    account = WatchedAccount(tmp_path)
    account.watch.look()
    account.equity = Decimal(940)
    account.watch.look()
    account.watch.look()
    assert [topic for topic, _ in account.sent] == ["hold.entries"]
    assert account.sent[0][1].instrument_id == NAME
    account.clock.set_time(NOW + 2 * 86_400_000_000_000)
    account.watch.look()
    assert [topic for topic, _ in account.sent] == ["hold.entries", "release.entries"]
    assert account.states == [TradingState.REDUCING, TradingState.ACTIVE]


def test_a_spot_account_is_held_by_its_desks_alone(tmp_path: Any) -> None:
    """A position that reconciliation invents would make the engine refuse the sells that are its exits."""
    account = WatchedAccount(tmp_path, shorts=False)
    account.watch.look()
    account.equity = Decimal(940)
    account.watch.look()
    assert account.sent
    assert account.states == []


def test_the_days_loss_survives_a_restart(tmp_path: Any) -> None:
    """The equity at midnight is on disk: a restart is no new day."""
    account = WatchedAccount(tmp_path)
    account.watch.look()
    account.watch.stop()
    assert read_guards(tmp_path / "limits.json")["BINANCE"].day_equity == 1000.0
    again = WatchedAccount(tmp_path)
    again.equity = Decimal(940)
    again.watch.look()
    assert [topic for topic, _ in again.sent] == ["hold.entries"]


def test_positions_and_entries_count_and_exits_do_not() -> None:
    """Once filled, with stop and target at the venue, the position alone is what is at work."""
    instrument = instrument_of("margin")
    strategy = BreakoutStrategy(BreakoutConfig(instrument_id=instrument.id, bar_type=EXTERNAL, **RULES))
    seen: list[tuple[Any, int, Decimal]] = []
    start = strategy.on_start

    def on_decision(decision: Any) -> None:
        if decision.kind == "position_closed" or not strategy.cache.positions_open():
            return
        (position,) = strategy.cache.positions_open()
        amount = position.quantity.as_decimal() * strategy.last_price()
        seen.append((notionals(strategy.cache, instrument.id), strategy.cache.orders_open_count(), amount))

    def on_start() -> None:
        start()
        strategy.msgbus.subscribe(topic="events.order.*", handler=on_order)

    def on_order(event: Any) -> None:
        if type(event).__name__ == "OrderAccepted":
            on_decision(SimpleNamespace(kind="accepted"))

    strategy.on_start = on_start
    run_bars(CHART, strategy, instrument)
    protected = [one for one in seen if one[1]]
    assert protected
    for (own, total), _, amount in protected:
        assert own == total == amount
