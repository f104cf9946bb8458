"""The REST clients of both venues against the wire formats on loopback; pybit itself does Bybit's part."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.catalog import Catalog
from runtime.download.binance_rest import BinanceRest
from runtime.download.bybit_rest import BybitRest
from runtime.download.http import Http
from runtime.download.venue_rows import SETTLING_MS
from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.importer import ImportRequest, import_files
from runtime.settings import DownloadSettings, HostSettings
from tests.local_server import Fault, LocalServer, Reply, local_server
from tests.market_server.rest import Rest, example_rest

NOW_MS = 1_773_835_230_000  # 2026-03-18T12:00:30Z, half a minute into a kline
MS = 1_000_000
HOUR_MS = 3_600_000
SETTINGS = DownloadSettings(retries=2, timeout_secs=5.0, backoff_secs=0.0, budget_ratio=1.0)


class Clock:
    """Monotonic time that only sleeping moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, secs: float) -> None:
        self.now += secs
        await asyncio.sleep(0)


@pytest.fixture
def rest() -> Rest:
    """Give the made-up market."""
    return example_rest(NOW_MS)


@pytest.fixture
def server(rest: Rest) -> Iterator[LocalServer]:
    """Run all hosts of the made-up market at one address."""
    with local_server(lambda path, query: rest.respond(path, query) or (404, {}, b"")) as local:
        yield local


def hosts(server: LocalServer) -> HostSettings:
    return HostSettings(binance_spot=server.address, binance_usdm=server.address, bybit=server.address)


def binance[T](
    server: LocalServer, use: Callable[[BinanceRest], Awaitable[T]], market: Any = "spot", clock: Any = None
) -> T:
    """Use Binance's client."""
    clock = clock or Clock()

    async def main() -> T:
        async with Http(SETTINGS, sleep=clock.sleep, clock=clock) as http:
            return await use(BinanceRest(http, hosts(server), market))

    return asyncio.run(main())


def bybit[T](
    server: LocalServer, use: Callable[[BybitRest], Awaitable[T]], market: Any = "linear", clock: Any = None
) -> T:
    """Use Bybit's client."""
    clock = clock or Clock()

    async def main() -> T:
        async with Http(SETTINGS, sleep=clock.sleep, clock=clock) as http:
            return await use(BybitRest(http, hosts(server), market, SETTINGS))

    return asyncio.run(main())


async def gather[R](pages: AsyncIterator[list[R]]) -> list[R]:
    """Return the rows of all pages."""
    return [row async for page in pages for row in page]


# --- Binance ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("market", "pages"), [("spot", 3), ("usdm", 6)])
def test_klines_come_in_pages_and_only_closed_ones(server: LocalServer, market: str, pages: int) -> None:
    """2,500 minutes are pages of 1000, of 499 on futures, without gap or repeat, less the open minute."""
    start_ms = NOW_MS // 60_000 * 60_000 - 2_500 * 60_000
    rows = binance(
        server,
        lambda rest: gather(rest.klines("BTCUSDT", "1m", start_ms * MS, (NOW_MS + HOUR_MS) * MS)),
        market,
    )
    opens = np.array([row[0] for row in rows])
    assert (opens[0], len(opens)) == (start_ms, 2_500)
    assert set(np.diff(opens)) == {60_000}
    assert rows[-1][6] < NOW_MS
    assert [path.rpartition("/")[2] for path, _ in server.requests] == ["time", *pages * ["klines"]]


