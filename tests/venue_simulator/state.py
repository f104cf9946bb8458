"""The venue's own records as plain JSON, for tests that compare them with the node's and the journal's."""

from typing import Any

from tests.venue_simulator.core import Account, Fill, Order, Position
from tests.venue_simulator.venue import Venue

type Json = dict[str, Any]


def state_of(venue: Venue) -> Json:
    """Return orders, fills, balances, positions, requests, limits and connections of a venue."""
    exchange = venue.exchange
    return {
        "venue": venue.name,
        "now_ns": venue.clock.now_ns(),
        "markets": {
            key: {"status": market.status, "tick": str(market.tick), "lot": str(market.lot),
                  "last_price": _text(exchange.last_price(key)), "trades": len(venue.histories[key])}
            for key, market in exchange.markets.items()
        },
        "accounts": {name: account_state(account) for name, account in exchange.accounts.items()},
        "orders": [order_state(order) for order in exchange.orders.values()],
        "fills": [fill_state(fill) for fill in exchange.fills],
        "requests": [
            {"ts_ns": one.ts_ns, "endpoint": one.endpoint, "params": one.params, "status": one.status,
             "fault": one.fault, "arrived_ns": one.arrived_ns}
            for one in venue.requests
        ],
        "request_counts": dict(venue.request_counts),
        "limits": {
            name: {field: getattr(one, field) for field in ("limit", "used", "most", "refused")}
            for name, one in venue.limiter.windows.items()
        },
        "requests_while_banned": venue.limiter.requests_while_banned,
        "connections": [
            {"name": one.name, "topics": sorted(one.topics), "frames_sent": one.frames_sent}
            for one in venue.connections
        ],
        "connections_opened": venue.connections_opened,
    }  # fmt: skip


def account_state(account: Account) -> Json:
    """Return balances and positions."""
    return {
        "balances": {
            asset: {"free": str(balance.free), "locked": str(balance.locked)}
            for asset, balance in account.balances.items()
        },
        "positions": {key: position_state(one) for key, one in account.positions.items()},
    }


def position_state(position: Position) -> Json:
    """Return a linear position."""
    return {
        "qty": str(position.qty),
        "entry_price": str(position.entry_price),
        "leverage": str(position.leverage),
        "realized_pnl": str(position.realized_pnl),
    }


def order_state(order: Order) -> Json:
    """Return an order with its fills' ids."""
    return {
        "order_id": order.order_id,
        "client_id": order.client_id,
        "account": order.account,
        "market": order.market.key,
        "side": order.side,
        "type": order.type,
        "tif": order.tif,
        "status": order.status,
        "reason": order.reason,
        "qty": str(order.qty),
        "price": _text(order.price),
        "stop_price": _text(order.stop_price),
        "reduce_only": order.reduce_only,
        "close_position": order.close_position,
        "filled_qty": str(order.filled_qty),
        "avg_price": str(order.avg_price),
        "queue_ahead": str(order.queue_ahead),
        "is_algo": order.is_algo,
        "parent_id": order.parent_id,
        "created_ns": order.created_ns,
        "updated_ns": order.updated_ns,
        "triggered_ns": order.triggered_ns,
        "fills": [fill.trade_id for fill in order.fills],
        "extra": order.extra,
    }


def fill_state(fill: Fill) -> Json:
    """Return a fill."""
    return {
        "trade_id": fill.trade_id,
        "order_id": fill.order.order_id,
        "client_id": fill.order.client_id,
        "market": fill.order.market.key,
        "side": fill.order.side,
        "qty": str(fill.qty),
        "price": str(fill.price),
        "is_maker": fill.is_maker,
        "fee": str(fill.fee),
        "fee_asset": fill.fee_asset,
        "realized_pnl": str(fill.realized_pnl),
        "public_id": fill.public_id,
        "ts_ns": fill.ts_ns,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
