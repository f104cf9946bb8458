"""A client of the local Binance USD-M in its own words: signed requests, a market stream, a user stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from yarl import URL

from tests.venue_simulator.app import make_app
from tests.venue_simulator.binance_common import sign
from tests.venue_simulator.binance_usdm import BinanceUsdm
from tests.venue_simulator.core import Account, Side
from tests.venue_simulator.protocol import SymbolTerms
from tests.venue_simulator.venue import Venue

SYMBOL = "BTCUSDT"
WAIT_SECS = 5.0


def make_venue(balance: int = 10_000) -> Venue:
    """Make a venue with one perpetual and so many USDT in the account."""
    terms = SymbolTerms(
        SYMBOL, "BTC", "USDT", Decimal("0.10"), Decimal("0.001"), Decimal(50_000), Decimal("0.5")
    )
    account = Account.with_balances({"USDT": balance})
    return Venue(BinanceUsdm, BinanceUsdm.make_markets(terms), [account], latency_secs=0.0)


@dataclass(slots=True)
class Stream:
    """One websocket: what came in so far, in order."""

    socket: aiohttp.ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, name: str, **fields: Any) -> dict[str, Any]:
        """Read on to the next event `name` whose order (or itself) has these fields."""
        while True:
            message = await asyncio.wait_for(self.socket.receive_json(), WAIT_SECS)
            self.messages.append(message)
            found = message.get("data", message)
            if found.get("e") == name and fields.items() <= {**found, **found.get("o", {})}.items():
                return found


@dataclass(slots=True)
class UsdmClient:
    """What a trader's program does by hand."""

    venue: Venue
    http: aiohttp.ClientSession
    place: str

    @property
    def account(self) -> Account:
        """The account whose key is used."""
        return self.venue.exchange.accounts["main"]

    async def call(self, method: str, path: str, **parameters: Any) -> tuple[int, Any]:
        """Send a signed request; returns HTTP status and body."""
        query = urlencode({**parameters, "timestamp": int(time.time() * 1000)})
        return await self.send(method, f"{path}?{query}&signature={sign(self.account.api_secret, query)}")

    async def send(self, method: str, target: str, key: str | None = None) -> tuple[int, Any]:
        """Send a request as it stands, with the account's key unless another is given."""
        headers = {"X-MBX-APIKEY": self.account.api_key if key is None else key}
        url = URL(f"http://{self.place}{target}", encoded=True)  # what is signed is sent as it is
        async with self.http.request(method, url, headers=headers) as response:
            return response.status, json.loads(await response.text())

    async def order(self, side: str, qty: str, price: str, **options: Any) -> tuple[int, Any]:
        """Send a LIMIT order."""
        fields = {"symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        return await self.call("POST", "/fapi/v1/order", **fields, quantity=qty, price=price, **options)

    async def market(self, side: str, qty: str, **options: Any) -> tuple[int, Any]:
        """Send a MARKET order."""
        fields = {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": qty}
        return await self.call("POST", "/fapi/v1/order", **fields, **options)

    async def stop(self, side: str, trigger: str, **options: Any) -> tuple[int, Any]:
        """Send a STOP_MARKET algo order."""
        fields = {"symbol": SYMBOL, "side": side, "type": "STOP_MARKET", "algoType": "CONDITIONAL"}
        return await self.call("POST", "/fapi/v1/algoOrder", **fields, triggerPrice=trigger, **options)

    def trade(self, price: str, qty: str = "1", side: Side = "SELL") -> int:
        """Print a public trade and return its id."""
        return self.venue.exchange.print_trade(SYMBOL, side, Decimal(qty), Decimal(price)).trade_id

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[Stream]:
        """Open a websocket."""
        async with self.http.ws_connect(f"ws://{self.place}{path}") as socket:
            yield Stream(socket)

    @asynccontextmanager
    async def user_stream(self) -> AsyncIterator[Stream]:
        """Open the user stream with a fresh listen key."""
        _, answer = await self.send("POST", "/fapi/v1/listenKey")
        async with self.stream(f"/ws?listenKey={answer['listenKey']}") as stream:
            await asyncio.sleep(0.02)  # the server's side of the connection is there
            yield stream


@asynccontextmanager
async def usdm(balance: int = 10_000) -> AsyncIterator[UsdmClient]:
    """Serve a fresh venue in this loop, its last price 50,000, and yield a client of it."""
    venue = make_venue(balance)
    runner = web.AppRunner(make_app([venue]), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place = f"127.0.0.1:{runner.addresses[0][1]}/{venue.name}"
    async with aiohttp.ClientSession() as http:
        client = UsdmClient(venue, http, place)
        client.trade("50000.00")
        yield client
    venue.drop_connections()
    await runner.cleanup()
