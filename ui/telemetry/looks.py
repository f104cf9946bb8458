"""What a terminal is told without an event: account, positions, state, latencies.

Read from the node's objects in its own thread, and told where it has changed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from strategies.market_price import last_known_price
from ui.protocol import (
    Account,
    Hold,
    InstrumentView,
    Latency,
    Limit,
    NodeState,
    Risk,
)
from ui.telemetry import views
from ui.telemetry.ledger import DayLedger, spread
from ui.telemetry.models import model_views, worst_drift
from ui.telemetry.sources import Sink, TelemetrySources

MS: Final = 1_000_000
# Who holds entries where a person paused them (`runtime.live.command_actions`).
OPERATOR: Final = "operator"
# Trades whose way from the venue is looked at: those of a quarter of a minute at the most.
FEED_SAMPLES: Final = 300


class Looks:
    """Looks at a node and tells what it sees.

    Parameters
    ----------
    sources, sink
        See `ui.telemetry.sources`.
    cache
        Of the node.
    trader_id
        Of the node.
    has_chart
        Whether an instrument, by its id, has buckets.
    """

    def __init__(
        self,
        sources: TelemetrySources,
        sink: Sink,
        cache: Any,
        trader_id: str,
        has_chart: Callable[[str], bool],
    ) -> None:
        self._sources, self._sink, self._cache = sources, sink, cache
        self._trader_id, self._has_chart = trader_id, has_chart
        self.ledger = DayLedger(sources.day_file)
        self.lag_ms = 0.0
        self.thresholds: dict[str, float] = {}
        """Of the last model decision, by instrument id."""
        self.held: set[str] = set()
        """Instruments whose setup was last told to hold something: not dust that fees leave on spot."""
        self._told: dict[str, Any] = {}
        self._ticks: dict[str, int] = {}
        self._feed_ms: deque[float] = deque(maxlen=FEED_SAMPLES)

    def trades(self) -> None:
        """Take down how long the last trade of each instrument was on its way."""
        for desk in self._desks():
            tick = self._cache.trade_tick(desk.instrument_id)
            name = desk.instrument_id.value
            if tick is not None and self._ticks.get(name) != tick.ts_init:
                self._ticks[name] = tick.ts_init
                self._feed_ms.append((tick.ts_init - tick.ts_event) / MS)

    def positions(self, now_ns: int, only: str = "") -> None:
        """Tell positions, of one instrument alone where it is named."""
        longest = self._sources.unprotected_secs()
        for desk in self._desks():
            name, setup = desk.instrument_id.value, desk.setup
            if setup is None or (only and name != only):
                continue
            last = last_known_price(self._cache, desk.instrument_id)
            price = None if last is None else Decimal(last.as_decimal())
            view = views.position_view(name, setup, price, 1e3 * longest.get(name, 0.0))
            (self.held.discard if view.side == "flat" else self.held.add)(name)
            self._tell("pos", view, now_ns, key=f"pos {name}")

    def externals(self, now_ns: int) -> None:
        """Tell positions that no setup explains.

        Not at a fill: until all have heard of it, the node's cache and the setup may differ by just that.
        """
        for desk in self._desks():
            name, key = desk.instrument_id.value, f"external {desk.instrument_id.value}"
            held = self._cache.positions_open(instrument_id=desk.instrument_id)
            qty = desk.unplanned_qty() if held and hasattr(desk, "market") else Decimal(0)
            if qty and abs(qty) < desk.market.lot_size:
                qty = Decimal(0)
            if not qty and (key not in self._told or self._told[key].side == "flat"):
                continue
            last = last_known_price(self._cache, desk.instrument_id)
            price = None if last is None else Decimal(last.as_decimal())
            opened = held[0] if qty else None
            avg = Decimal(0) if opened is None else Decimal(str(opened.avg_px_open))
            since_ns = now_ns if opened is None else opened.ts_opened
            self._tell("pos", views.external_view(name, qty, avg, since_ns, price, now_ns), now_ns, key=key)

    def pay(self, fee: Decimal, currency: str, price: Decimal, instrument_id: Any, now_ns: int) -> None:
        """Take a fee; one in a third currency is not known in the quote currency, and is left out."""
        instrument = self._cache.instrument(instrument_id)
        if instrument is None:
            return
        if currency == instrument.quote_currency.code:
            paid = fee
        elif instrument.base_currency is not None and currency == instrument.base_currency.code:
            paid = fee * price
        else:
            return
        self.begin_day(now_ns, paid)
        self.ledger.pay(paid)

    def begin_day(self, now_ns: int, paid: Decimal = Decimal(0)) -> bool:
        """Take what the account is worth at the beginning of a UTC day.

        Parameters
        ----------
        now_ns
            Time of the first thing that happens on the day, UNIX nanoseconds; of the others nothing is taken.
        paid
            The fee, quote currency, where that thing is a fill: it is one of the day.

        Returns
        -------
        bool
            Whether a day began.
        """
        if self.ledger.has_begun(now_ns) or (equity := self._sources.equity()) is None:
            return False
        self.ledger.take(equity + paid, now_ns)
        return True

    def account(self, now_ns: int) -> None:
        """Tell what the account is worth, what of its limits is used, and latencies."""
        equity = self._sources.equity()
        if equity is None:
            return
        ledger = self.ledger
        ledger.take(equity, now_ns)
        account = Account(
            ts=now_ns // MS,
            equity=format(equity, "f"),
            day_pnl=format(ledger.pnl, "f"),
            dd_pct=ledger.drawdown_pct,
            fees=format(ledger.fees, "f"),
            balances=self._balances(),
            closed=ledger.closed,
        )
        self._sink.publish("acct", account, now_ns)
        limits = [Limit(name=name, used=used, limit=most) for name, used, most in self._sources.limits()]
        risk = Risk(limits=limits, trading=self._sources.trading())  # type: ignore[arg-type]
        self._tell("risk", risk, now_ns)
        if self._sources.call_soon is None:
            return  # a backtest waits for nothing
        figures: Mapping[str, Any] = {"feed_ms": spread(self._feed_ms), **self._sources.latencies()}
        latency = Latency(loop_lag_ms=self.lag_ms, last_tick_age_ms=self.tick_age_ms(now_ns), **figures)
        self._sink.publish("lat", latency, now_ns)

    def state(self, now_ns: int) -> None:
        """Tell whether the node may trade, what holds it back, and with what it decides."""
        sources, strategies = self._sources, list(self._sources.strategies())
        desks = list(self._desks())
        holds = {
            (hold.source, hold.reason, hold.instrument_id)
            for desk in desks
            for hold in getattr(getattr(desk, "holds", None), "standing", ())
        }
        killed = sources.killed()
        state = NodeState(
            mode=sources.mode,  # type: ignore[arg-type]
            session=sources.session,
            trader=self._trader_id,
            version=sources.version,
            config_hash=sources.config_hash,
            paused=sorted({ins or "*" for source, _, ins in holds if source == OPERATOR}),
            holds=[Hold(source=source, reason=reason, ins=ins) for source, reason, ins in sorted(holds)],
            halted=sorted({desk.instrument_id.value for desk in desks if desk.is_halted}),
            killed=bool(killed),
            kill_reason=killed or None,
            instruments=[
                self._instrument(desk, one) for one in strategies for desk in getattr(one, "desks", ())
            ],
            models=model_views(strategies, self.thresholds),
            drift=worst_drift(strategies),
            factors=next((views.most_points(one.score) for one in desks if hasattr(one, "score")), {}),
        )
        self._tell("st", state, now_ns)

    def tick_age_ms(self, now_ns: int) -> float | None:
        """Return how old the newest trade of all instruments is, None before the first.

        Not of coins that are traded on klines: trades come of those that are entered alone, and while nothing
        is held their silence says nothing.
        """
        newest = 0
        for strategy in self._sources.strategies():
            if isinstance(getattr(strategy, "coins", None), dict):
                continue
            newest = max(newest, self._newest_trade(strategy))
        return (now_ns - newest) / MS if newest else None

    def _newest_trade(self, strategy: Any) -> int:
        newest = 0
        for desk in getattr(strategy, "desks", ()):
            tick = self._cache.trade_tick(desk.instrument_id)
            newest = newest if tick is None else max(newest, tick.ts_init)
        return newest

    def _desks(self) -> Iterator[Any]:
        return (desk for one in self._sources.strategies() for desk in getattr(one, "desks", ()))

    def _balances(self) -> dict[str, tuple[str, str]]:
        told: dict[str, tuple[str, str]] = {}
        for account in self._cache.accounts():
            free, locked = account.balances_free(), account.balances_locked()
            for currency, amount in free.items():
                held = locked.get(currency)
                told[currency.code] = (
                    format(amount.as_decimal(), "f"),
                    "0" if held is None else format(held.as_decimal(), "f"),
                )
        return told

    def _instrument(self, desk: Any, strategy: Any) -> InstrumentView:
        instrument_id = desk.instrument_id
        instrument = self._cache.instrument(instrument_id)
        bucket_usd = getattr(strategy.config, "bucket_usd", None)  # a decimal, which would be sent as text
        return InstrumentView(
            id=instrument_id.value,
            tick="" if instrument is None else str(instrument.price_increment),
            lot="" if instrument is None else str(instrument.size_increment),
            bucket_usd=None if bucket_usd is None else float(bucket_usd),
            kind="buckets" if self._has_chart(instrument_id.value) else "bars",
            min_score=getattr(getattr(desk, "rules", None), "min_confidence", None),
        )

    def _tell(self, kind: str, payload: Any, now_ns: int, key: str = "") -> None:
        """Tell it where it differs from what was told last."""
        if self._told.get(key or kind) != payload:
            self._told[key or kind] = payload
            self._sink.publish(kind, payload, now_ns)


__all__ = ["Looks"]
