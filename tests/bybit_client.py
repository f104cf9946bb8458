"""A small signing client of Bybit v5 for tests of the local exchange, over REST and websockets."""

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import httpx
from pybit._http_manager import generate_signature

from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.core import Account, Market
from tests.venue_simulator.protocol import SymbolTerms

KEY, SECRET = Account().api_key, Account().api_secret


def account(**balances: int) -> Account:
    """Make the main account; 10,000 USDT unless told otherwise."""
    return Account.with_balances(balances or {"USDT": 10_000})


def markets() -> list[Market]:
    """Return BTCUSDT of spot and of linear, with tick 0.1 and lot 0.001."""
    terms = SymbolTerms(
        "BTCUSDT", "BTC", "USDT", Decimal("0.10"), Decimal("0.001"), Decimal(50_000), Decimal("0.05")
    )
    return list(Bybit.make_markets(terms))


class Rest:
    """Signed REST requests; every answer is the whole envelope."""

    def __init__(self, address: str, key: str = KEY, secret: str = SECRET) -> None:
        self.address, self.key, self.secret = address, key, secret
        self.last_headers: Mapping[str, str] = {}
        self._client = httpx.Client(verify=False)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Ask."""
        query = urlencode(params)
        return self._send("GET", f"{path}?{query}" if query else path, query, None)

    def post(self, path: str, **params: Any) -> dict[str, Any]:
        """Order."""
        body = json.dumps(params)
        return self._send("POST", path, body, body)

    def order(self, **changes: Any) -> dict[str, Any]:
        """Place a small linear buy at 49,000, changed as asked."""
        usual = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.010",
        }
        return self.post("/v5/order/create", **usual | {"price": "49000"} | changes)

    def _send(self, method: str, target: str, payload: str, body: str | None) -> dict[str, Any]:
        timestamp = str(int(time.time() * 1000))
        headers = {
            "X-BAPI-API-KEY": self.key,
            "X-BAPI-TIMESTAMP": timestamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": generate_signature(False, self.secret, f"{timestamp}{self.key}5000{payload}"),
        }
        answer = self._client.request(method, f"{self.address}{target}", content=body, headers=headers)
        self.last_headers = answer.headers
        made: dict[str, Any] = answer.json()
        return made


class Socket:
    """A websocket session that is logged in on demand and remembers what it heard."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and return the next one."""
        await self._socket.send_json(message)
        return await self.next()

    async def next(self) -> dict[str, Any]:
        """Return the next message, whatever it is."""
        heard: dict[str, Any] = await self._socket.receive_json(timeout=5)
        return heard

    async def until(self, topic: str) -> dict[str, Any]:
        """Return the next message of a topic; what comes before it is dropped."""
        while True:
            heard = await self.next()
            if heard.get("topic") == topic:
                return heard

    async def login(self) -> dict[str, Any]:
        """Log in with the account's key."""
        expires = int(time.time() * 1000) + 5_000
        return await self.ask(
            op="auth", args=[KEY, expires, generate_signature(False, SECRET, f"GET/realtime{expires}")]
        )

    async def order(self, op: str, **params: Any) -> dict[str, Any]:
        """Send an order request and return its answer."""
        usual = {"category": "linear", "symbol": "BTCUSDT"}
        header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000))}
        await self._socket.send_json(
            {"reqId": str(time.time_ns()), "op": op, "header": header, "args": [usual | params]}
        )
        while True:
            heard = await self.next()
            if heard.get("op") == op:
                return heard


async def connect(session: aiohttp.ClientSession, address: str, path: str) -> Socket:
    """Open a session."""
    return Socket(await session.ws_connect(f"{address}{path}"))


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run the client's side of a test."""
    return asyncio.run(work)
