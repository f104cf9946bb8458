"""Section `live` of the settings: which accounts a node trades on, and where it keeps its state."""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from runtime.live.dead_man_settings import DeadManSettings
from runtime.live.freshness import DataSettings
from runtime.live.limits import LimitSettings
from runtime.live.paper_settings import PaperSettings
from runtime.live.protection_settings import ProtectionSettings
from runtime.live.recording_settings import RecordingSettings

type VenueKind = Literal["binance", "bybit"]
type MarketKind = Literal["spot", "usdm", "linear"]
type EnvironmentKind = Literal["live", "testnet", "demo"]

MARKETS: Final[dict[str, tuple[str, ...]]] = {"binance": ("spot", "usdm"), "bybit": ("spot", "linear")}
HTTP_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?")
WS_ADDRESS: Final = re.compile(r"wss?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?")
VENUE_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")
TRADER_ID: Final = re.compile(r"[A-Za-z0-9_]+-[A-Za-z0-9]+")
REDIS_ADDRESS: Final = re.compile(r"redis(s?)://([^\s/?#:@]+)(?::(\d{1,5}))?")


class VenueHosts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other addresses of a venue, for a local exchange; null everywhere leaves the adapter its own.

    Parameters
    ----------
    http
        REST interface, ``http(s)://host[:port][/path]``.
    ws
        Public stream. Bybit: without ``/v5/public/...``.
    ws_user
        Stream of the account's events: Binance spot the WebSocket interface (``.../ws-api/v3``), Binance
        USD-M what ``/ws?listenKey=`` is put behind (with a path of its own: ending in ``/ws``), Bybit the
        private stream.
    ws_orders
        Stream by which orders are sent, Bybit alone.
    """

    http: str | None = None
    ws: str | None = None
    ws_user: str | None = None
    ws_orders: str | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            address = getattr(self, name)
            shape, scheme = (HTTP_ADDRESS, "http") if name == "http" else (WS_ADDRESS, "ws")
            if address is not None and not shape.fullmatch(address):
                raise ValueError(
                    f"{name} {address!r} is no base address: expected {scheme}(s)://host[:port][/path] "
                    "without a slash at the end"
                )

    @property
    def are_set(self) -> bool:
        """Tell whether any address replaces the adapter's."""
        return any(getattr(self, name) is not None for name in self.__struct_fields__)


