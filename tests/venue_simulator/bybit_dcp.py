"""Bybit's disconnection protection (DCP): orders go when the last watching session is gone too long.

Where the rules come from: Bybit v5 "Set DCP", "Get DCP Info", "Dcp" (stream). Only institutional accounts
have it, after their manager enabled it: until `enable` is called the account has none, and says so.
"""

from collections.abc import Iterable
from typing import Any, Final

from tests.venue_simulator.bybit_account import DCP_TOPICS
from tests.venue_simulator.bybit_codes import BybitError
from tests.venue_simulator.core import Exchange
from tests.venue_simulator.core.terms import MarketKind
from tests.venue_simulator.streams import Connection

PRODUCTS: Final[dict[str, MarketKind]] = {"DERIVATIVES": "linear", "SPOT": "spot"}


class Dcp:
    """The protection of the main account."""

    def __init__(self, exchange: Exchange, connections: Iterable[Connection]) -> None:
        self.exchange = exchange
        self.connections = connections
        self.windows: dict[str, int] = {}
        self._gone_ms: dict[MarketKind, int] = {}

    def enable(self, product: str, secs: int) -> None:
        """Let the account's manager switch it on for "SPOT" or "DERIVATIVES"."""
        self.windows[product] = secs

    def info(self) -> dict[str, Any]:
        """Answer ``/v5/account/query-dcp-info``; an empty list where it was never enabled."""
        rows = [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(secs)}
            for product, secs in self.windows.items()
        ]
        return {"dcpInfos": rows}

    def set(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ``/v5/order/disconnected-cancel-all``."""
        product, secs = str(params.get("product") or "OPTIONS"), params.get("timeWindow")
        if not isinstance(secs, int) or not 3 <= secs <= 300:
            raise BybitError(10001, "timeWindow must be in [3, 300]")
        if product not in self.windows:
            raise BybitError(10005, f"DCP is not available for {product}: ask your account manager")
        self.windows[product] = secs
        return {}

    def subscribed(self, connection: Connection) -> None:
        """Note that a session watches again."""
        for topic, kind in DCP_TOPICS.items():
            if topic in connection.topics:
                self._gone_ms.pop(kind, None)

    def session_ended(self, connection: Connection) -> None:
        """Begin to count when the last session that watched a product has gone."""
        now_ms = self.exchange.clock.now_ns() // 1_000_000
        for topic, kind in DCP_TOPICS.items():
            others = (other for other in self.connections if other is not connection and other.is_open)
            if topic in connection.topics and not any(topic in other.topics for other in others):
                self._gone_ms.setdefault(kind, now_ms)

    def on_tick(self, now_ms: int) -> None:
        """Cancel what the window protects no longer."""
        for product, secs in self.windows.items():
            kind = PRODUCTS[product]
            gone_ms = self._gone_ms.get(kind)
            if gone_ms is not None and now_ms - gone_ms > secs * 1000:
                del self._gone_ms[kind]
                for market in self.exchange.markets.values():
                    if market.kind == kind:
                        self.exchange.cancel_all("main", market.key, "dcp")
