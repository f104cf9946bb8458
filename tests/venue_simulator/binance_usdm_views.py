"""From the core's orders, fills, positions and balances to the words of the wire.

An algo order is one order of the core. As long as it waits it has only an algo id; what enters the book when
it triggers has an order id of its own on the real venue, here a fixed distance away from the algo id.
"""

from decimal import Decimal

from tests.venue_simulator.binance_usdm_account import AssetView, PositionView
from tests.venue_simulator.binance_usdm_private import FillView, OrderView
from tests.venue_simulator.binance_usdm_public import places_of, plain
from tests.venue_simulator.core import Account, Exchange, Fill, Market, Order, OrderType, Position
from tests.venue_simulator.core.terms import ZERO

ACTUAL_ID_DISTANCE = 8_000_000_000
MAINTENANCE_RATE = Decimal("0.004")  # of the lowest bracket of BTCUSDT
KINDS: dict[str, OrderType] = {
    "LIMIT": "LIMIT",
    "MARKET": "MARKET",
    "STOP": "STOP_LIMIT",
    "STOP_MARKET": "STOP_MARKET",
    "TAKE_PROFIT": "TAKE_PROFIT_LIMIT",
    "TAKE_PROFIT_MARKET": "TAKE_PROFIT_MARKET",
}
WIRE_KINDS = {ours: theirs for theirs, ours in KINDS.items()}
MILLION = 1_000_000


def money(value: Decimal) -> str:
    """Write an amount with the venue's eight decimals."""
    return plain(value, 8)


def price_text(market: Market, price: Decimal | None) -> str:
    """Write a price with the market's decimals; "0" for none, as the venue does."""
    return "0" if price is None else plain(price, places_of(market.tick))


def qty_text(market: Market, qty: Decimal) -> str:
    """Write a quantity with the market's decimals."""
    return plain(qty, places_of(market.lot))


def has_worked(order: Order) -> bool:
    """Return whether a conditional order entered the book: it triggered and was not refused doing so."""
    is_refused = order.status == "EXPIRED" and not order.fills and order.reason != "no_liquidity"
    return order.triggered_ns > 0 and not is_refused


def actual_id(order: Order) -> int | None:
    """Return the order id that a triggered algo order has in the book, None before."""
    return order.order_id + ACTUAL_ID_DISTANCE if has_worked(order) else None


def wire_id(order: Order) -> int:
    """Return the id under which the order endpoints know an order."""
    return order.order_id + ACTUAL_ID_DISTANCE if order.is_algo else order.order_id


def algo_status(order: Order) -> str:
    """Say an algo order's state: NEW, TRIGGERED, FINISHED, CANCELED, EXPIRED, REJECTED."""
    if has_worked(order):
        return "TRIGGERED" if order.is_open else "FINISHED"
    if order.triggered_ns:
        return "CANCELED"  # as recorded in algo_update_canceled.json, with the reason in `rm`
    return "NEW" if order.is_open else order.status


def order_view(order: Order) -> OrderView:
    """Describe an order as it is now; a triggered algo order as the order in the book."""
    market = order.market
    kind = WIRE_KINDS[order.type]
    works = order.is_algo and order.triggered_ns > 0
    status = "NEW" if order.status in ("TRIGGERED", "UNTRIGGERED") else order.status
    return OrderView(
        symbol=market.symbol,
        order_id=wire_id(order),
        client_id=order.client_id,
        side=order.side,
        kind=("LIMIT" if order.is_priced else "MARKET") if works else kind,
        time_in_force=order.tif,
        qty=qty_text(market, order.qty),
        price=price_text(market, order.price),
        stop_price=price_text(market, order.stop_price),
        avg_price=plain(order.avg_price, max(5, places_of(market.tick))),
        filled_qty=qty_text(market, order.filled_qty),
        filled_quote=money(order.filled_quote),
        status=status,
        is_reduce_only=order.reduce_only or order.close_position,
        is_close_position=order.close_position,
        original_kind=kind,
        working_type=order.extra.get("workingType", "CONTRACT_PRICE"),
        good_till_ms=(order.expire_ns or 0) // MILLION,
        created_ms=(order.triggered_ns if works else order.created_ns) // MILLION,
        updated_ms=order.updated_ns // MILLION,
    )


def algo_view(order: Order) -> OrderView:
    """Describe the conditional order itself, triggered or not."""
    view = order_view(order)
    view.kind = WIRE_KINDS[order.type]
    view.created_ms = order.created_ns // MILLION
    view.is_reduce_only = order.reduce_only  # closePosition and reduceOnly exclude each other
    return view


def fill_view(fill: Fill) -> FillView:
    """Describe one fill."""
    market = fill.order.market
    return FillView(
        trade_id=fill.trade_id,
        price=price_text(market, fill.price),
        qty=qty_text(market, fill.qty),
        quote_qty=money(fill.quote_qty),
        fee=money(fill.fee),
        fee_asset=fill.fee_asset,
        realized=money(fill.realized_pnl),
        is_maker=fill.is_maker,
        ts_ms=fill.ts_ns // MILLION,
    )


def position_view(position: Position, mark: Decimal, wallet: Decimal) -> PositionView:
    """Describe a position at a mark price; cross margin: the whole wallet stands behind it."""
    market = position.market
    notional = position.qty * mark
    maintenance = abs(notional) * MAINTENANCE_RATE
    liquidation = ZERO
    if position.qty:
        liquidation = max(ZERO, position.entry_price - (wallet - maintenance) / position.qty)
    return PositionView(
        symbol=market.symbol,
        amount=qty_text(market, position.qty),
        entry_price=plain(position.entry_price, 8),
        break_even_price=plain(position.entry_price, 8),
        mark_price=plain(mark, 8),
        unrealized=money(position.unrealized_pnl(mark)),
        realized=money(position.realized_pnl),
        liquidation_price=plain(liquidation, places_of(market.tick)),
        notional=money(notional),
        initial_margin=money(position.initial_margin(mark)),
        maintenance_margin=money(maintenance),
        leverage=int(position.leverage),
        updated_ms=position.updated_ns // MILLION,
    )


def asset_view(exchange: Exchange, account: Account, asset: str) -> AssetView:
    """Describe a margin asset: wallet, unrealized profit, margin of positions and orders, the rest."""
    ledger = exchange.ledger
    wallet = account.balance(asset).total
    unrealized = position_margin = maintenance = ZERO
    for position in account.open_positions():
        mark = ledger.mark(position.market, position.entry_price)
        unrealized += position.unrealized_pnl(mark)
        position_margin += position.initial_margin(mark)
        maintenance += abs(position.qty) * mark * MAINTENANCE_RATE
    order_margin = sum((ledger.order_margin(order) for order in exchange.open_orders(account.name)), ZERO)
    available = max(ZERO, ledger.available_margin(account, asset))
    return AssetView(
        asset=asset,
        wallet=money(wallet),
        unrealized=money(unrealized),
        margin_balance=money(wallet + unrealized),
        maintenance_margin=money(maintenance),
        initial_margin=money(position_margin + order_margin),
        position_margin=money(position_margin),
        order_margin=money(order_margin),
        available=money(available),
        updated_ms=account.updated_ns // MILLION,
    )
