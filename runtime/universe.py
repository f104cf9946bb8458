"""Which symbols are worth trading: the largest by turnover, today or as they were in each month.

Today's list applied to the past is survivorship bias. The point-in-time universe of a month ranks by the
turnover of the month before, delisted symbols included, and is stored with its dates beside the catalog.
"""

import asyncio
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime.cli import NANOS_PER_SECOND, format_ns
from runtime.download.http import Http
from runtime.download.venue_rows import VenueSymbol
from runtime.errors import ConfigurationError, DataError
from runtime.instruments import instrument_id_text
from runtime.manifest import replace_file
from runtime.settings import Settings
from runtime.venue_instruments import VenueRest, venue_rest

FOLDER: Final = "universe"
VERSION: Final = 1
QUOTE: Final = "USDT"
# Some tokens are named in Chinese: no archive path and no instrument id can hold them.
PLAIN_NAME: Final = re.compile(r"[A-Z0-9]{3,20}")
DAY_NS: Final = 86_400 * NANOS_PER_SECOND

# What a symbol of these bases follows is another coin or a currency, not a market of its own.
STABLE: Final = frozenset(
    {"USDC", "FDUSD", "TUSD", "BUSD", "DAI", "USDP", "PAX", "USDS", "USDE", "PYUSD", "USD1", "RLUSD", "XUSD",
     "BFUSD", "USDD", "USDY", "SUSD", "UST", "USTC", "EURI", "AEUR", "EURT"}
)  # fmt: skip
FIAT: Final = frozenset(
    {"EUR", "GBP", "AUD", "TRY", "BRL", "JPY", "ZAR", "UAH", "RUB", "ARS", "COP", "MXN", "CZK", "PLN", "RON"}
)  # fmt: skip
WRAPPED: Final = frozenset({"WBTC", "WBETH", "STETH", "BETH", "BNSOL", "CMETH", "METH", "BBSOL"})
_BY_NAME: Final = {"stable": STABLE, "fiat": FIAT, "wrapped": WRAPPED}
LEVERAGED: Final = "leveraged"
# What the name of a coin tells by itself.
NAMED_CATEGORIES: Final = (*_BY_NAME, LEVERAGED)
LEVERAGED_ENDINGS: Final = ("DOWN", "UP", "BULL", "BEAR", "2L", "2S", "3L", "3S", "5L", "5S")
USUALLY_EXCLUDED: Final = ("stable", "fiat", "leveraged", "wrapped", "index")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a symbol must be to enter the universe.

    Parameters
    ----------
    min_age_days
        Days since its listing, at least; 0 asks nothing.
    max_spread_bps
        Spread in hundredths of a percent of the price, at most; None asks nothing. Only known for today.
    exclude
        Categories that are left out.
    only
        If not empty, one of these categories is needed.
    deny
        Symbols that are never wanted.
    """

    min_age_days: float = 0.0
    max_spread_bps: float | None = None
    exclude: tuple[str, ...] = USUALLY_EXCLUDED
    only: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def reason_against(self, symbol: str, categories: Collection[str]) -> str | None:
        """Return which filter a symbol fails by its name and categories, None when it passes."""
        if not PLAIN_NAME.fullmatch(symbol):
            return "name"
        if symbol in self.deny:
            return "deny"
        if set(categories) & set(self.exclude) or (self.only and not set(categories) & set(self.only)):
            return "category"
        return None


@dataclass(frozen=True, slots=True)
class RankedSymbol:
    """A symbol of today's universe; `turnover` is that of 24 hours in the quote currency."""

    rank: int
    symbol: str
    instrument: str
    turnover: float
    spread_bps: float | None
    listed_ns: int | None
    categories: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the row that ``universe --json`` prints."""
        listed = None if self.listed_ns is None else format_ns(self.listed_ns)
        return {
            "rank": self.rank,
            "symbol": self.symbol,
            "instrument": self.instrument,
            "turnover": self.turnover,
            "spread_bps": None if self.spread_bps is None else round(self.spread_bps, 4),
            "listed": listed,
            "categories": list(self.categories),
        }


@dataclass(slots=True)
class Ranking:
    """Today's universe, and how many symbols each filter left out on the way to it."""

    symbols: list[RankedSymbol] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def categories_of(base: str, bases: Collection[str], tags: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what kind of coin a base is: the venue's own tags and what its name tells.

    A leveraged token is a listed base with an ending, so that JUP is none.

    Examples
    --------
    >>> categories_of("BTCUP", {"BTC", "BTCUP", "JUP"}), categories_of("JUP", {"BTC", "JUP"})
    (('leveraged',), ())
    """
    found = set(tags)
    for name, members in _BY_NAME.items():
        if base in members:
            found.add(name)
    if any(base.endswith(ending) and base.removesuffix(ending) in bases for ending in LEVERAGED_ENDINGS):
        found.add(LEVERAGED)
    return tuple(sorted(found))


# --- today -----------------------------------------------------------------------------------------------
def top_symbols(
    settings: Settings, venue: str, market: str, top: int, filters: Filters | None = None
) -> tuple[str, ...]:
    """Return today's `top` symbols by turnover of 24 hours, the largest first.

    Raises
    ------
    ConfigurationError
        When the venue has no such market, or the filters leave nothing.
    VenueError
        When the venue cannot be reached.
    """

    async def main() -> Ranking:
        async with Http(settings.download) as http:
            return await rank_symbols(http, settings, venue, market, top, filters or Filters())

    ranking = asyncio.run(main())
    if not ranking.symbols:
        raise ConfigurationError(f"--top {top}: the filters leave no symbol of {venue} {market}")
    return tuple(one.symbol for one in ranking.symbols)


async def rank_symbols(
    http: Http, settings: Settings, venue: str, market: str, top: int, filters: Filters
) -> Ranking:
    """Rank the symbols that trade against USDT now by their turnover of 24 hours.

    Raises
    ------
    ConfigurationError
        When the venue has no such market.
    VenueError
        When it cannot be reached.
    """
    rest = venue_rest(http, settings, venue, market)
    known, tickers = await asyncio.gather(rest.symbols(), rest.tickers())
    trading = {one.symbol: one for one in known if one.is_trading and one.quote == QUOTE}
    bases = {one.base for one in known}
    now_ns = time.time_ns()
    ranking = Ranking()
    for ticker in sorted(tickers, key=lambda ticker: (-ticker.turnover, ticker.symbol)):
        if len(ranking.symbols) == top:
            break
        symbol = trading.get(ticker.symbol)
        if symbol is None or ticker.turnover <= 0:
            continue
        categories = categories_of(symbol.base, bases, symbol.tags)
        reason = filters.reason_against(symbol.symbol, categories)
        if reason is None and filters.max_spread_bps is not None:
            is_wide = ticker.spread_bps is None or ticker.spread_bps > filters.max_spread_bps
            reason = "spread" if is_wide else None
        listed_ns = symbol.listed_ns
        if reason is None and filters.min_age_days > 0:
            listed_ns = await _listed_ns(rest, symbol)
            if listed_ns is None or now_ns - listed_ns < filters.min_age_days * DAY_NS:
                reason = "age"
        if reason is not None:
            ranking.left_out[reason] = ranking.left_out.get(reason, 0) + 1
            continue
        ranking.symbols.append(
            RankedSymbol(
                len(ranking.symbols) + 1,
                symbol.symbol,
                instrument_id_text(venue, market, symbol.symbol),
                ticker.turnover,
                ticker.spread_bps,
                listed_ns,
                categories,
            )
        )
    return ranking


async def _listed_ns(rest: VenueRest, symbol: VenueSymbol) -> int | None:
    # Asked one by one in the order of the ranking: only few are needed.
    return symbol.listed_ns if symbol.listed_ns is not None else await rest.first_open_ns(symbol.symbol)


# --- point in time ---------------------------------------------------------------------------------------
class SymbolMonth(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol in one month.

    Parameters
    ----------
    symbol
        As the venue writes it.
    turnover
        Sum of the month, in the quote currency.
    days
        Days with a kline.
    last_day
        The last of them, ISO: before the end of the month it no longer traded.
    first_month
        The first month that the archive has of it, YYYY-MM.
    """

    symbol: str
    turnover: float
    days: int
    last_day: str
    first_month: str


class UniverseMonth(msgspec.Struct, frozen=True, kw_only=True):
    """The turnover of one month.

    Parameters
    ----------
    month
        Whose turnover it is, YYYY-MM. It is known from the end of that month on, and not earlier.
    symbols
        All symbols of the archive, the largest first.
    missing
        Symbols whose file the archive lists but does not have, or lacks between two others.
    awaited
        Of the newest month of the archive: symbols whose listing ends the month before. They were delisted,
        or their file is not published yet; while there are any, the month is fetched again.
    """

    month: str
    symbols: tuple[SymbolMonth, ...]
    missing: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """The stored months of one market, with the choice that was made last."""

    version: int = VERSION
    venue: str
    market: str
    quote: str = QUOTE
    top: int
    min_age_days: float = 0.0
    exclude: tuple[str, ...] = USUALLY_EXCLUDED
    only: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    months: dict[str, UniverseMonth] = {}

    @property
    def filters(self) -> Filters:
        """The filters that were chosen last."""
        return Filters(min_age_days=self.min_age_days, exclude=self.exclude, only=self.only, deny=self.deny)


@dataclass(frozen=True, slots=True)
class UniverseSpan:
    """Who is in the universe from `from_ns` until before `to_ns`, by the turnover of `based_on` (YYYY-MM)."""

    from_ns: int
    to_ns: int
    based_on: str
    symbols: tuple[SymbolMonth, ...]
    instruments: tuple[str, ...]


def universe_path(catalog: Path, venue: str, market: str) -> Path:
    """Return the file of a market's point-in-time universe."""
    return catalog / FOLDER / f"{venue}-{market}.json"


def read_universe(catalog: Path, venue: str, market: str) -> Universe | None:
    """Read a stored universe, None if there is none; DataError when the file is damaged."""
    path = universe_path(catalog, venue, market)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Universe)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged universe ({error}); delete it and make it again") from error
    if found.version != VERSION:
        raise DataError(f"{path}: universe version {found.version}, this program reads {VERSION}")
    return found


