"""How a venue's wire protocol plugs into the simulator.

A protocol module has one class: it declares routes, answers requests by calling the exchange, and hears the
exchange's events as a `Listener` to write its streams. Latency, faults, limits and records are the frame's.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from aiohttp import web

from tests.venue_simulator.core import Listener, Market, VenueRefusal, VenueRules
from tests.venue_simulator.limits import Window
from tests.venue_simulator.streams import Connection

if TYPE_CHECKING:
    from tests.venue_simulator.venue import Venue

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
type SocketHandler = Callable[[web.Request, Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """One REST endpoint: path below the venue's own (`/api/v3/order`), handler, and what a call costs.

    `weights` are units by the name of a `Window`; a request-dependent cost is spent by the handler itself
    (`Venue.limiter`).
    """

    method: str
    path: str
    handler: Handler
    weights: dict[str, int] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """How faults and records name it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """One websocket endpoint; the handler runs as long as the connection lives."""

    path: str
    name: str
    handler: SocketHandler


@dataclass(frozen=True, slots=True)
class SymbolTerms:
    """What a tape says about one of its symbols: increments, first price, size that levels display."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    first_price: Decimal
    typical_qty: Decimal


class RequestError(Exception):
    """A request that never reaches the exchange (bad signature, missing parameter): what to answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.text)
        self.response = response


class Protocol(Listener, ABC):
    """One venue's wire protocol.

    Parameters
    ----------
    venue
        Exchange, clock, limits, history, open connections; see `tests.venue_simulator.venue`.
    """

    name: ClassVar[str]
    """Path prefix and name for `/ctl`: "binance_spot", ..."""

    def __init__(self, venue: "Venue") -> None:
        self.venue = venue
        self.exchange = venue.exchange

    # --- what the venue is; called before it exists

    @staticmethod
    @abstractmethod
    def make_markets(terms: SymbolTerms) -> Sequence[Market]:
        """Return the markets in which a tape's symbol trades here, with the venue's real filters and fees."""

    @staticmethod
    def rules() -> VenueRules:
        """Return where this venue differs from others."""
        return VenueRules()

    @staticmethod
    def windows() -> dict[str, Window]:
        """Return the request limits."""
        return {}

    # --- the wire

    @abstractmethod
    def routes(self) -> Iterable[Route | SocketRoute]:
        """Return the endpoints."""

    @abstractmethod
    def refused(self, refusal: VenueRefusal) -> web.Response:
        """Answer a request that the exchange refused."""

    @abstractmethod
    def failed(self, status: int, code: int, text: str) -> web.Response:
        """Answer with a scripted error, in the venue's form."""

    @abstractmethod
    def limited(self, status: int, wait_secs: int) -> web.Response:
        """Answer a request over the limit: 429, or 418 during a ban."""

    def stamp(self, response: web.StreamResponse) -> None:
        """Add the headers that every answer has (used weight, ...)."""

    def expire_user_stream(self, account: str) -> None:
        """End the private stream of an account as the venue does (listenKey expired, session ended)."""

    def settle_funding(self, symbol: str, rate: Decimal) -> None:
        """Settle funding of a perpetual now; does nothing where there is none."""

    def enable_disconnect_cancel(self, product: str, secs: int) -> None:
        """Give the account the venue's own protection against lost sessions; refuses where it has none."""
        raise ValueError(f"{self.name} has no disconnection protection ({product}, {secs} s)")

    def on_tick(self) -> None:
        """Take the passing of time, about every 20 ms: closes of klines, funding, expiring listen keys."""

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds."""
        return self.venue.clock.now_ns() // 1_000_000
