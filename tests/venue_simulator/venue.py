"""One venue of the simulator: its exchange, troubles, limits, records, connections, and the request path."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web

from tests.venue_simulator.core import Account, Exchange, Listener, Market, Trade, VenueRefusal, WallClock
from tests.venue_simulator.faults import EndpointFault, Faults
from tests.venue_simulator.history import TradeHistory
from tests.venue_simulator.limits import Limiter
from tests.venue_simulator.protocol import Protocol, RequestError, Route, SocketRoute
from tests.venue_simulator.streams import Connection

MOST_RECORDS = 100_000
MOST_TOLD = 20_000


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as the venue saw it; secrets (signature, key) are left out."""

    ts_ns: int
    endpoint: str
    params: dict[str, str]
    status: int
    fault: str = ""
    arrived_ns: int = 0
    """By the machine's clock, before it waited for the latency; 0 for what came over a websocket."""


class Told(NamedTuple):
    """A private message as it was written to its stream, by the machine's clock."""

    ns: int
    text: str


class _Historian(Listener):
    def __init__(self, histories: dict[str, TradeHistory]) -> None:
        self._histories = histories

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        self._histories[market.key].extend(trades)


class Venue:
    """One venue.

    Parameters
    ----------
    protocol
        The class of its wire protocol.
    markets, accounts
        What is traded, and by whom.
    latency_secs
        One way: a request waits so long before the exchange sees it, a stream message before it is written.
    """

    def __init__(
        self,
        protocol: type[Protocol],
        markets: Iterable[Market],
        accounts: Iterable[Account],
        latency_secs: float = 0.005,
    ) -> None:
        self.name = protocol.name
        self.clock = WallClock()
        self.exchange = Exchange(markets, accounts, self.clock, protocol.rules())
        self.latency_secs = latency_secs
        self.faults = Faults(self.drop_connections)
        self.limiter = Limiter(self.clock, protocol.windows())
        self.requests: deque[RequestRecord] = deque(maxlen=MOST_RECORDS)
        self.request_counts: Counter[str] = Counter()
        self.told: deque[Told] = deque(maxlen=MOST_TOLD)
        self.connections: set[Connection] = set()
        self.connections_opened = 0
        self.histories = {key: TradeHistory(market) for key, market in self.exchange.markets.items()}
        self.exchange.add_listener(_Historian(self.histories))
        self.protocol = protocol(self)
        self.exchange.add_listener(self.protocol)

    def add_to(self, app: web.Application) -> None:
        """Register every endpoint below `/<name>`."""
        for route in self.protocol.routes():
            if isinstance(route, SocketRoute):
                app.router.add_get(f"/{self.name}{route.path}", self._socket_handler(route))
            else:
                app.router.add_route(route.method, f"/{self.name}{route.path}", self._rest_handler(route))

    def drop_connections(self, name: str = "") -> None:
        """Break every open stream, or those of one name."""
        for connection in list(self.connections):
            if name in ("", connection.name):
                connection.abort()

    def note(
        self, endpoint: str, params: dict[str, str], status: int, fault: str = "", arrived_ns: int = 0
    ) -> None:
        """Record a request; protocols call it for requests that come over a websocket."""
        kept = {name: value for name, value in params.items() if name.lower() not in {"signature", "apikey"}}
        now_ns = self.clock.now_ns()
        self.requests.append(RequestRecord(now_ns, endpoint, kept, status, fault, arrived_ns))
        self.request_counts[endpoint] += 1

    async def travel(self) -> None:
        """Wait as long as a request is under way, and as long as the venue is frozen."""
        await asyncio.sleep(self.latency_secs + self.faults.delay_secs)
        while frozen_secs := self.faults.frozen_secs:
            await asyncio.sleep(frozen_secs)

    def _rest_handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            arrived_ns = time.time_ns()
            self._refuse_when_cut(request)
            await self.travel()
            self._refuse_when_cut(request)
            fault = self.faults.take_endpoint_fault(route.endpoint)
            response = await self._answer(request, route, fault)
            self.protocol.stamp(response)
            params = dict(request.query)
            if request.method == "POST" and request.can_read_body:
                params["body"] = await request.text()
            params |= response.get("noted", {})
            self.note(route.endpoint, params, response.status, fault.when if fault else "", arrived_ns)
            if (fault is not None and fault.when == "lost") or self.faults.is_cut:
                self._abort(request)
            return response

        return handle

    async def _answer(
        self, request: web.Request, route: Route, fault: EndpointFault | None
    ) -> web.StreamResponse:
        wait = self.limiter.refusal(route.weights)
        if wait is not None:
            return self.protocol.limited(*wait)
        if fault is not None and fault.when == "before":
            return self.protocol.failed(fault.status, fault.code, fault.text)
        try:
            response = await route.handler(request)
        except VenueRefusal as refusal:
            response = self.protocol.refused(refusal)
        except RequestError as error:
            response = error.response
        if fault is not None and fault.when == "after":
            return self.protocol.failed(fault.status, fault.code, fault.text)
        return response

    def _socket_handler(self, route: SocketRoute) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._refuse_when_cut(request)
            await self.travel()
            socket = web.WebSocketResponse(compress=False, heartbeat=None, max_msg_size=1 << 20)
            await socket.prepare(request)
            transport = request.transport
            assert transport is not None
            connection = Connection(
                route.name,
                socket,
                transport,
                self.faults,
                lambda: self.latency_secs,
                lambda text: self.told.append(Told(time.time_ns(), text)),
            )
            self.connections.add(connection)
            self.connections_opened += 1
            try:
                await route.handler(request, connection)
            finally:
                self.connections.discard(connection)
            return socket

        return handle

    def _refuse_when_cut(self, request: web.Request) -> None:
        if self.faults.is_cut:
            self._abort(request)

    @staticmethod
    def _abort(request: web.Request) -> None:
        """Close the connection without an answer."""
        if request.transport is not None:
            request.transport.abort()
        raise web.HTTPServiceUnavailable  # nobody will read it