def test_what_is_closed_is_decided_by_the_venues_clock(rest: Rest, server: LocalServer) -> None:
    """With the venue a day behind our clock nothing of our today counts as closed."""
    rest.spot.now_ms = NOW_MS - 24 * HOUR_MS
    rows = binance(
        server, lambda rest: gather(rest.klines("BTCUSDT", "1h", (NOW_MS - 26 * HOUR_MS) * MS, NOW_MS * MS))
    )
    assert [row[0] for row in rows] == [(NOW_MS // HOUR_MS - 25) * HOUR_MS]


@pytest.mark.parametrize(("late_ms", "last"), [(SETTLING_MS - 1, -2), (SETTLING_MS, -1)])
def test_a_bar_settles_for_some_seconds(rest: Rest, server: LocalServer, late_ms: int, last: int) -> None:
    """Right after its end a venue may still book trades: the bar is left for the next run."""
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS
    rest.spot.now_ms = rest.linear.now_ms = hour_ms + late_ms
    span = ((hour_ms - 4 * HOUR_MS) * MS, NOW_MS * MS)
    ours = binance(server, lambda one: gather(one.klines("BTCUSDT", "1h", *span)))
    theirs = bybit(server, lambda one: gather(one.klines("BTCUSDT", "1h", *span)))
    expected = [hour_ms + number * HOUR_MS for number in range(-4, last + 1)]
    assert [row[0] for row in ours] == expected
    assert [int(row[0]) for row in theirs] == expected


def test_agg_trades_go_on_by_id(server: LocalServer) -> None:
    """2,300 trades from an id on: pages of 1000, each id once, the archive's columns."""

    async def use(rest: BinanceRest) -> tuple[int | None, list[dict[str, Any]]]:
        start_ns = (NOW_MS - 23_000_000) * MS
        first = await rest.agg_trade_id_at("XRPUSDT", start_ns, NOW_MS * MS)
        assert first is not None
        return first, await gather(rest.agg_trades("XRPUSDT", first))

    first, rows = binance(server, use)
    assert [row["a"] for row in rows] == list(range(first, first + 2_301))
    assert [query.get("fromId") for path, query in server.requests if "fromId" in query] == [
        str(first), str(first + 1000), str(first + 2000),
    ]  # fmt: skip


def test_agg_trades_end_where_they_are_told(server: LocalServer) -> None:
    """A trade at or after the end is not taken, and no page beyond it is asked for."""
    end_ns = (NOW_MS - 10_000_000) * MS
    rows = binance(server, lambda rest: gather(rest.agg_trades("XRPUSDT", 7_379_000 - 1_000, end_ns)))
    assert rows[-1]["T"] * MS < end_ns <= (rows[-1]["T"] + 10_000) * MS


def test_quiet_hours_before_the_first_trade_are_skipped(server: LocalServer) -> None:
    """Before the listing there is nothing, hour by hour; the search ends at the listing or at its end."""

    async def use(rest: BinanceRest) -> tuple[int | None, int | None]:
        listed = 1_700_006_400_000
        found = await rest.agg_trade_id_at("XRPUSDT", (listed - 3 * HOUR_MS) * MS, (listed + HOUR_MS) * MS)
        absent = await rest.agg_trade_id_at("XRPUSDT", (listed - 3 * HOUR_MS) * MS, listed * MS)
        return found, absent

    assert binance(server, use) == (0, None)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_tail_enters_the_catalog_like_an_archive(server: LocalServer, tmp_path: Path, market: str) -> None:
    """Klines and aggregate trades of REST go through the importer, with the venue's prices."""

    async def use(rest: BinanceRest) -> list[Any]:
        return [
            await rest.klines_file(tmp_path, "XRPUSDT", "5m", (NOW_MS - 2 * HOUR_MS) * MS, NOW_MS * MS),
            await rest.agg_trades_file(tmp_path, "XRPUSDT", 7_382_000, NOW_MS * MS),
        ]

    klines, trades = binance(server, use, market)
    for file, kind, interval in ((klines, "klines", "5m"), (trades, "aggtrades", None)):
        request = ImportRequest((file.path,), "binance", market, "XRPUSDT", kind, interval)
        report = import_files(request, tmp_path / "catalog")
        assert (report.outcome.write.added, report.bad.count) == (file.rows, 0)
    series = {row["kind"]: row for row in Catalog(tmp_path / "catalog").series()}
    assert series["klines"]["last"] == "2026-03-18T12:00:00Z"
    assert series["aggtrades"]["missing_ids"] == 0
    assert sorted(path.suffix for path in tmp_path.glob("*.*")) == [".csv", ".csv"]


def test_nothing_new_makes_no_file(server: LocalServer, tmp_path: Path) -> None:
    """A tail that is up to date leaves nothing behind."""
    assert binance(server, lambda rest: rest.agg_trades_file(tmp_path, "XRPUSDT", 10**9)) is None
    assert list(tmp_path.iterdir()) == []


def test_broken_tail_leaves_no_file(server: LocalServer, tmp_path: Path) -> None:
    """A first page that never comes ends in an error, and leaves nothing to continue."""
    server.script.extend([(500, {}, b"")] * 3)
    with pytest.raises(VenueError, match="server error 500; gave up after 3 attempts"):
        binance(server, lambda rest: rest.agg_trades_file(tmp_path, "XRPUSDT", 0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("market", "decimals"), [("spot", 8), ("usdm", 2)])
def test_exchange_info_keeps_the_decimals_of_the_wire(
    server: LocalServer, market: str, decimals: int
) -> None:
    """Trailing zeros are the precision of live ticks."""
    symbols = {one.symbol: one for one in binance(server, lambda rest: rest.symbols(), market)}
    bitcoin = symbols["BTCUSDT"]
    assert bitcoin.tick_size == Decimal("0.01")
    assert -int(bitcoin.tick_size.as_tuple().exponent) == decimals
    assert (bitcoin.min_notional, bitcoin.is_trading) == (Decimal(5), True)
    assert (bitcoin.listed_ns is None) == (market == "spot")


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_tickers_have_turnover_and_spread(server: LocalServer, market: str) -> None:
    """Futures get their quotes from the book tickers."""
    tickers = {one.symbol: one for one in binance(server, lambda rest: rest.tickers(), market)}
    assert tickers["ETHUSDT"].turnover == 5e8
    assert tickers["XRPUSDT"].spread_bps == pytest.approx(0.0001 / 0.62005 * 10_000)


def test_funding_of_futures_comes_in_pages(server: LocalServer) -> None:
    """Every eight hours since the listing, more than a page of 1000, exactly as written."""
    start_ns = 1_700_006_400_000 * MS
    rates = binance(server, lambda rest: rest.funding_rates("BTCUSDT", start_ns, NOW_MS * MS), "usdm")
    assert {after.ts_ns - before.ts_ns for before, after in itertools.pairwise(rates)} == {8 * HOUR_MS * MS}
    assert len(rates) == (NOW_MS - 1_700_006_400_000) // (8 * HOUR_MS) + 1
    assert all(-int(one.rate.as_tuple().exponent) == 8 for one in rates)


def test_unknown_symbol_says_what_to_do(server: LocalServer) -> None:
    """The venue's code -1121 is the user's mistake: exit 2, with a way on."""
    with pytest.raises(ConfigurationError, match="NOPEUSDT: Binance spot has no such symbol"):
        binance(server, lambda rest: gather(rest.klines("NOPEUSDT", "1h", 0, NOW_MS * MS)))


def test_page_that_goes_back_is_refused(server: LocalServer) -> None:
    """A venue (or proxy) that answers with older ids than asked for would loop or repeat rows."""
    page = [{"a": 5, "p": "1", "q": "1", "f": 1, "l": 1, "T": 1, "m": True, "M": True}]
    server.script.append((200, {}, json.dumps(page).encode()))
    with pytest.raises(DataError, match="out of order or goes back"):
        binance(server, lambda rest: gather(rest.agg_trades("XRPUSDT", 6)))


def test_answer_of_another_shape_is_named(server: LocalServer) -> None:
    """JSON that is no page ends in a VenueError, not in a traceback."""
    server.script.append((200, {}, b'{"rows": []}'))
    with pytest.raises(VenueError, match="exchangeInfo: the answer has not the documented shape"):
        binance(server, lambda rest: rest.symbols())


# --- Bybit, through pybit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("market", ["linear", "spot"])
def test_bybit_klines_are_turned_round(server: LocalServer, market: str) -> None:
    """2,500 minutes in windows of a page, oldest first, only closed ones."""
    start_ms = NOW_MS // 60_000 * 60_000 - 2_500 * 60_000
    rows = bybit(
        server,
        lambda rest: gather(rest.klines("BTCUSDT", "1m", start_ms * MS, (NOW_MS + HOUR_MS) * MS)),
        market,
    )
    opens = [int(row[0]) for row in rows]
    assert opens == list(range(start_ms, start_ms + 2_500 * 60_000, 60_000))
    assert len(server.requests) == 3


def test_bybit_klines_of_a_given_span(server: LocalServer) -> None:
    """Start and end need not be on a boundary; the end is exclusive."""
    start, end = (NOW_MS - 10 * HOUR_MS) * MS, (NOW_MS // HOUR_MS - 3) * HOUR_MS * MS
    rows = bybit(server, lambda rest: gather(rest.klines("BTCUSDT", "1h", start, end)))
    assert [int(row[0]) // HOUR_MS - NOW_MS // HOUR_MS for row in rows] == [-9, -8, -7, -6, -5, -4]


def test_bybit_klines_enter_the_catalog(server: LocalServer, tmp_path: Path) -> None:
    """Seven columns without a header, as its own downloads have them."""
    start = (NOW_MS - 2 * HOUR_MS) * MS
    file = bybit(server, lambda rest: rest.klines_file(tmp_path, "XRPUSDT", "5m", start, NOW_MS * MS))
    assert file is not None
    request = ImportRequest((file.path,), "bybit", "linear", "XRPUSDT", "klines", "5m")
    report = import_files(request, tmp_path / "catalog")
    assert (report.outcome.write.added, report.bad.count) == (file.rows, 0) == (23, 0)


def test_bybit_instruments_of_all_pages(server: LocalServer) -> None:
    """The cursor is followed to its end."""
    symbols = bybit(server, lambda rest: rest.symbols())
    assert [one.symbol for one in symbols] == ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
    assert (symbols[0].tick_size, symbols[0].min_notional) == (Decimal("0.01"), Decimal(5))
    assert symbols[0].listed_ns == 1_700_006_400_000 * MS
    assert [query.get("cursor") for _, query in server.requests] == [None, "2"]


def test_recorded_instruments_are_understood(shared_data: Path) -> None:
    """The vendor's own recorded answers give the increments that stand in them."""
    found = {}
    for market in ("linear", "spot"):
        body = (shared_data / "wire" / "bybit" / f"http_get_instruments_{market}.json").read_bytes()
        with local_server(lambda _path, _query, body=body: (200, {}, body)) as server:
            found[market] = bybit(server, lambda rest: rest.symbols(), market)
    assert [(str(one.tick_size), str(one.lot_size)) for one in found["linear"]] == [
        ("0.5", "0.001"), ("0.05", "0.01"),
    ]  # fmt: skip
    assert [(str(one.tick_size), str(one.lot_size)) for one in found["spot"]] == [
        ("0.1", "0.0001"), ("0.01", "0.00001"),
    ]  # fmt: skip


def test_bybit_tickers(server: LocalServer) -> None:
    """Turnover and spread come in one answer."""
    tickers = {one.symbol: one for one in bybit(server, lambda rest: rest.tickers())}
    assert (tickers["BTCUSDT"].turnover, tickers["BTCUSDT"].bid) == (9e8, 65000.0)


def test_bybit_funding_in_windows(server: LocalServer) -> None:
    """100 days every eight hours, oldest first, each once."""
    start = (NOW_MS - 100 * 24 * HOUR_MS) * MS
    rates = bybit(server, lambda rest: rest.funding_rates("BTCUSDT", start, NOW_MS * MS))
    times = [one.ts_ns for one in rates]
    assert (len(times), times) == (300, sorted(set(times)))


def test_bybit_first_kline(server: LocalServer) -> None:
    """The day of the listing in the middle of a month, for symbols whose listing the venue does not tell."""
    first = bybit(server, lambda rest: rest.first_open_ns("BTCUSDT"), "spot")
    assert first == 1_700_006_400_000 * MS  # 2023-11-15
    assert [query["interval"] for _, query in server.requests] == ["M", "D"]


def test_bybit_unknown_symbol_says_what_to_do(server: LocalServer) -> None:
    """An error inside a 200 is found, and is the user's."""
    with pytest.raises(ConfigurationError, match="NOPE: Bybit linear has no such symbol"):
        bybit(server, lambda rest: gather(rest.klines("NOPE", "1h", 0, NOW_MS * MS)))


TOO_MANY = json.dumps({"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": NOW_MS}).encode()
BYBIT_PASSING: dict[str, Reply | Fault] = {
    "500": (500, {}, b""),
    "reset": Fault("reset"),
    "truncated": Fault("truncate"),
    "no JSON": (200, {}, b'{"retCode":'),
    "internal error": (200, {}, b'{"retCode": 10016, "retMsg": "Server error.", "result": {}}'),
    "429": (429, {"Retry-After": "3"}, b""),
}


@pytest.mark.parametrize("fault", BYBIT_PASSING.values(), ids=BYBIT_PASSING.keys())
def test_bybit_faults_that_pass_are_tried_again(server: LocalServer, fault: Reply | Fault) -> None:
    """Under pybit the same faults pass as elsewhere, and when they stay they are named."""
    server.script.append(fault)
    assert len(bybit(server, lambda rest: rest.tickers())) == 3
    assert len(server.requests) == 2
    server.script.extend([fault] * 3)
    with pytest.raises(VenueError, match=r"tickers: .*; gave up after 3 attempts"):
        bybit(server, lambda rest: rest.tickers())


def test_bybit_too_many_visits_waits_for_the_reset(server: LocalServer) -> None:
    """The reset is read by the venue's clock; pybit's own wait (which can be negative) is never used."""
    headers = {"Date": "Wed, 18 Mar 2026 12:00:30 GMT", "X-Bapi-Limit-Reset-Timestamp": str(NOW_MS + 1_500)}
    server.script.append((200, headers, TOO_MANY))
    clock = Clock()
    assert len(bybit(server, lambda rest: rest.tickers(), clock=clock)) == 3
    assert clock.now == 1.5
    server.script.append((200, {**headers, "X-Bapi-Limit-Reset-Timestamp": str(NOW_MS - 9_000)}, TOO_MANY))
    assert len(bybit(server, lambda rest: rest.tickers())) == 3


def test_bybit_ban_is_not_hammered(server: LocalServer) -> None:
    """403 (access too frequent, or the wrong country) ends at once, also for what comes after it."""
    server.script.append((403, {}, b"access too frequent"))

    async def use(rest: BybitRest) -> None:
        with pytest.raises(VenueError, match="refuses this address or location"):
            await rest.tickers()
        with pytest.raises(VenueError, match=r"has banned this address \(403\) until 2"):
            await rest.tickers()

    bybit(server, use)
    assert len(server.requests) == 1


def test_bybit_calls_share_the_budget_of_the_client(server: LocalServer) -> None:
    """What pybit sends is counted with all other requests to that host."""
    clock = Clock()

    async def main() -> None:
        async with Http(SETTINGS, sleep=clock.sleep, clock=clock) as http:
            rest = BybitRest(http, hosts(server), "linear", SETTINGS)
            http.allow(server.address, 4, 5.0)
            await asyncio.gather(*(rest.tickers() for _ in range(10)))

    asyncio.run(main())
    assert (len(server.requests), clock.now) == (10, 10.0)