class LiveVenue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account at one venue. Its keys come from the environment (docs/how-to/live.md).

    Parameters
    ----------
    venue
        ``binance`` or ``bybit``.
    market
        Binance: ``spot`` or ``usdm``; Bybit: ``spot`` or ``linear``.
    environment
        ``live``, or the venue's ``testnet`` or ``demo`` where orders cost nothing.
    name
        The part of instrument ids behind the dot; null: BINANCE or BYBIT. Two accounts in one node need two
        names.
    leverage
        Set at the venue for each traded contract when the node starts; null leaves the venue's setting.
    hosts
        Other addresses, for a local exchange.
    """

    venue: VenueKind
    market: MarketKind
    environment: EnvironmentKind = "live"
    name: str | None = None
    leverage: Annotated[int, Meta(ge=1, le=125)] | None = None
    hosts: VenueHosts = VenueHosts()

    def __post_init__(self) -> None:
        allowed = MARKETS[self.venue]
        if self.market not in allowed:
            raise ValueError(f"{self.venue} has no market {self.market}: choose {' or '.join(allowed)}")
        if self.name is not None and not VENUE_NAME.fullmatch(self.name):
            raise ValueError(
                f"name {self.name!r} is not made of capitals, digits and _: for example BINANCE_SPOT"
            )
        if self.venue == "binance" and self.name is not None and self.name.split("_")[0] != "BINANCE":
            raise ValueError(
                f"name {self.name} must begin with BINANCE: what the venue can do is known by it"
            )
        if self.venue == "bybit" and self.name not in (None, "BYBIT"):
            raise ValueError(f"name {self.name}: the adapter calls this venue BYBIT and nothing else")
        if self.market == "spot" and self.leverage is not None:
            raise ValueError(f"leverage {self.leverage}: spot has none, leave it out")
        if self.venue == "bybit" and self.hosts.http is not None and self.hosts.ws is None:
            raise ValueError(
                "hosts.http is set and hosts.ws is not: the adapter would take it for the stream"
            )
        if self.venue == "binance" and self.hosts.ws_orders is not None:
            raise ValueError("hosts.ws_orders: Binance takes orders by REST, leave it out")

    @property
    def venue_name(self) -> str:
        """Name of the venue in instrument ids."""
        return self.name or self.venue.upper()

    @property
    def is_spot(self) -> bool:
        """Tell whether what is bought is held (cash account) rather than margined."""
        return self.market == "spot"


class LiveSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a paper or live node needs besides its strategies (docs/how-to/paper.md, docs/how-to/live.md).

    Parameters
    ----------
    venues
        The accounts; every traded instrument needs the one that its id names.
    folder
        State, one folder below per mode, so that paper and live never meet: ``paper/`` and ``live/``.
    trader_id
        Of the node, ``NAME-TAG``. Client order ids depend on it: keep it over restarts.
    redis
        Nautilus' cache in a Redis server, ``redis://host[:port]``; null: none, the node's own state file is
        enough. A password belongs into the environment: ``REDIS_PASSWORD``.
    metrics_port
        Of the endpoint for Prometheus, on loopback; 0 for none.
    connection_secs
        Longest time in which all venues must be connected and reconciled at the start.
    lookback_mins
        How far back orders and fills are asked of the venue at the start.
    max_rss_mb
        Resident memory above which the node takes its entries back and starts itself anew, MiB; 0 for never.
        Not within five minutes of a start.
    min_disk_mb
        Free space below which the node reports itself failing, beside the journal's own reserve.
    paper
        The simulated accounts of a paper node.
    data
        When market data are too old, late or incomplete to open anything.
    limits
        What an account may risk, whatever a strategy wants.
    recording
        What is kept of a session, so that it can be replayed.
    dead_man
        Whether venues take entries back that the node has forsaken.
    protection
        How long a position may be without a stop, and what happens to positions that nobody planned.
    """

    venues: tuple[LiveVenue, ...] = ()
    folder: str = "var/live"
    trader_id: str = "SMCBOT-001"
    redis: str | None = None
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    connection_secs: Annotated[float, Meta(ge=1, le=600)] = 60.0
    lookback_mins: Annotated[int, Meta(ge=1, le=10_080)] = 1440
    max_rss_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    min_disk_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 1024
    paper: PaperSettings = PaperSettings()
    data: DataSettings = DataSettings()
    limits: LimitSettings = LimitSettings()
    recording: RecordingSettings = RecordingSettings()
    dead_man: DeadManSettings = DeadManSettings()
    protection: ProtectionSettings = ProtectionSettings()

    def __post_init__(self) -> None:
        names = [one.venue_name for one in self.venues]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(_doubled(doubled))
        if not TRADER_ID.fullmatch(self.trader_id):
            raise ValueError(f"trader_id {self.trader_id!r} is not NAME-TAG, for example SMCBOT-001")
        if self.redis is not None and not REDIS_ADDRESS.fullmatch(self.redis):
            raise ValueError(
                "redis is not redis://host[:port]; a password belongs into the environment variable "
                "REDIS_PASSWORD"
            )

    def venue_of(self, instrument_id: str) -> LiveVenue | None:
        """Return the account that trades an instrument by the name behind the dot of its id, None without."""
        name = instrument_id.rpartition(".")[2]
        return next((one for one in self.venues if one.venue_name == name), None)


def _doubled(name: str) -> str:
    if name == "BYBIT":
        return "two entries are BYBIT: its adapter has one account per node, run spot and linear as two nodes"
    return f"two entries are named {name}: set name, for example BINANCE_SPOT and BINANCE_FUTURES"


# Every struct of this section, for the schema and the tests.
STRUCTS: Final[tuple[type[Any], ...]] = (
    LiveSettings, LiveVenue, VenueHosts, PaperSettings, DataSettings, LimitSettings, DeadManSettings,
    RecordingSettings, ProtectionSettings,
)  # fmt: skip
