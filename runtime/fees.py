"""What the simulated venue charges and how much worse than the last print it fills.

Nautilus' own models are kinder than a venue in two places: the fee of a spot purchase is taken in quote
currency (a venue takes it out of the coins that were bought), and ``prob_slippage`` worsens resting limit
orders too, beyond their limit. Both models here are plain arithmetic without random numbers.
"""

from decimal import ROUND_CEILING, Decimal

from nautilus_trader.backtest.models import FeeModel, FillModel
from nautilus_trader.common.config import NautilusConfig
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder
from nautilus_trader.model.enums import BookType, LiquiditySide, OrderSide, OrderType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, Instrument
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.orders import Order

BPS = Decimal(10_000)
# More than any order: the depth beyond the slipped price is not part of this model.
SIMULATED_DEPTH = 1_000_000_000
# An order this many times the bar's volume, or in no volume at all, has the largest impact: 10 x impact_bps.
LARGEST_SHARE = Decimal(100)
TAKER_TYPES = frozenset({OrderType.MARKET, OrderType.STOP_MARKET, OrderType.MARKET_IF_TOUCHED})


class VenueFeeConfig(NautilusConfig, frozen=True):
    """Nothing to set: the rates are the instrument's."""


class VenueFeeModel(FeeModel):
    """Maker and taker rates of the instrument; a spot purchase pays in the coins it bought."""

    def __init__(self, config: VenueFeeConfig | None = None) -> None:
        super().__init__()
        del config

    def get_commission(
        self, order: Order, fill_qty: Quantity, fill_px: Price, instrument: Instrument
    ) -> Money:
        """Return the commission of one fill: base currency for a spot purchase, else quote currency.

        The amount is rounded to the currency's precision (half to even).
        """
        is_maker = order.liquidity_side == LiquiditySide.MAKER
        rate = instrument.maker_fee if is_maker else instrument.taker_fee
        if isinstance(instrument, CurrencyPair) and order.side == OrderSide.BUY:
            return Money(fill_qty.as_decimal() * rate, instrument.base_currency)
        notional = instrument.notional_value(fill_qty, fill_px).as_decimal()
        return Money(notional * rate, instrument.get_cost_currency())


class TakerSlippageConfig(NautilusConfig, frozen=True):
    """Slippage of orders that take liquidity.

    Parameters
    ----------
    slippage_ticks
        Price increments, >= 0.
    slippage_bps
        Hundredths of a percent of the price, >= 0, rounded up to whole increments.
    seed
        Seed of the simulator's random numbers.
    limits_fill_on_touch
        False: a resting limit fills when the price trades through it, not at it. For bars, where the venue's
        ``queue_position`` (the same rule for trades) has no queue to follow.
    impact_bps
        In runs on bars: by how much more an order as large as the bar's volume is filled worse, hundredths of
        a percent; it grows with the square root of the share, see `impact_of`.
    """

    slippage_ticks: int = 0
    slippage_bps: Decimal = Decimal(0)
    seed: int = 42
    limits_fill_on_touch: bool = True
    impact_bps: Decimal = Decimal(0)


def impact_of(qty: Decimal, volume: Decimal, impact_bps: Decimal) -> Decimal:
    """Return by how much an order moves its own price, hundredths of a percent: the square-root law.

    Parameters
    ----------
    qty, volume
        Of the order and of the bar in which it fills, base currency.
    impact_bps
        Of an order as large as the bar's volume.

    Examples
    --------
    >>> impact_of(Decimal(25), Decimal(100), Decimal(20))
    Decimal('10.0')
    >>> impact_of(Decimal(25), Decimal(0), Decimal(20))
    Decimal('200')
    """
    share = min(qty / volume, LARGEST_SHARE) if volume else LARGEST_SHARE
    return impact_bps * share.sqrt()


def slippage_in_ticks(price: Decimal, increment: Decimal, ticks: int, bps: Decimal) -> int:
    """Return by how many increments a taker order is filled worse.

    Parameters
    ----------
    price, increment
        Best price before the fill and the instrument's price increment, quote currency.
    ticks
        Fixed part, in increments.
    bps
        Share of the price in hundredths of a percent, rounded up to whole increments.

    Examples
    --------
    >>> slippage_in_ticks(Decimal("1.4503"), Decimal("0.0001"), 0, Decimal(1))
    2
    """
    share = (price * bps / BPS / increment).to_integral_value(ROUND_CEILING)
    return ticks + int(share)


class TakerSlippageModel(FillModel):
    """Fill market and stop-market orders some distance behind the best price; limits keep theirs."""

    def __init__(self, config: TakerSlippageConfig) -> None:
        super().__init__(
            prob_fill_on_limit=1.0 if config.limits_fill_on_touch else 0.0,
            prob_slippage=0.0,
            random_seed=config.seed,
        )
        self._ticks = config.slippage_ticks
        self._bps = config.slippage_bps
        self._impact_bps = config.impact_bps
        self.volumes: dict[InstrumentId, Decimal] = {}
        """Volume of the bar that an instrument's market is in, told by `runtime.bar_venue`."""

    def get_orderbook_for_fill_simulation(
        self, instrument: Instrument, order: Order, best_bid: Price, best_ask: Price
    ) -> OrderBook | None:
        """Return the book such an order sees, None to fill by the standard rules."""
        if order.order_type not in TAKER_TYPES:
            return None
        bps, volume = self._bps, self.volumes.get(instrument.id)
        if self._impact_bps and volume is not None:
            bps += impact_of(order.leaves_qty.as_decimal(), volume, self._impact_bps)
        if self._ticks == 0 and bps == 0:
            return None
        increment = instrument.price_increment.as_decimal()
        is_buy = order.side == OrderSide.BUY
        best = (best_ask if is_buy else best_bid).as_decimal()
        distance = increment * slippage_in_ticks(best, increment, self._ticks, bps)
        slipped = best + distance if is_buy else max(best - distance, increment)
        book = OrderBook(instrument_id=instrument.id, book_type=BookType.L2_MBP)
        level = BookOrder(
            side=OrderSide.SELL if is_buy else OrderSide.BUY,
            price=instrument.make_price(slipped),
            size=Quantity(SIMULATED_DEPTH, instrument.size_precision),
            order_id=1,
        )
        book.add(level, 0, 0)
        return book
