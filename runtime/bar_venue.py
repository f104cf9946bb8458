"""Execution of backtests on bars: next open for what is sent at a close, adverse extreme first inside.

Nautilus walks every bar as open, high, low, close: in a bar that holds both, the target of a long fills and
the stop of a short. It also lets an order sent at a close wait for the end of the next bar. This module walks
the bars itself, only for instruments that have an order or a position, and keeps the engine's own walk away
from them (docs/decisions/0012-execution-inside-a-bar.md).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, Protocol

from nautilus_trader.backtest.config import SimulationModuleConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.model.data import Bar, BarSpecification, BarType
from nautilus_trader.model.enums import AccountType, BarAggregation, OrderSide, OrderType, PriceType
from nautilus_trader.model.events import OrderEvent, OrderFilled, OrderSubmitted
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price
from nautilus_trader.model.orders import Order

from runtime.bar_path import Extremes, next_level, turning_points
from runtime.bar_share import VolumeShares
from runtime.fees import TakerSlippageModel

# Shorter than any real interval: a matching engine executes on the shortest bars it has seen, no others.
STEP_SPEC: Final = BarSpecification(1, BarAggregation.SECOND, PriceType.LAST)
ORDER_TOPIC: Final = "events.order.*"
# So many bars a market order waits for one with any trade; runs must tell the venue of them in time.
WAIT_BARS: Final = 12


class BarLookup(Protocol):
    """Finds the bars of a run."""

    def at(self, instrument_id: InstrumentId, close_ns: int) -> Bar | None:
        """Return the bar that closes at a time, None when there is none."""

    def around(self, instrument_id: InstrumentId, now_ns: int) -> tuple[Bar | None, Bar | None]:
        """Return the last bar closed at or before a time, and the first one closing after it."""

    def next_traded(self, instrument_id: InstrumentId, now_ns: int, until_ns: int) -> Bar | None:
        """Return the first bar with volume that closes after a time, and until another one."""


class BarStore:
    """The bars of a run by instrument and close time, as the simulated venue looks them up."""

    def __init__(self) -> None:
        self._close_ns: dict[InstrumentId, array[int]] = {}
        self._bars: dict[InstrumentId, list[Bar]] = {}

    def load(self, bars: Iterable[Bar], now_ns: int = 0) -> None:
        """Add bars of the execution interval, and drop those that nothing will ask for again.

        Parameters
        ----------
        bars
            Ascending by close time within each instrument, later than what is here.
        now_ns
            Time of the run, UNIX nanoseconds: of the bars closed before it one per instrument is kept.
        """
        for instrument_id, times in self._close_ns.items():
            gone = bisect_left(times, now_ns) - 1
            if gone > 0:
                del times[:gone]
                del self._bars[instrument_id][:gone]
        for bar in bars:
            instrument_id = bar.bar_type.instrument_id
            if instrument_id not in self._bars:
                self._close_ns[instrument_id] = array("q")
                self._bars[instrument_id] = []
            self._close_ns[instrument_id].append(bar.ts_init)
            self._bars[instrument_id].append(bar)

    def at(self, instrument_id: InstrumentId, close_ns: int) -> Bar | None:
        """Return the bar that closes at a time, None when there is none."""
        times = self._close_ns.get(instrument_id)
        if not times:
            return None
        index = bisect_left(times, close_ns)
        return self._bars[instrument_id][index] if index < len(times) and times[index] == close_ns else None

    def around(self, instrument_id: InstrumentId, now_ns: int) -> tuple[Bar | None, Bar | None]:
        """Return the last bar closed at or before a time, and the first one closing after it."""
        times = self._close_ns.get(instrument_id)
        if not times:
            return None, None
        index = bisect_right(times, now_ns)
        bars = self._bars[instrument_id]
        return (bars[index - 1] if index else None), (bars[index] if index < len(times) else None)

    def next_traded(self, instrument_id: InstrumentId, now_ns: int, until_ns: int) -> Bar | None:
        """Return the first bar with volume that closes after a time, and until another one."""
        times = self._close_ns.get(instrument_id)
        if not times:
            return None
        bars = self._bars[instrument_id][bisect_right(times, now_ns) : bisect_right(times, until_ns)]
        return next((bar for bar in bars if has_traded(bar)), None)


def load_endpoint(venue: str) -> str:
    """Return the message bus endpoint that takes a chunk of bars for a venue's module.

    Examples
    --------
    >>> load_endpoint("BINANCE")
    'BarVenue.load.BINANCE'
    """
    return f"BarVenue.load.{venue}"


def lookup_endpoint(venue: str) -> str:
    """Return the message bus endpoint that takes a `BarLookup` with all bars of a run for a venue's module.

    Examples
    --------
    >>> lookup_endpoint("BINANCE")
    'BarVenue.lookup.BINANCE'
    """
    return f"BarVenue.lookup.{venue}"


def shares_endpoint(venue: str) -> str:
    """Return the message bus endpoint that adds the shares of a venue's fills to a `VolumeShares`.

    Examples
    --------
    >>> shares_endpoint("BINANCE")
    'BarVenue.shares.BINANCE'
    """
    return f"BarVenue.shares.{venue}"


class BarVenueConfig(SimulationModuleConfig, frozen=True):
    """Nothing to set."""


class BarVenue(SimulationModule):
    """Walks bars for instruments with orders or positions; see the module's text.

    Parameters
    ----------
    config
        See `BarVenueConfig`.

    Notes
    -----
    It must be given every bar before the engine reaches it, and `WAIT_BARS` beyond: a market order that is
    sent at a close fills at the open of the next bar in which anything traded, and bars without volume are
    not walked. So load what is ahead (`ahead_ns`) before a chunk runs, through `store` or the
    message bus (`load_endpoint`). Give the venue ``bar_execution=True``, ``queue_position=False``, and a fill
    model with ``prob_fill_on_limit=0``: a limit then fills when the price trades through it.

    A run whose bars are columns gives a lookup instead (`lookup_endpoint`), and the engine one bar per close
    time. The module then tells cache and portfolio of the bars of the instruments that it walks.
    """

    def __init__(self, config: BarVenueConfig | None = None) -> None:
        super().__init__(config or BarVenueConfig())
        self.store: BarLookup = BarStore()
        self.walked = 0
        self._live: set[InstrumentId] = set()
        self._known: set[InstrumentId] = set()
        self._held: set[InstrumentId] = set()
        self._shows_bars = False
        self._now_ns = 0
        self._requests = 0
        self._awaited: dict[InstrumentId, Bar] = {}
        self._is_walking = False
        self._base_latency = LatencyModel(base_latency_nanos=0)
        self._shares = VolumeShares()

    def register_venue(self, exchange: Any) -> None:
        """Take the venue; the engine calls it."""
        super().register_venue(exchange)
        exchange.msgbus.subscribe(topic=ORDER_TOPIC, handler=self._on_order_event)
        exchange.msgbus.register(endpoint=load_endpoint(exchange.id.value), handler=self.load)
        exchange.msgbus.register(endpoint=lookup_endpoint(exchange.id.value), handler=self.look_up)
        exchange.msgbus.register(endpoint=shares_endpoint(exchange.id.value), handler=self.tell_shares)
        self._shares.sells_leave = exchange.account_type == AccountType.CASH
        if exchange.latency_model is not None:
            self._base_latency = exchange.latency_model

    def load(self, bars: Iterable[Bar]) -> None:
        """Take the bars of a chunk, see `BarStore.load`."""
        if isinstance(self.store, BarStore):
            self.store.load(bars, self._now_ns)

    def look_up(self, store: BarLookup) -> None:
        """Take all bars of the run; of those the engine brings one per close time."""
        self.store, self._shows_bars = store, True

    def tell_shares(self, shares: VolumeShares) -> None:
        """Add what shares of their bars the fills took."""
        self._shares.tell(shares)

    def pre_process(self, data: Any) -> None:
        """Run before the venue sees a bar: the first one of a close time moves the market of all."""
        if not isinstance(data, Bar):
            return
        if data.ts_init > self._now_ns:
            last_ns, self._now_ns = self._now_ns, data.ts_init
            if self._live:
                self._is_walking = True
                self._walk(last_ns, data.ts_init)
                self._is_walking = False
            if self._shows_bars:
                self._show(data)
        instrument_id = data.bar_type.instrument_id
        if instrument_id not in self._known:
            self._known.add(instrument_id)
            self._step(data, data.open, data.ts_init)

    def process(self, ts_now: int) -> None:
        """Run after the venue settled: nothing to do."""

    def log_diagnostics(self, logger: Any) -> None:
        """Run at the end: nothing to say."""

    def reset(self) -> None:
        """Forget the run; the bars stay."""
        self._live.clear()
        self._known.clear()
        self._held.clear()
        self._awaited.clear()
        self._shares.clear()
        self._now_ns = 0

    # -- orders --------------------------------------------------------------------------------------------

    def _on_order_event(self, event: OrderEvent) -> None:
        self._requests += 1
        instrument_id = event.instrument_id
        if instrument_id.venue != self.exchange.id:
            return
        if isinstance(event, OrderFilled):
            self._shares.add(self.exchange.cache.order(event.client_order_id), event)
        if instrument_id not in self._live:
            self._begin(instrument_id)
        if isinstance(event, OrderSubmitted):
            self._wait_for_volume(self.exchange.cache.order(event.client_order_id))

    def _begin(self, instrument_id: InstrumentId) -> None:
        """Bring the market of an instrument up to date: something was sent."""
        # Sent at a close: the market it meets is the next bar's open, or the last close where no bar follows.
        self._live.add(instrument_id)
        last, following = self.store.around(instrument_id, self._now_ns)
        if self._shows_bars and last is not None:
            self._held.add(instrument_id)
            self._tell(last)
        if (
            following is not None
            and last is not None
            and _opens_at(following) <= last.ts_init
            and has_traded(following)
        ):
            self._step(following, following.open, self._now_ns)
        elif last is not None:
            self._step(last, last.close, self._now_ns)

    def _wait_for_volume(self, order: Order) -> None:
        """Let a market order arrive when the next bar opens in which anything traded.

        The venue asks the latency model when it gets the order, right after this event. Where nothing trades
        for `WAIT_BARS` bars, it arrives as ever, and fills at the last close with the largest impact.
        """
        wait_ns = 0
        if order.order_type == OrderType.MARKET and not self._is_walking:
            last, following = self.store.around(order.instrument_id, self._now_ns)
            known = last or following
            until_ns = self._now_ns + (0 if known is None else WAIT_BARS * _length_ns(known))
            bar = self.store.next_traded(order.instrument_id, self._now_ns, until_ns)
            if bar is None:
                self._note_volume(order.instrument_id, Decimal(0))
            elif _opens_at(bar) > max(self._now_ns, order.ts_init):
                self._awaited[order.instrument_id] = bar
                wait_ns = _opens_at(bar) - order.ts_init
        self._set_wait(wait_ns)

    def _set_wait(self, wait_ns: int) -> None:
        base = self._base_latency
        insert_ns = base.insert_latency_nanos + wait_ns
        model = self.exchange.latency_model
        if model is None and not wait_ns:
            return
        if model is None or model.insert_latency_nanos != insert_ns:
            self.exchange.set_latency_model(
                LatencyModel(
                    base_latency_nanos=0,
                    insert_latency_nanos=insert_ns,
                    update_latency_nanos=base.update_latency_nanos,
                    cancel_latency_nanos=base.cancel_latency_nanos,
                )
            )

    def _open_awaited(self, latency_ns: int) -> None:
        """Open the bars that orders wait for, so that a timer before their close meets no old price."""
        for instrument_id, bar in sorted(self._awaited.items(), key=lambda one: (_opens_at(one[1]), one[0])):
            opens_ns = _opens_at(bar)
            if opens_ns > self._now_ns:
                break
            del self._awaited[instrument_id]
            if bar.ts_init > self._now_ns:
                self._step(bar, bar.open, self._now_ns)
            else:  # one of those that are walked now: no other coin had a close at its open
                self._settle(opens_ns + latency_ns)

    # -- bars that the engine does not bring -----------------------------------------------------------------

    def _show(self, brought: Bar) -> None:
        """Tell cache and portfolio of the bars that close now, of all instruments they value something by."""
        if self.exchange.account_type != AccountType.CASH:  # what is left of a coin has a value for ever
            self._held &= self._live
        for instrument_id in sorted(self._held):
            bar = self.store.at(instrument_id, brought.ts_init)
            if bar is not None and instrument_id != brought.bar_type.instrument_id:
                self._tell(bar)

    def _tell(self, bar: Bar) -> None:
        self.exchange.cache.add_bar(bar)
        self.portfolio.update_bar(bar)

    # -- the walk ------------------------------------------------------------------------------------------

    def _walk(self, last_ns: int, now_ns: int) -> None:
        """Walk the bars that close now, of every instrument with an order or a position."""
        latency_ns = self._latency_ns()
        found = {one: self.store.at(one, now_ns) for one in sorted(self._live)}
        bars = {one: bar for one, bar in found.items() if bar is not None and has_traded(bar)}
        # Opens of all first: what was sent at the last close fills here, and what follows from the fills
        # (stop and target) is at the venue before any price moves on.
        for bar in bars.values():
            self._step(bar, bar.open, max(last_ns, _opens_at(bar)))
        self._settle(last_ns + latency_ns)
        self._open_awaited(latency_ns)
        self._settle(now_ns + latency_ns)
        for instrument_id, bar in bars.items():
            self.walked += 1
            self._walk_bar(instrument_id, bar, now_ns + latency_ns)
        # The last answers set the clock ahead, and what strategies send at this close is stamped with it.
        self.exchange.process(now_ns)
        cache = self.exchange.cache
        self._live = {
            one
            for one in self._live
            if cache.orders_open_count(instrument_id=one)
            or cache.orders_inflight_count(instrument_id=one)
            or cache.positions_open_count(instrument_id=one)
        }

    def _walk_bar(self, instrument_id: InstrumentId, bar: Bar, settle_ns: int) -> None:
        cache = self.exchange.cache
        tick = cache.instrument(instrument_id).price_increment.as_decimal()
        prices = Extremes(*(price.as_decimal() for price in (bar.open, bar.high, bar.low, bar.close)))
        orders, asked = cache.orders_open(instrument_id=instrument_id), self._requests
        levels = _levels(orders, tick)
        at = prices.open
        for turn in turning_points(prices, self._position_side(instrument_id), _entry_side(orders)):
            while at != turn:
                if self._requests != asked:
                    orders, asked = cache.orders_open(instrument_id=instrument_id), self._requests
                    levels = _levels(orders, tick)
                at = next_level(at, turn, levels)
                self._step(bar, Price(at, bar.open.precision), bar.ts_init)
                if self._requests != asked:
                    self._settle(settle_ns)

    def _step(self, bar: Bar, price: Any, ts_ns: int) -> None:
        """Move an instrument's market to a price, through everything in between."""
        self._note_volume(bar.bar_type.instrument_id, bar.volume.as_decimal())
        engine = self.exchange.get_matching_engine(bar.bar_type.instrument_id)
        step_type = BarType(bar.bar_type.instrument_id, STEP_SPEC)
        engine.process_bar(Bar(step_type, price, price, price, price, bar.volume, ts_ns, ts_ns))

    def _settle(self, ts_ns: int) -> None:
        """Let the venue work off what is on its way, and the answers to that."""
        while True:
            before = self._requests
            self.exchange.process(ts_ns)
            if self._requests == before:
                return

    def _note_volume(self, instrument_id: InstrumentId, volume: Decimal) -> None:
        """Tell the fill model, and the shares, what a fill now is measured against."""
        self._shares.volumes[instrument_id] = volume
        model = self.exchange.fill_model
        if isinstance(model, TakerSlippageModel):
            model.volumes[instrument_id] = volume

    def _latency_ns(self) -> int:
        model = self._base_latency
        return int(max(model.insert_latency_nanos, model.update_latency_nanos, model.cancel_latency_nanos))

    def _position_side(self, instrument_id: InstrumentId) -> int:
        positions = self.exchange.cache.positions_open(instrument_id=instrument_id)
        qty = sum(position.signed_qty for position in positions)
        return int(qty > 0) - int(qty < 0)


