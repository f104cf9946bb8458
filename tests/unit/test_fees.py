"""Fees and slippage of the simulated venue, to the last digit."""

import itertools
from decimal import Decimal
from types import SimpleNamespace

import pytest
from nautilus_trader.model.enums import LiquiditySide, OrderSide
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from runtime.fees import TakerSlippageConfig, TakerSlippageModel, VenueFeeModel, slippage_in_ticks
from runtime.instruments import make_instrument
from runtime.node_config import order_id_tag
from runtime.nodes import day_windows, uncrossed, with_fees
from runtime.settings import FeeSettings

SPOT = make_instrument("binance", "spot", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
PERPETUAL = make_instrument("binance", "usdm", "XRPUSDT", Decimal("0.0001"), Decimal("0.1"))
FEES = FeeSettings(maker=Decimal("0.0002"), taker=Decimal("0.001"))

CHARGES = {
    "spot purchase as maker": (SPOT, OrderSide.BUY, LiquiditySide.MAKER, "0.020000 XRP"),
    "spot purchase as taker": (SPOT, OrderSide.BUY, LiquiditySide.TAKER, "0.100000 XRP"),
    "spot sale as taker": (SPOT, OrderSide.SELL, LiquiditySide.TAKER, "0.15000000 USDT"),
    "perpetual purchase as maker": (PERPETUAL, OrderSide.BUY, LiquiditySide.MAKER, "0.03000000 USDT"),
    "perpetual sale as taker": (PERPETUAL, OrderSide.SELL, LiquiditySide.TAKER, "0.15000000 USDT"),
}


@pytest.mark.parametrize(("instrument", "side", "liquidity", "charge"), CHARGES.values(), ids=CHARGES.keys())
def test_charge_of_100_coins_at_1_50(
    instrument: object, side: OrderSide, liquidity: LiquiditySide, charge: str
) -> None:
    """A spot purchase pays in coins, everything else in quote currency."""
    priced = with_fees(instrument, FEES)  # type: ignore[arg-type]
    order = SimpleNamespace(side=side, liquidity_side=liquidity)  # only the simulator can set a real order's
    commission = VenueFeeModel().get_commission(order, priced.make_qty(100), priced.make_price(1.5), priced)
    assert str(commission) == charge


def test_rates_are_replaced_only_where_given() -> None:
    """An override of one rate keeps the other, and the stored instrument stays as it was."""
    changed = with_fees(SPOT, FeeSettings(taker=Decimal("0.005")))
    assert (changed.maker_fee, changed.taker_fee) == (SPOT.maker_fee, Decimal("0.005"))
    assert with_fees(SPOT, FeeSettings()) is SPOT


@pytest.mark.parametrize(
    ("price", "ticks", "bps", "distance"),
    [
        ("1.4503", 0, "0", 0),
        ("1.4503", 3, "0", 3),
        ("1.4503", 0, "1", 2),
        ("1.0000", 0, "1", 1),
        ("1", 0, "0.01", 1),
    ],
)
def test_slippage_is_rounded_up(price: str, ticks: int, bps: str, distance: int) -> None:
    """A share of the price becomes whole increments, never fewer than it says."""
    assert slippage_in_ticks(Decimal(price), Decimal("0.0001"), ticks, Decimal(bps)) == distance


@pytest.mark.parametrize(
    ("side", "best", "filled"), [(OrderSide.BUY, 1.5, "1.5003"), (OrderSide.SELL, 1.5, "1.4997"),
                                 (OrderSide.SELL, 0.0002, "0.0001")],
)  # fmt: skip
def test_market_order_sees_a_worse_book(side: OrderSide, best: float, filled: str) -> None:
    """Three ticks away from the best price on the order's own side, and never at zero."""
    model = TakerSlippageModel(TakerSlippageConfig(slippage_ticks=3))
    order = TestExecStubs.market_order(instrument=SPOT, order_side=side, quantity=SPOT.make_qty(10))
    price = SPOT.make_price(best)
    book = model.get_orderbook_for_fill_simulation(SPOT, order, price, price)
    assert book is not None
    level = book.best_ask_price() if side == OrderSide.BUY else book.best_bid_price()
    assert level == SPOT.make_price(float(filled))


def test_limit_orders_and_no_slippage_keep_the_standard_rules() -> None:
    """The model stands aside for limits, and for everything when nothing is set."""
    price = SPOT.make_price(1.5)
    limit = TestExecStubs.limit_order(instrument=SPOT, price=price, quantity=SPOT.make_qty(10))
    market = TestExecStubs.market_order(instrument=SPOT, quantity=SPOT.make_qty(10))
    slipping = TakerSlippageModel(TakerSlippageConfig(slippage_ticks=3))
    assert slipping.get_orderbook_for_fill_simulation(SPOT, limit, price, price) is None
    plain = TakerSlippageModel(TakerSlippageConfig())
    assert plain.get_orderbook_for_fill_simulation(SPOT, market, price, price) is None


def test_windows_cover_the_span_without_gap_or_overlap() -> None:
    """Days follow each other; a file that reaches over midnight joins its days."""
    day = 86_400_000_000_000
    windows = day_windows(3 * day + 5, 5 * day + 7)
    assert [first for first, _last in windows] == [0, 4 * day, 5 * day]
    assert all(last + 1 == after for (_first, last), (after, _end) in itertools.pairwise(windows))
    assert windows[-1][1] == 6 * day - 1
    assert uncrossed(windows, [(3 * day, 4 * day - 1)]) == windows
    assert uncrossed(windows, [(3 * day, 4 * day)]) == [(0, 5 * day - 1), windows[2]]


def test_tag_names_the_instrument_alone() -> None:
    """The same instrument has the same tag whatever else runs; two markets of a symbol differ."""
    assert order_id_tag("BTCUSDT-PERP.BINANCE") == "BTCUSDTPERPBINANCE" != order_id_tag("BTCUSDT.BINANCE")
