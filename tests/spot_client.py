"""A Binance spot venue in this process and a signing client, for tests of the protocol."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.venue_simulator.app import make_app
from tests.venue_simulator.binance_common import sign
from tests.venue_simulator.binance_spot import BinanceSpot
from tests.venue_simulator.core import Account, Side
from tests.venue_simulator.protocol import SymbolTerms
from tests.venue_simulator.venue import Venue

TERMS = SymbolTerms(
    "BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(60_000), Decimal(0)
)
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59990",
}

type Json = Any
type Scenario = Callable[["SpotClient"], Awaitable[None]]


class SpotClient:
    """One client of one venue.

    Parameters
    ----------
    venue, server
        The venue in this process and where it listens.
    session
        Of aiohttp.
    """

    def __init__(self, venue: Venue, server: TestServer, session: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.account: Account = venue.exchange.accounts["main"]
        self.headers: dict[str, str] = {}
        self._root = str(server.make_url("/binance_spot"))
        self._session = session

    async def call(self, method: str, path: str, **params: Any) -> tuple[int, Json]:
        """Send an unsigned request; return status and content."""
        return await self._send(method, path, _query(params))

    async def signed(self, method: str, path: str, **params: Any) -> tuple[int, Json]:
        """Send a signed request; `timestamp` is now unless given."""
        query = _query({"timestamp": self.now_ms(), **params})
        return await self._send(method, path, f"{query}&signature={sign(self.account.api_secret, query)}")

    async def order(self, **params: Any) -> tuple[int, Json]:
        """Place `ORDER` with other terms; None leaves one out."""
        wanted = {name: value for name, value in (ORDER | params).items() if value is not None}
        return await self.signed("POST", "/api/v3/order", **wanted)

    def prints(self, side: Side, qty: str, price: str) -> None:
        """Print a public trade."""
        self.venue.exchange.print_trade("BTCUSDT", side, Decimal(qty), Decimal(price))

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a websocket."""
        async with self._session.ws_connect(self._root + path) as socket:
            yield socket

    @asynccontextmanager
    async def user_stream(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open the WS API, log on and subscribe."""
        async with self.socket("/ws-api/v3") as socket:
            await socket.send_json({"id": "1", "method": "session.logon", "params": self.logon()})
            assert (await socket.receive_json())["status"] == 200
            await socket.send_json({"id": "2", "method": "userDataStream.subscribe"})
            answer = await socket.receive_json()
            assert answer == {"id": "2", "status": 200, "result": {"subscriptionId": 0}}
            yield socket

    def logon(self) -> dict[str, Any]:
        """Return the signed parameters of a log on."""
        text = f"apiKey={self.account.api_key}&timestamp={self.now_ms()}"
        pairs = dict(part.split("=") for part in text.split("&"))
        return pairs | {"signature": sign(self.account.api_secret, text)}

    @staticmethod
    def now_ms() -> int:
        """Return our clock."""
        return time.time_ns() // 1_000_000

    async def _send(self, method: str, path: str, query: str) -> tuple[int, Json]:
        headers = {"X-MBX-APIKEY": self.account.api_key}
        url = aiohttp.client.URL(f"{self._root}{path}?{query}", encoded=True)
        async with self._session.request(method, url, headers=headers) as response:
            self.headers = dict(response.headers)
            return response.status, json.loads(await response.text())


def play(scenario: Scenario, *, latency_secs: float = 0.0, last_price: str | None = "60000") -> None:
    """Run a scenario against a fresh venue: 100,000 USDT, 1 BTC, one trade at `last_price`."""

    async def run() -> None:
        account = Account.with_balances({"USDT": 100_000, "BTC": 1})
        venue = Venue(BinanceSpot, BinanceSpot.make_markets(TERMS), [account], latency_secs)
        app: web.Application = make_app([venue])
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            client = SpotClient(venue, server, session)
            if last_price is not None:
                client.prints("BUY", "0.1", last_price)
            await scenario(client)
            venue.drop_connections()

    asyncio.run(run())


def _query(params: dict[str, Any]) -> str:
    return "&".join(f"{name}={value}" for name, value in params.items())