def write_universe(catalog: Path, universe: Universe) -> None:
    """Store a universe; a crash leaves the old file or the new one."""
    path = universe_path(catalog, universe.venue, universe.market)
    path.parent.mkdir(parents=True, exist_ok=True)
    months = dict(sorted(universe.months.items()))
    content = msgspec.json.encode(msgspec.structs.replace(universe, months=months))
    replace_file(path, msgspec.json.format(content, indent=1) + b"\n")


def universe_at(
    folder: Path, ts_ns: int, *, venue: str = "binance", market: str = "spot", top: int | None = None
) -> tuple[str, ...]:
    """Return the instruments of the universe at a moment, the largest first.

    Only the turnover of the month before is used, which was known at that moment.

    Parameters
    ----------
    folder
        The catalog.
    ts_ns
        UNIX nanoseconds UTC.
    venue, market
        Whose universe.
    top
        How many, None: as many as were asked for when it was stored.

    Returns
    -------
    tuple of str
        Nautilus instrument ids.

    Raises
    ------
    ConfigurationError
        When the month that is needed is not stored: no other month stands in for it.
    DataError
        When the file is damaged.
    """
    return universe_span(stored_universe(folder, venue, market), ts_ns, top).instruments


def universe_schedule(
    folder: Path,
    start_ns: int,
    end_ns: int,
    *,
    venue: str = "binance",
    market: str = "spot",
    top: int | None = None,
) -> list[UniverseSpan]:
    """Return the universes of [start_ns, end_ns), one a month, in order; raises as :func:`universe_at`."""
    universe = stored_universe(folder, venue, market)
    spans: list[UniverseSpan] = []
    while start_ns < end_ns:
        spans.append(universe_span(universe, start_ns, top))
        start_ns = spans[-1].to_ns
    return spans


