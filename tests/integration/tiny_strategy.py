"""A strategy small enough to check its whole life with a pencil: buy every n trades, sell m trades later."""

from decimal import Decimal
from typing import Any

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.registry import StrategySpec
from strategies.trade_manager.record import ClosedTrade, Decision


class TinyConfig(StrategyConfig, frozen=True, kw_only=True):
    """When to trade.

    Parameters
    ----------
    instrument_id
        What to trade.
    trade_from_ns
        No entries before.
    every, hold
        Buy at each n-th trade, sell this many trades later; 0 never sells.
    qty
        Size of an order, base currency.
    bucket_usd
        Size of a bucket, only counted here.
    htf_bar_type
        External bars to count.
    """

    instrument_id: InstrumentId
    trade_from_ns: int = 0
    every: int = 100
    hold: int = 40
    qty: Decimal = Decimal(10)
    bucket_usd: Decimal = Decimal(1000)
    htf_bar_type: BarType | None = None


class TinyStrategy(Strategy):
    """Publishes what `OteStrategy` publishes, on the same topics."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.counters = {"buckets": 0, "zones": 0, "entries_submitted": 0, "entries_filled": 0, "bars": 0}
        self._count = 0
        self._entry: list[Any] = []
        self._exit: list[Any] = []

    def on_start(self) -> None:
        """Subscribe to the trades and bars."""
        self.instrument = self.cache.instrument(self.config.instrument_id)
        self.subscribe_trade_ticks(self.config.instrument_id)
        if self.config.htf_bar_type is not None:
            self.subscribe_bars(self.config.htf_bar_type)

    def on_bar(self, _bar: Any) -> None:
        """Count."""
        self.counters["bars"] += 1

    def on_trade_tick(self, tick: Any) -> None:
        """Buy or sell when it is time."""
        self._count += 1
        phase = self._count % self.config.every
        if tick.ts_event < self.config.trade_from_ns:
            return
        if phase == 0 and not self._entry:
            self._decide(tick)
            self._send(OrderSide.BUY, "E")
        elif phase == self.config.hold and self._entry:
            self._send(OrderSide.SELL, "X")

    def on_order_filled(self, event: Any) -> None:
        """Publish the closed trade once the sale is complete."""
        (self._entry if event.order_side == OrderSide.BUY else self._exit).append(event)
        order = self.cache.order(event.client_order_id)
        if event.order_side == OrderSide.SELL and order.is_closed:
            self._close()

    def _decide(self, tick: Any) -> None:
        self.counters["zones"] += 1
        self.counters["entries_submitted"] += 1
        decision = Decision(
            ts_ns=tick.ts_event,
            strategy_id=str(self.id),
            instrument_id=str(self.instrument.id),
            kind="zone",
            side="long",
            price=str(tick.price),
            detail={"count": self._count, "by": "tiny"},
        )
        self.msgbus.publish(topic=f"decisions.{self.instrument.id}", msg=decision)

    def _send(self, side: OrderSide, leg: str) -> None:
        quantity = self.instrument.make_qty(self.config.qty)
        if side == OrderSide.SELL:
            held = sum((fill.last_qty.as_decimal() for fill in self._entry), Decimal(0))
            held -= sum((base_fee(fill, self.instrument) for fill in self._entry), Decimal(0))
            quantity = self.instrument.make_qty(held, round_down=True)
        order = self.order_factory.market(
            self.instrument.id,
            side,
            quantity,
            client_order_id=ClientOrderId(f"{self.instrument.id.symbol}-{self._count}-{leg}"),
        )
        self.submit_order(order)

    def _close(self) -> None:
        spent, coins, buy_fees = _sums(self._entry)
        earned, sold, sell_fees = _sums(self._exit)
        price_in, price_out = spent / coins, earned / sold
        base_fees = sum((base_fee(fill, self.instrument) for fill in self._entry), Decimal(0))
        dust = coins - base_fees - sold
        quote_fees = sell_fees + (buy_fees if not base_fees else Decimal(0))
        pnl = earned - spent - quote_fees + dust * price_out
        trade = ClosedTrade(
            setup_id=str(self._entry[0].client_order_id),
            strategy_id=str(self.id),
            instrument_id=str(self.instrument.id),
            side="long",
            entry_ts_ns=self._entry[0].ts_event,
            exit_ts_ns=self._exit[-1].ts_event,
            entry_price=str(price_in),
            exit_price=str(price_out),
            qty=str(coins),
            pnl=str(pnl),
            fees=str(quote_fees + base_fees * price_in),
            dust_qty=str(dust),
            r_multiple=float(pnl),
            mae_r=0.0,
            mfe_r=0.0,
            exit_reason="target" if pnl > 0 else "stop",
            stop_price=str(price_in * Decimal("0.99")),
            target_price=str(price_in * Decimal("1.01")),
            zone_id=1,
            zone_low=float(price_in) * 0.99,
            zone_high=float(price_in) * 1.02,
            tainted=False,
            entry_bucket_seq=3,
            exit_bucket_seq=4,
        )
        self._entry, self._exit = [], []
        self.counters["entries_filled"] += 1
        self.msgbus.publish(topic=f"trades.{self.instrument.id}", msg=trade)


def _sums(fills: list[Any]) -> tuple[Decimal, Decimal, Decimal]:
    value = sum((fill.last_px.as_decimal() * fill.last_qty.as_decimal() for fill in fills), Decimal(0))
    quantity = sum((fill.last_qty.as_decimal() for fill in fills), Decimal(0))
    return value, quantity, sum((fill.commission.as_decimal() for fill in fills), Decimal(0))


def base_fee(fill: Any, instrument: Any) -> Decimal:
    """Return the part of a fill's commission that was taken in coins."""
    fee = fill.commission
    return Decimal(fee.as_decimal()) if fee.currency == instrument.base_currency else Decimal(0)


SPEC = StrategySpec(
    name="tiny",
    version="1",
    summary="Buys every n trades.",
    strategy_path="tests.integration.tiny_strategy:TinyStrategy",
    config_path="tests.integration.tiny_strategy:TinyConfig",
)