def _levels(orders: Iterable[Order], tick: Decimal) -> list[Decimal]:
    """Return where something may happen: triggers and limits, and one tick beyond a limit, where it fills."""
    levels = []
    for order in orders:
        if order.has_trigger_price:
            levels.append(order.trigger_price.as_decimal())
        if order.has_price:
            price = order.price.as_decimal()
            levels += [price, price - tick if order.side == OrderSide.BUY else price + tick]
    return levels


def _entry_side(orders: Iterable[Order]) -> int:
    """Return the side of the entries that rest, 0 for none."""
    for order in orders:
        if not order.is_reduce_only:
            return 1 if order.side == OrderSide.BUY else -1
    return 0


def has_traded(bar: Bar) -> bool:
    """Tell whether anything traded in a bar."""
    return bool(bar.volume.raw > 0)


def ahead_ns(bars: Iterable[Bar]) -> int:
    """Return how far beyond some bars the venue must know the bars to come, nanoseconds."""
    return WAIT_BARS * max(map(_length_ns, {bar.bar_type: bar for bar in bars}.values()), default=0)


def _length_ns(bar: Bar) -> int:
    return int(bar.bar_type.spec.timedelta.total_seconds()) * 1_000_000_000


def _opens_at(bar: Bar) -> int:
    return int(bar.ts_init) - _length_ns(bar)