def stored_universe(folder: Path, venue: str, market: str) -> Universe:
    """Return the stored universe; ConfigurationError, with the command that makes it, without one."""
    universe = read_universe(folder, venue, market)
    if universe is None:
        raise ConfigurationError(
            f"{universe_path(folder, venue, market)}: no point-in-time universe; make it with "
            f"`download_data.py universe --venue {venue} --market {market} --top 20 --start … --end …`"
        )
    return universe


def universe_span(universe: Universe, ts_ns: int, top: int | None = None) -> UniverseSpan:
    """Return the universe that holds at a moment, with the dates between which it does."""
    begin = month_of(ts_ns)
    based_on = previous_month(begin)
    name = f"{based_on:%Y-%m}"
    month = universe.months.get(name)
    if month is None:
        raise ConfigurationError(
            f"universe of {universe.venue} {universe.market}: {begin:%Y-%m} needs the turnover of {name}, "
            f"which is not stored; `download_data.py universe --venue {universe.venue} "
            f"--market {universe.market} --start {begin:%Y-%m-%d} "
            f"--end {next_month(begin):%Y-%m-%d}` fetches it"
        )
    chosen = choose(month, universe.quote, universe.filters, universe.top if top is None else top, begin)
    instruments = tuple(instrument_id_text(universe.venue, universe.market, one.symbol) for one in chosen)
    return UniverseSpan(_ns(begin), _ns(next_month(begin)), name, chosen, instruments)


def choose(
    month: UniverseMonth, quote: str, filters: Filters, top: int, as_of: date
) -> tuple[SymbolMonth, ...]:
    """Return the `top` symbols of a month that pass the filters, the largest first.

    One that stopped trading within the month is left out: at its end that was known.
    """
    last_day = (next_month(date.fromisoformat(f"{month.month}-01")) - timedelta(days=1)).isoformat()
    bases = {one.symbol.removesuffix(quote) for one in month.symbols}
    chosen: list[SymbolMonth] = []
    for one in month.symbols:
        if len(chosen) == top:
            break
        categories = categories_of(one.symbol.removesuffix(quote), bases)
        # The archive's listing knows the month of the first day only: counted from its end, never too old.
        age_days = (as_of - next_month(date.fromisoformat(f"{one.first_month}-01"))).days
        if filters.reason_against(one.symbol, categories) or age_days < filters.min_age_days:
            continue
        if one.turnover > 0 and one.last_day == last_day:
            chosen.append(one)
    return tuple(chosen)


def with_month(universe: Universe, month: UniverseMonth) -> Universe:
    """Return the universe with a month added."""
    months: Mapping[str, UniverseMonth] = {**universe.months, month.month: month}
    return msgspec.structs.replace(universe, months=months)


def month_of(ts_ns: int) -> date:
    """Return the first day of the month of a moment, UTC."""
    return datetime.fromtimestamp(ts_ns // NANOS_PER_SECOND, UTC).date().replace(day=1)


def next_month(first: date) -> date:
    """Return the first day of the following month."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def previous_month(first: date) -> date:
    """Return the first day of the month before."""
    return date(first.year - (first.month == 1), (first.month - 2) % 12 + 1, 1)


def _ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NANOS_PER_SECOND
