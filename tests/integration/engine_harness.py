"""A real BacktestEngine for hand-made trades, and a strategy that checks itself after every event.

Time runs in steps of 10 ms, one trade each. The strategy's buckets and structure are scripted: every trade
closes one bucket, and a test says at which trade which structure events become known. Everything behind that
(zones, plan, orders, fills, protection) is the real thing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import FillModel, LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT, XRP
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair, Instrument
from nautilus_trader.model.objects import Money, Price, Quantity

from indicators.events import EVENT_DTYPE, EventKind, Scope
from indicators.snapshot import SNAPSHOT_DTYPE
from packet_builder.builder import Counters
from packet_builder.packet import PACKET_DTYPE
from runtime.fees import VenueFeeModel
from runtime.node_config import venue_configs
from runtime.settings import BacktestSettings
from strategies.ote import OteConfig, OteStrategy
from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import Leg, OrderStage
from tests.integration.journal_check import check_journal, journal_of

START_NS = 1_773_792_000_000_000_000
STEP_NS = 10_000_000
TICK, LOT = Decimal("0.0001"), Decimal("0.1")
MAKER, TAKER = Decimal("0.0002"), Decimal("0.0005")

type AccountName = Literal["cash", "margin"]
type Trade = tuple[float, float, str]
"""Price, size, and who took: ``b`` a buyer, ``s`` a seller."""


def instrument_of(account: AccountName, min_notional: int = 5) -> Instrument:
    """Return XRPUSDT as a spot pair or as a perpetual, tick 0.0001, lot 0.1."""
    common: dict[str, Any] = {
        "base_currency": XRP,
        "quote_currency": USDT,
        "price_precision": 4,
        "size_precision": 1,
        "price_increment": Price(TICK, 4),
        "size_increment": Quantity(LOT, 1),
        "min_quantity": Quantity(LOT, 1),
        "min_notional": Money(min_notional, USDT),
        "margin_init": Decimal("0.05"),
        "margin_maint": Decimal("0.025"),
        "maker_fee": MAKER,
        "taker_fee": TAKER,
        "ts_event": 0,
        "ts_init": 0,
    }
    if account == "cash":
        return CurrencyPair(
            instrument_id=InstrumentId.from_str("XRPUSDT.BINANCE"), raw_symbol=Symbol("XRPUSDT"), **common
        )
    return CryptoPerpetual(
        instrument_id=InstrumentId.from_str("XRPUSDT-PERP.BINANCE"),
        raw_symbol=Symbol("XRPUSDT"),
        settlement_currency=USDT,
        is_inverse=False,
        **common,
    )


def ticks_of(instrument: Instrument, trades: Sequence[Trade], step_ns: int = STEP_NS) -> list[TradeTick]:
    """Return hand-made trades as Nautilus ticks, one per step, ids from 1."""
    sides = {"b": AggressorSide.BUYER, "s": AggressorSide.SELLER}
    return [
        TradeTick(
            instrument.id,
            instrument.make_price(price),
            instrument.make_qty(size),
            sides[side],
            TradeId(str(number + 1)),
            START_NS + number * step_ns,
            START_NS + number * step_ns,
        )
        for number, (price, size, side) in enumerate(trades)
    ]


def event(
    kind: EventKind,
    *,
    direction: int = 1,
    low: float = 0.0,
    high: float = 0.0,
    zone: int = 0,
    scope: Scope = Scope.EXTERNAL,
    event_id: int | None = None,
) -> tuple[Any, ...]:
    """Return one structure event of a dealing range as a row; the sweet spot is at 0.705."""
    row = np.zeros((), EVENT_DTYPE)
    row["kind"], row["direction"], row["scope"] = kind, direction, scope
    row["low"], row["high"] = low, high
    leg = high - low
    row["level"] = high - 0.705 * leg if direction > 0 else low + 0.705 * leg
    is_formed = kind == EventKind.RANGE_FORMED
    row["event_id"] = zone if is_formed else (1000 if event_id is None else event_id)
    row["ref_id"] = -1 if is_formed else zone
    row["known_ts_ns"] = START_NS
    return tuple(row.tolist())


class ScriptedPerception:
    """Stands in for the bucket builder and the structure engine: one bucket per trade, events by script.

    Parameters
    ----------
    script
        Trade number -> rows of events known when its bucket closes.
    tainted
        Numbers of the buckets in which trades are missing.
    """

    def __init__(self, script: dict[int, list[tuple[Any, ...]]], tainted: Iterable[int] = ()) -> None:
        self.script = script
        self.tainted = set(tainted)
        self.number = -1
        self.closed = np.zeros(1, PACKET_DTYPE)
        self.is_tainted = False
        self.counters = Counters(packets=0, missing_ids=0, dropped_ids=0, ignored_sizes=0)
        self.snapshot = None
        self.snapshot_bytes = memoryview(bytes(SNAPSHOT_DTYPE.itemsize))  # before the first bar

    def push(self, ts_ns: int, price: float, size: float, is_buyer: bool, trade_id: int) -> int:
        """Close one bucket of this trade."""
        del is_buyer, trade_id
        self.number += 1
        row = self.closed[0]
        row["seq"], row["ts_open_ns"], row["ts_close_ns"] = self.number, ts_ns, ts_ns
        for name in ("open", "high", "low", "close"):
            row[name] = price
        row["total_qty"] = size
        row["is_tainted"] = self.number in self.tainted
        return 1

    def update(self, *_bar: Any) -> np.ndarray[Any, Any]:
        """Return the scripted events of this bucket."""
        return np.array(self.script.get(self.number, []), EVENT_DTYPE)


class CheckedStrategy(OteStrategy):
    """`OteStrategy` that checks after every event and every trade that position and protection agree.

    In flight means: sent to the venue and not answered. While nothing of the exits is in flight, stop (and on
    margin target) can fill exactly the position. Every unit of the position is covered by a working stop or a
    market exit at some time in every window of ``unprotected_limit_ns``. And on a cash account everything
    that could still sell is never more than what is held.
    """

    def __init__(self, config: OteConfig, perception: ScriptedPerception | None, limit_ns: int) -> None:
        super().__init__(config)
        self.perception = perception
        self.unprotected_limit_ns = limit_ns
        self.cover: deque[tuple[int, Decimal, Decimal]] = deque()
        self.longest_unprotected_ns = 0
        self._short_since_ns: int | None = None
        self.checks = 0
        self.stages: list[Stage] = []
        self.decisions: list[Any] = []
        self.trades: list[Any] = []
        self.on_trade_hook: Callable[[int, CheckedStrategy], None] | None = None

    def on_start(self) -> None:
        """Start, and listen to what the strategy publishes."""
        self.msgbus.subscribe(topic="decisions.*", handler=self.decisions.append)
        self.msgbus.subscribe(topic="trades.*", handler=self.trades.append)
        super().on_start()

    def build_perception(self) -> None:
        """Put the script in place of buckets and structure."""
        if self.perception is None:
            super().build_perception()
            return
        self.builder = self.perception
        self.structure = self.perception
        self._push = self.perception.push
        self._update_structure = self.perception.update

    def make_trade_handler(self) -> Callable[[TradeTick], None]:
        """Trade, then check."""
        take_trade = super().make_trade_handler()

        def take_and_check(tick: TradeTick) -> None:
            take_trade(tick)
            self.check_against_cache()
            self.check(tick.ts_event)
            if self.on_trade_hook is not None:
                assert self.perception is not None
                self.on_trade_hook(self.perception.number, self)

        return take_and_check

    def on_order_event(self, event: Any) -> None:
        """Handle, then check."""
        super().on_order_event(event)
        self.check(self.clock.timestamp_ns())

    def on_position_event(self, event: Any) -> None:
        """Compare the position that Nautilus keeps with our own account of it."""
        if self.venue.reduce_only:
            self.check_against_cache()

    def check_against_cache(self) -> None:
        """Assert that our ledger and Nautilus' position (on spot: the coins in the account) are equal.

        On spot Nautilus rounds the position to whole lots; the balance is exact.
        """
        if self.venue.reduce_only:
            positions = self.cache.positions_open(instrument_id=self.instrument_id)
            actual = sum((Decimal(str(p.signed_decimal_qty())) for p in positions), Decimal(0))
        else:
            coins = self.cache.accounts()[0].balance_total(XRP)
            actual = Decimal(0) if coins is None else coins.as_decimal()
        setup = self.setup
        own = Decimal(0)
        if setup is not None and not setup.is_closed:
            own = setup.position_qty * setup.plan.direction
        elif self._dust_qty:
            own = self._dust_qty
        assert actual == own, f"position {actual}, ledger {own}"

    def check(self, now_ns: int) -> None:
        """Assert the invariants."""
        self.checks += 1
        setup = self.setup
        if setup is None:
            return
        if not self.stages or self.stages[-1] is not setup.stage:
            self.stages.append(setup.stage)
        exits = [o for o in setup.orders.values() if o.leg is not Leg.ENTRY and o.is_alive]
        wanted = setup.exitable_qty if setup.is_in_position else Decimal(0)
        if not self.venue.reduce_only:
            at_risk = sum((o.leaves_qty for o in exits), Decimal(0))
            assert at_risk <= setup.position_qty, f"{at_risk} could be sold of {setup.position_qty}"
            assert len(exits) <= 1, "a cash account has one exit at a time"

        covering = [o for o in exits if o.leg in (Leg.STOP, Leg.EXIT) and o.stage is not OrderStage.SENT]
        covered = max((o.leaves_qty for o in covering), default=Decimal(0))
        is_target_leaving = any(o.leg is Leg.TARGET and o.stage is not OrderStage.SENT for o in exits)
        if not self.venue.reduce_only and is_target_leaving:
            covered = wanted  # sold at the target, or at market when the time for that is over
        self.measure_protection(now_ns, wanted, covered)
        is_queued = bool(self._queue)
        if is_queued or any(o.is_in_flight for o in exits) or setup._wait_until_ns:
            return
        if setup.stage in (Stage.PARTIAL, Stage.PROTECTED):
            legs = (
                [Leg.STOP, Leg.TARGET] if self.venue.target_rests and not setup._watch_target else [Leg.STOP]
            )
            for leg in legs:
                alive = [o.leaves_qty for o in exits if o.leg is leg]
                assert alive == ([wanted] if wanted else []), f"{leg.name} {alive} for a position of {wanted}"

    def measure_protection(self, now_ns: int, wanted: Decimal, covered: Decimal) -> None:
        """Assert that what was held all through the window was covered at some time in it."""
        if covered < wanted:
            since = self._short_since_ns = now_ns if self._short_since_ns is None else self._short_since_ns
            self.longest_unprotected_ns = max(self.longest_unprotected_ns, now_ns - since)
        else:
            self._short_since_ns = None
        self.cover.append((now_ns, wanted, covered))
        start_ns = now_ns - self.unprotected_limit_ns
        if self.cover[0][0] > start_ns:
            return
        while len(self.cover) > 1 and self.cover[1][0] <= start_ns:
            self.cover.popleft()
        held = min(wanted for _ns, wanted, _covered in self.cover)
        most_covered = max(covered for _ns, _wanted, covered in self.cover)
        assert most_covered >= held, f"{held} held, {most_covered} covered for {self.unprotected_limit_ns} ns"


@dataclass
class Run:
    """What one engine run left behind."""

    strategy: CheckedStrategy
    orders: list[Any]
    balance: Decimal
    coins: Decimal
    open_positions: int
    decisions: list[Any] = field(default_factory=list)
    trades: list[Any] = field(default_factory=list)

    def kinds(self, kind: str) -> list[Any]:
        """Return the decisions of one kind."""
        return [one for one in self.decisions if one.kind == kind]


def run(
    trades: Sequence[Trade],
    script: dict[int, list[tuple[Any, ...]]] | None,
    *,
    account: AccountName = "margin",
    latency_ms: int = 0,
    tainted: Iterable[int] = (),
    balance: int = 10_000,
    min_notional: int = 5,
    step_ns: int = STEP_NS,
    unprotected_limit_ns: int | None = None,
    hook: Callable[[int, CheckedStrategy], None] | None = None,
    market_order_acks: bool | None = None,
    prepare: Callable[[BacktestEngine], None] | None = None,
    **settings: Any,
) -> Run:
    """Run hand-made trades through the engine with honest fills and return what happened.

    Parameters
    ----------
    trades
        One per step.
    script
        Structure events by trade number; None for real buckets and structure.
    account
        Spot cash or margin.
    latency_ms
        Of every command.
    tainted
        Buckets with missing trades.
    balance, min_notional
        USDT.
    step_ns
        Time between trades.
    unprotected_limit_ns
        Longest time that a part of the position may be without a working stop; by default a replacement
        that was overtaken once (four commands) and a few trades.
    hook
        Called after every trade with its number and the strategy.
    market_order_acks
        None as in backtests. Without it the simulated venue forgets a market order that comes right after
        a fill ate the print.
    prepare
        Called with the engine before it runs, for further actors.
    settings
        Fields of `OteConfig`.
    """
    instrument = instrument_of(account, min_notional)
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    # Whatever a backtest of a user is simulated with, these tests must be too.
    (venue,) = venue_configs([instrument], BacktestSettings())
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH if account == "cash" else AccountType.MARGIN,
        starting_balances=[Money(balance, USDT)],
        default_leverage=Decimal(1 if account == "cash" else 10),
        fill_model=FillModel(),
        fee_model=VenueFeeModel(),
        latency_model=LatencyModel(base_latency_nanos=latency_ms * 1_000_000),
        bar_execution=venue.bar_execution,
        liquidity_consumption=venue.liquidity_consumption,
        queue_position=venue.queue_position,
        support_contingent_orders=venue.support_contingent_orders,
        use_market_order_acks=venue.use_market_order_acks if market_order_acks is None else market_order_acks,
    )
    engine.add_instrument(instrument)
    engine.add_data(ticks_of(instrument, trades, step_ns))
    perception = None if script is None else ScriptedPerception(script, tainted)
    if unprotected_limit_ns is None:
        unprotected_limit_ns = 4 * latency_ms * 1_000_000 + 4 * step_ns
    strategy = CheckedStrategy(
        OteConfig(instrument_id=instrument.id, **settings), perception, unprotected_limit_ns
    )
    strategy.on_trade_hook = hook
    engine.add_strategy(strategy)
    journal = journal_of(engine)
    if prepare is not None:
        prepare(engine)
    engine.run()
    check_journal(journal, engine.cache, strategy.trades)
    account_state = engine.cache.accounts()[0]
    coins = account_state.balance_total(XRP)
    result = Run(
        strategy=strategy,
        orders=engine.cache.orders(),
        balance=account_state.balance_total(USDT).as_decimal(),
        coins=Decimal(0) if coins is None else coins.as_decimal(),
        open_positions=len(engine.cache.positions_open()),
        decisions=strategy.decisions,
        trades=strategy.trades,
    )
    engine.dispose()
    return result
