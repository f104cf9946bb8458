"""The archive formats by their columns: how each is recognised, and what its columns mean.

| format | header | time |
|---|---|---|
| Binance spot trades, aggTrades, klines | no | microseconds since 2025-01-01, milliseconds before |
| Binance futures trades, aggTrades, klines | yes (older files: no) | milliseconds |
| Bybit linear trades | yes | seconds with decimals |
| Bybit spot trades | yes | milliseconds |
| Bybit klines | yes or no | milliseconds, or text ``2020.03.25 10:36`` |
| tidy trades, tidy klines (Parquet or CSV) | yes | nanoseconds |

The unit of time is taken from its magnitude, file by file, never from the table above.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from runtime.errors import ConfigurationError, DataError

BOTH_VENUES: Final = frozenset({"binance", "bybit"})
ALL_MARKETS: Final = frozenset({"spot", "usdm", "linear"})
TRUE_WORDS: Final = frozenset({"true", "1"})
FALSE_WORDS: Final = frozenset({"false", "0"})
TRADE_ROLES: Final = ("time", "price", "qty")
KLINE_ROLES: Final = ("time", "open", "high", "low", "close", "volume")

# Header words of all formats, in lower case without underscores, by what they mean.
_TRADE_WORDS: Final = {
    "id": ("id", "tradeid", "aggtradeid"),
    "time": ("time", "timestamp", "transacttime", "tsns"),
    "price": ("price",),
    "qty": ("qty", "quantity", "size", "volume"),
    "maker": ("isbuyermaker", "buyermaker"),
    "side": ("side",),
    "symbol": ("symbol",),
}
_KLINE_WORDS: Final = {
    "time": ("opentime", "starttime", "startat", "start", "timestamp", "time", "tsopenns", "ts", "date"),
    "open": ("open", "openprice"),
    "high": ("high", "highprice"),
    "low": ("low", "lowprice"),
    "close": ("close", "closeprice"),
    "volume": ("volume",),
    "close_time": ("closetime",),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """One format.

    Parameters
    ----------
    name
        For messages.
    venues, markets, kind
        Where it belongs.
    header
        Header words, lower case without underscores, that only this format has together.
    columns
        Role by position for files without a header; "" is not read. Empty: always has a header.
    has_ids
        Whether its id is the venue's own and continuous. Bybit's is a UUID or a line number.
    has_spare
        Whether rows may have one column more than the header: those of Bybit's monthly spot files do (rpi).
    """

    name: str
    venues: frozenset[str]
    markets: frozenset[str]
    kind: str
    header: frozenset[str]
    columns: tuple[str, ...] = ()
    has_ids: bool = True
    has_spare: bool = False


def _layout(
    name: str,
    venue: str,
    markets: str,
    kind: str,
    header: str,
    columns: str = "",
    *,
    has_ids: bool = True,
    has_spare: bool = False,
) -> Layout:
    venues = BOTH_VENUES if venue == "any" else frozenset({venue})
    roles = tuple("" if role == "." else role for role in columns.split())
    market_set = ALL_MARKETS if markets == "any" else frozenset(markets.split())
    return Layout(name, venues, market_set, kind, frozenset(header.split()), roles, has_ids, has_spare)


_SPOT_AGG_HEADER: Final = (
    "aggtradeid price quantity firsttradeid lasttradeid transacttime isbuyermaker isbestmatch"
)
LAYOUTS: Final = (
    _layout("tidy trades", "any", "any", "trades", "tsns price qty buyermaker"),
    _layout("tidy klines", "any", "any", "klines", "tsopenns open high low close volume"),
    _layout("Binance spot trades", "binance", "spot", "trades",
            "id price qty quoteqty time isbuyermaker isbestmatch", "id price qty . time maker ."),
    _layout("Binance futures trades", "binance", "usdm", "trades",
            "id price qty quoteqty time isbuyermaker", "id price qty . time maker"),
    _layout("Binance spot aggTrades", "binance", "spot", "aggtrades",
            _SPOT_AGG_HEADER, "id price qty . . time maker ."),
    _layout("Binance futures aggTrades", "binance", "usdm", "aggtrades",
            _SPOT_AGG_HEADER.removesuffix(" isbestmatch"), "id price qty . . time maker"),
    _layout("Binance klines", "binance", "spot usdm", "klines",
            "opentime open high low close volume closetime",
            "time open high low close volume close_time . . . . ."),
    _layout("Bybit linear trades", "bybit", "linear", "trades",
            "timestamp symbol side size price", has_ids=False),
    _layout("Bybit spot trades", "bybit", "spot", "trades",
            "id timestamp price volume side", has_ids=False, has_spare=True),
    _layout("Bybit klines", "bybit", "spot linear", "klines",
            "open high low close volume", "time open high low close volume ."),
    _layout("Bybit klines of the REST interface", "bybit", "spot linear", "klines",
            "openprice highprice lowprice closeprice volume"),
    _layout("Bybit klines for MetaTrader", "bybit", "spot linear", "klines",
            "date open high low close volume", "time open high low close volume"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Columns:
    """A recognised file: its layout, which column has which role, and how many lines its header takes.

    ``header_lines`` counts blank lines before the header, too; 0: the file has none.
    """

    layout: Layout
    roles: dict[str, int]
    width: int
    header_lines: int


def plain(word: str) -> str:
    """Return a header word in lower case without underscores, spaces and byte order mark."""
    return word.strip().lstrip("\ufeff").lower().replace("_", "").replace(" ", "")


def recognise(fields: list[str], venue: str, market: str, kind: str, file: str) -> Columns:
    """Find the layout of a text file from the fields of its first line.

    Parameters
    ----------
    fields
        Of the header, or of the first row.
    venue, market, kind
        What the user says it is.
    file
        For messages.

    Raises
    ------
    ConfigurationError
        When it is a format that we know, but of another venue, market or kind.
    DataError
        When the columns belong to no format that we know.
    """
    words = [plain(word) for word in fields]
    has_header = not any(_is_number(word) for word in fields) and not _is_time(fields[0])
    fitting = [
        layout for layout in LAYOUTS if (layout.header <= set(words) if has_header else _fits(layout, fields))
    ]
    if has_header:
        # A header that holds all words of two formats is that with more of them, whatever the user says.
        headers = [layout.header for layout in fitting]
        fitting = [layout for layout in fitting if not any(layout.header < other for other in headers)]
    wanted = [layout for layout in fitting if _agrees(layout, venue, market, kind)]
    if not fitting:
        shown = ", ".join(fields[:12])[:120]
        raise DataError(f"{file}: columns of no known archive format: {shown} (see docs/how-to/import.md)")
    if not wanted:
        found = " or ".join(layout.name for layout in fitting[:2])
        raise ConfigurationError(
            f"{file}: looks like {found}, not {venue} {market} {kind}: check --venue, --market and --kind"
        )
    layout = max(wanted, key=lambda layout: len(layout.header))
    roles = _roles_of_header(words, layout) if has_header else _roles_of_positions(layout)
    return Columns(layout, roles, len(fields), int(has_header))


def _agrees(layout: Layout, venue: str, market: str, kind: str) -> bool:
    return venue in layout.venues and market in layout.markets and kind == layout.kind


def _fits(layout: Layout, fields: list[str]) -> bool:
    """Tell whether a row without a header can be of this layout: width, a plausible time, a readable flag."""
    if len(fields) != len(layout.columns):
        return False
    by_role = {role: fields[at] for role, at in _roles_of_positions(layout).items()}
    if "maker" in by_role and by_role["maker"].strip().lower() not in TRUE_WORDS | FALSE_WORDS:
        return False
    return _is_time(by_role["time"])


def _roles_of_positions(layout: Layout) -> dict[str, int]:
    return {role: at for at, role in enumerate(layout.columns) if role}


def _roles_of_header(words: list[str], layout: Layout) -> dict[str, int]:
    meanings = _KLINE_WORDS if layout.kind == "klines" else _TRADE_WORDS
    roles = {}
    for role, synonyms in meanings.items():
        at = next((words.index(word) for word in synonyms if word in words), None)
        if at is not None and (role != "id" or layout.has_ids):
            roles[role] = at
    return roles


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    if _is_number(text):
        return float(text) >= 1e9 and time_unit(float(text)) > 0
    return text_time_ns(text) is not None


def time_unit(value: float) -> int:
    """Return nanoseconds per unit of a time by its magnitude: seconds, milli-, micro- or nanoseconds.

    Examples
    --------
    >>> time_unit(1_700_000_000), time_unit(1_700_000_000_000_000)
    (1000000000, 1000)
    """
    for limit, unit in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)):
        if value < limit:
            return unit
    return 1


def text_time_ns(text: str) -> int | None:
    """Return UNIX nanoseconds of ``2020.03.25 10:36`` or ISO text in UTC, None if it is neither."""
    try:
        moment = datetime.fromisoformat(
            text.strip().replace(".", "-", 2) if text[4:5] == "." else text.strip()
        )
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000
