"""Execution on bars in a real engine: the tables say which order a bar fills, and at which price."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.trading.strategy import Strategy

from runtime.bar_venue import BarStore
from tests.integration.bar_harness import BAR_NS, LATENCY_NS, Row, bars_of, run_bars, run_engine
from tests.integration.engine_harness import START_NS, instrument_of

FLAT: Row = (1.50, 1.50, 1.50, 1.50)


@dataclass
class Fill:
    """What an order of the test strategy got."""

    leg: str
    price: float
    after_ns: int


@dataclass
class Intent:
    """One trade: direction, stop, target, and the limit of the entry (None: at market)."""

    direction: int
    stop: float
    target: float
    limit: float | None = None
    fills: list[Fill] = field(default_factory=list)


class OneTrade(Strategy):
    """Enters at the close of the first bar, and protects itself when the entry fills."""

    def __init__(self, instrument: Instrument, intent: Intent) -> None:
        super().__init__(StrategyConfig())
        self.instrument, self.intent = instrument, intent
        self.bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
        self.has_entered = False

    def on_start(self) -> None:
        self.subscribe_bars(self.bar_type)

    def on_bar(self, _bar: Bar) -> None:
        if self.has_entered:
            return
        self.has_entered = True
        common = {"instrument_id": self.instrument.id, "quantity": self.instrument.make_qty(100)}
        side = OrderSide.BUY if self.intent.direction > 0 else OrderSide.SELL
        if self.intent.limit is None:
            order = self.order_factory.market(order_side=side, tags=["entry"], **common)
        else:
            price = self.instrument.make_price(self.intent.limit)
            order = self.order_factory.limit(order_side=side, price=price, tags=["entry"], **common)
        self.submit_order(order)

    def on_order_filled(self, event: Any) -> None:
        order = self.cache.order(event.client_order_id)
        leg = order.tags[0]
        self.intent.fills.append(Fill(leg, float(event.last_px), event.ts_event - START_NS))
        if leg != "entry":
            self.cancel_all_orders(self.instrument.id)
            return
        make, side = (
            self.instrument.make_price,
            OrderSide.SELL if self.intent.direction > 0 else OrderSide.BUY,
        )
        common = {
            "instrument_id": self.instrument.id,
            "quantity": event.last_qty,
            "order_side": side,
            "reduce_only": True,
        }
        stop, target = make(self.intent.stop), make(self.intent.target)
        self.submit_order(self.order_factory.stop_market(trigger_price=stop, tags=["stop"], **common))
        self.submit_order(self.order_factory.limit(price=target, tags=["target"], **common))


def trade(rows: Sequence[Row], intent: Intent, slippage_ticks: int = 0) -> list[Fill]:
    """Run hand-made bars through the engine and return the fills of the trade."""
    instrument = instrument_of("margin")
    run_bars(rows, OneTrade(instrument, intent), instrument, slippage_ticks=slippage_ticks)
    return intent.fills


# Bars after the one whose close sends the entry -> entry price, exit leg and price.
# Long, stop 1.45, target 1.55.
LONG_BARS: dict[str, tuple[list[Row], float, tuple[str, float] | None]] = {
    "stop and target in one bar: the stop": ([FLAT, (1.50, 1.60, 1.40, 1.58)], 1.50, ("stop", 1.45)),
    "both in the bar of the entry: the stop": ([(1.51, 1.60, 1.40, 1.58)], 1.51, ("stop", 1.45)),
    "only the target's side": ([FLAT, (1.50, 1.60, 1.46, 1.58)], 1.50, ("target", 1.55)),
    "only the stop's side": ([FLAT, (1.50, 1.54, 1.40, 1.42)], 1.50, ("stop", 1.45)),
    "a gap over the stop: at the open": ([FLAT, (1.40, 1.60, 1.38, 1.58)], 1.50, ("stop", 1.40)),
    "a gap over the target: a resting limit keeps its price": (
        [FLAT, (1.57, 1.60, 1.38, 1.58)],
        1.50,
        ("target", 1.55),
    ),
    "the target is only touched": ([FLAT, (1.50, 1.55, 1.49, 1.50)], 1.50, None),
    "the stop is only touched": ([FLAT, (1.50, 1.52, 1.45, 1.50)], 1.50, ("stop", 1.45)),
    "the next open is the entry, not the close": ([(1.53, 1.54, 1.52, 1.53)], 1.53, None),
}


def mirrored(price: float) -> float:
    """Return the price as far on the other side of 1.50."""
    return round(3.0 - price, 4)


@pytest.mark.parametrize("name", LONG_BARS)
@pytest.mark.parametrize("direction", [1, -1])
def test_the_adverse_extreme_comes_first_for_both_sides(name: str, direction: int) -> None:
    """What a long gets in a bar, a short gets in the mirrored one."""
    rows, entry, expected = LONG_BARS[name]
    intent = Intent(direction, 1.45, 1.55)
    turn = (lambda price: price) if direction > 0 else mirrored
    if direction < 0:
        rows = [(turn(o), turn(low), turn(high), turn(c)) for o, high, low, c in rows]
        intent = Intent(-1, turn(1.45), turn(1.55))
    fills = trade([FLAT, *rows, (rows[-1][3],) * 4], intent)
    assert fills[0].leg == "entry"
    assert fills[0].price == pytest.approx(turn(entry))
    assert fills[0].after_ns == BAR_NS + LATENCY_NS, "an order of the close is filled at the next open"
    got = [(fill.leg, fill.price) for fill in fills[1:]]
    assert got == ([] if expected is None else [(expected[0], pytest.approx(turn(expected[1])))])


# Limit entry of a long at 1.48, stop 1.45, target 1.55: bar after the signal -> what fills in it.
LIMIT_BARS: dict[str, tuple[Row, list[tuple[str, float]]]] = {
    "a touch is no fill": ((1.50, 1.60, 1.48, 1.50), []),
    "the high before the entry is not the trade's": ((1.50, 1.60, 1.46, 1.50), [("entry", 1.48)]),
    "on through the stop": ((1.50, 1.60, 1.40, 1.50), [("entry", 1.48), ("stop", 1.45)]),
    "a close beyond the target": ((1.50, 1.60, 1.46, 1.58), [("entry", 1.48), ("target", 1.55)]),
    "an open below the limit": ((1.46, 1.47, 1.455, 1.46), [("entry", 1.46)]),
}


@pytest.mark.parametrize("name", LIMIT_BARS)
def test_a_resting_entry_is_met_last_and_protected_at_once(name: str) -> None:
    """The favourable extreme passes before the entry fills; the stop works in the rest of the same bar."""
    row, expected = LIMIT_BARS[name]
    intent = Intent(1, 1.45, 1.55, limit=1.48)
    fills = trade([FLAT, row], intent)
    assert [(fill.leg, fill.price) for fill in fills] == [(leg, pytest.approx(px)) for leg, px in expected]


def test_slippage_is_measured_from_the_trigger_not_from_the_extreme() -> None:
    """Ten ticks behind the stop's own price, although the bar went on falling."""
    fills = trade(
        [FLAT, FLAT, (1.50, 1.50, 1.20, 1.20), (1.20,) * 4], Intent(1, 1.45, 1.55), slippage_ticks=10
    )
    assert [(fill.leg, fill.price) for fill in fills] == [
        ("entry", pytest.approx(1.501)),
        ("stop", pytest.approx(1.449)),
    ]


# -- many instruments ----------------------------------------------------------------------------------------


class ManyTrades(Strategy):
    """Buys whatever closes up while it holds fewer than three, with a stop and a target at one percent."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(StrategyConfig())
        self.instruments = {one.id: one for one in instruments}
        self.held: set[InstrumentId] = set()
        self.round: dict[InstrumentId, Bar] = {}
        self.log_of_fills: list[tuple[int, str, str, float]] = []

    def on_start(self) -> None:
        for instrument_id in self.instruments:
            self.subscribe_bars(BarType.from_str(f"{instrument_id}-5-MINUTE-LAST-EXTERNAL"))

    def on_bar(self, bar: Bar) -> None:
        if self.round and bar.ts_event != next(iter(self.round.values())).ts_event:
            self.round = {}
        self.round[bar.bar_type.instrument_id] = bar
        if len(self.round) < len(self.instruments):
            return
        for instrument_id in sorted(self.round):
            latest = self.round[instrument_id]
            if latest.close > latest.open and len(self.held) < 3 and instrument_id not in self.held:
                self.held.add(instrument_id)
                instrument = self.instruments[instrument_id]
                self.submit_order(
                    self.order_factory.market(
                        instrument_id, OrderSide.BUY, instrument.make_qty(100), tags=["entry"]
                    )
                )

    def on_order_filled(self, event: Any) -> None:
        order, instrument_id = self.cache.order(event.client_order_id), event.instrument_id
        price = float(event.last_px)
        self.log_of_fills.append((event.ts_event, instrument_id.value, order.tags[0], price))
        if order.tags[0] != "entry":
            self.held.discard(instrument_id)
            self.cancel_all_orders(instrument_id)
            return
        instrument = self.instruments[instrument_id]
        common = {
            "instrument_id": instrument_id,
            "quantity": event.last_qty,
            "order_side": OrderSide.SELL,
            "reduce_only": True,
        }
        stop, target = instrument.make_price(price * 0.99), instrument.make_price(price * 1.01)
        self.submit_order(self.order_factory.stop_market(trigger_price=stop, tags=["stop"], **common))
        self.submit_order(self.order_factory.limit(price=target, tags=["target"], **common))


COINS, BARS = 5, 50


def coins() -> list[Instrument]:
    """Return perpetuals that differ in their names."""
    like = instrument_of("margin")
    fields = type(like).to_dict(like)
    return [
        type(like).from_dict(fields | {"id": f"C{number}USDT-PERP.BINANCE", "raw_symbol": f"C{number}USDT"})
        for number in range(COINS)
    ]


def slices_of(instruments: Sequence[Instrument]) -> list[list[Bar]]:
    """Return random bars, one list per close time."""
    chance = random.Random(5)
    last = dict.fromkeys(range(COINS), 1.5)
    slices = []
    for number in range(BARS):
        bars = []
        for column, instrument in enumerate(instruments):
            opened = last[column]
            closed = opened * (1 + chance.gauss(0, 0.006))
            high = max(opened, closed) * (1 + abs(chance.gauss(0, 0.004)))
            low = min(opened, closed) * (1 - abs(chance.gauss(0, 0.004)))
            last[column] = closed
            close_ns = START_NS + (number + 1) * BAR_NS
            prices = (instrument.make_price(price) for price in (opened, high, low, closed))
            bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
            bars.append(Bar(bar_type, *prices, instrument.make_qty(100_000), close_ns, close_ns))
        slices.append(bars)
    return slices


def fills_of(chunks: Sequence[list[Bar]]) -> list[tuple[int, str, str, float]]:
    """Return the fills of a run over chunks."""
    strategy = ManyTrades(coins())
    run_engine(chunks, [strategy], coins())
    return strategy.log_of_fills


def test_neither_the_order_of_coins_nor_chunks_change_a_fill() -> None:
    """Equal close times in any order, streamed in chunks or whole: the same fills at the same prices."""
    slices = slices_of(coins())
    whole = fills_of([[bar for bars in slices for bar in bars]])
    assert {leg for _ts, _coin, leg, _price in whole} == {"entry", "stop", "target"}
    assert len(whole) > 40
    chance = random.Random(1)
    for bars in slices:
        chance.shuffle(bars)
    assert fills_of([[bar for bars in slices for bar in bars]]) == whole
    chunks = [[bar for bars in slices[start : start + 13] for bar in bars] for start in range(0, BARS, 13)]
    assert fills_of(chunks) == whole


class LateTrade(OneTrade):
    """Sends its entry from a timer after the close, as one does that waited for missing bars."""

    def on_bar(self, bar: Bar) -> None:
        if not self.has_entered:
            self.has_entered = True
            for seconds in (2, 4):
                self.clock.set_time_alert_ns(
                    f"after {seconds} s", bar.ts_event + seconds * 1_000_000_000, self.on_alert
                )

    def on_alert(self, event: Any) -> None:
        if event.name == "after 2 s":
            self.has_entered = False
            super().on_bar(None)  # type: ignore[arg-type]


def test_an_order_of_a_timer_fills_at_the_open_of_the_bar_it_falls_into() -> None:
    """The next timer lets the venue work before the bar is walked: it must not meet the last close."""
    instrument = instrument_of("margin")
    intent = Intent(1, 1.45, 1.65)
    run_bars([FLAT, (1.53, 1.60, 1.52, 1.58), FLAT], LateTrade(instrument, intent), instrument)
    assert intent.fills[0].price == pytest.approx(1.53)
    assert BAR_NS + 2_000_000_000 < intent.fills[0].after_ns <= BAR_NS + 4_000_000_000


def test_a_coin_without_a_bar_keeps_its_orders() -> None:
    """Its stop fills at the open of the bar after the gap; nothing is invented in between."""
    instrument = instrument_of("margin")
    intent = Intent(1, 1.45, 1.55)
    rows: list[Row] = [FLAT, FLAT, FLAT, (1.40, 1.42, 1.38, 1.40)]
    strategy = OneTrade(instrument, intent)
    bars = bars_of(instrument, strategy.bar_type, rows)
    run_engine([[bar for number, bar in enumerate(bars) if number != 2]], [strategy], [instrument])
    assert [(fill.leg, fill.price) for fill in intent.fills] == [
        ("entry", pytest.approx(1.50)),
        ("stop", pytest.approx(1.40)),
    ]


def test_the_store_forgets_what_is_over() -> None:
    """One closed bar per instrument remains: a market order into a gap needs its close."""
    instrument = instrument_of("margin")
    bar_type = BarType.from_str(f"{instrument.id}-5-MINUTE-LAST-EXTERNAL")
    bars = bars_of(instrument, bar_type, [FLAT] * 6)
    store = BarStore()
    store.load(bars[:4])
    store.load(bars[4:], now_ns=bars[3].ts_init)
    assert store.at(instrument.id, bars[1].ts_init) is None
    assert store.around(instrument.id, bars[3].ts_init) == (bars[3], bars[4])
    assert store.around(instrument.id, bars[5].ts_init) == (bars[5], None)
