"""The archives of Binance and Bybit, made from a seed: every file in the venue's exact form.

Formats checked against the venues' own description (repository binance/binance-public-data) and published
samples: no header in Binance's spot files and one in its futures files, microseconds in spot files since
2025-01-01, ``<sha256>  <name>`` in the `.CHECKSUM`, list version 1 of S3 with 1000 keys a page.
"""

import gzip
import hashlib
import io
import random
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from xml.sax.saxutils import escape

from tests.market_server.server import NOT_FOUND, Reply

MICROSECONDS_SINCE = date(2025, 1, 1)
DAY = timedelta(days=1)
DAY_MS = 86_400_000
SECONDS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
HEADERS = {
    "trades": "id,price,qty,quote_qty,time,is_buyer_maker",
    "aggTrades": "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    "klines": "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore",
}
BINANCE = re.compile(
    r"/data/(?P<market>spot|futures/um)/(?P<span>daily|monthly)/(?P<kind>trades|aggTrades|klines|fundingRate)/"
    r"(?P<symbol>\w+)/(?:(?P<interval>\w+)/)?(?P<name>[\w-]+)\.zip(?P<checksum>\.CHECKSUM)?"
)
LINEAR = re.compile(r"/bybit_archive/trading/(?P<symbol>\w+)/(?P=symbol)(?P<day>\d{4}-\d\d-\d\d)\.csv\.gz")
SPOT = re.compile(
    r"/bybit_archive/spot/(?P<symbol>\w+)/(?P=symbol)(?:_(?P<day>\d{4}-\d\d-\d\d)|-(?P<month>\d{4}-\d\d))\.csv\.gz"
)
KEYS_A_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade: id, UNIX microseconds, price in ticks of 0.0001, quantity in lots of 0.1, taker bought."""

    number: int
    ts_us: int
    ticks: int
    lots: int
    is_buy: bool


@dataclass
class MarketArchive:
    """A responder with files from `first_day` to `last_day`, both included.

    Daily files of each day, monthly files of whole months. `trades_a_day` ids a day are continuous over all
    days. `finer_until`: on earlier days prices and sizes of some symbols have a decimal more, ending in 5.
    `steps_back` lets the time of one trade a day lie before that of its predecessor.
    """

    first_day: date
    last_day: date
    symbols: tuple[str, ...] = ("XRPUSDT", "BTCUSDT")
    trades_a_day: int = 300
    seed: int = 1
    absent: set[str] = field(default_factory=set)
    finer_until: Mapping[str, date] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """Answer a request for a file or a listing."""
        if path in ("/listing", "/listing/"):
            return 200, {"Content-Type": "application/xml"}, self._listing(query)
        if not path.startswith(("/data/", "/bybit_archive/")):
            return None
        body = self.file(path)
        return NOT_FOUND if body is None else (200, {"Content-Type": "application/octet-stream"}, body)

    def file(self, path: str) -> bytes | None:
        """Return a file by its path, None if there is none."""
        if path in self.absent or path.removesuffix(".CHECKSUM") in self.absent:
            return None
        if path not in self.made:
            body = self._make(path)
            if body is None:
                return None
            self.made[path] = body
        return self.made[path]

    def days_of(self, stamp: str) -> list[date]:
        """Return the days of ``2024-03`` or ``2024-03-01`` that are published, [] for a cut month."""
        if len(stamp) == 10:
            day = date.fromisoformat(stamp)
            return [day] if self.first_day <= day <= self.last_day else []
        first = date.fromisoformat(f"{stamp}-01")
        days = [first + n * DAY for n in range(31) if (first + n * DAY).month == first.month]
        return days if self.first_day <= days[0] and days[-1] <= self.last_day else []

    # --- content -------------------------------------------------------------------------------------
    def trades(self, symbol: str, day: date) -> list[Trade]:
        """Make the trades of a day."""
        rng = random.Random(f"{self.seed} {symbol} {day}")
        count = self.trades_a_day
        first_number = 1_000 + (day - date(2020, 1, 1)).days * count
        midnight_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
        # Within the day, so that no file holds a trade of its neighbour.
        times = sorted(rng.randrange(1_000_000, 86_390_000_000) for _ in range(count))
        ticks = 15_000 + rng.randrange(-500, 500)
        made = []
        for at, ts_us in enumerate(times):
            ticks = max(100, ticks + rng.choice((-2, -1, 0, 0, 1, 2)))
            shift_us = -3_000 if at == count // 2 else 0
            made.append(
                Trade(
                    first_number + at,
                    midnight_us + ts_us + shift_us,
                    ticks,
                    rng.randrange(1, 5000),
                    rng.random() < 0.5,
                )
            )
        return made

    def klines(self, symbol: str, interval: str, day: date) -> list[tuple[int, int, int, int, int, int]]:
        """Make the klines of a day: open time in ms, open, high, low, close in ticks, volume in lots."""
        rng = random.Random(f"{self.seed} {symbol} {day} {interval}")
        midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
        ticks, made = 15_000 + rng.randrange(-500, 500), []
        for open_ms in range(midnight_ms, midnight_ms + DAY_MS, SECONDS[interval] * 1_000):
            close = max(100, ticks + rng.randrange(-20, 21))
            high, low = max(ticks, close) + rng.randrange(5), max(1, min(ticks, close) - rng.randrange(5))
            made.append((open_ms, ticks, high, low, close, rng.randrange(1, 90_000)))
            ticks = close
        return made

    # --- files ---------------------------------------------------------------------------------------
    def _make(self, path: str) -> bytes | None:
        if path.endswith(".CHECKSUM"):
            body = self.file(path.removesuffix(".CHECKSUM"))
            name = path.rsplit("/", 1)[1].removesuffix(".CHECKSUM")
            return None if body is None else f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode()
        if found := BINANCE.fullmatch(path):
            return self._binance(found)
        if found := LINEAR.fullmatch(path) or SPOT.fullmatch(path):
            parts = found.groupdict()
            days = self.days_of(parts["day"] or parts["month"])
            if parts["symbol"] not in self.symbols or not days:
                return None
            lines = self._bybit_lines(
                parts["symbol"], days, is_linear="/trading/" in path, is_month=bool(parts.get("month"))
            )
            return gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)
        return None

    def _binance(self, parts: re.Match[str]) -> bytes | None:
        symbol, kind, interval = parts["symbol"], parts["kind"], parts["interval"]
        word = interval if kind == "klines" else kind
        stamp = parts["name"].removeprefix(f"{symbol}-{word}-")
        wanted = r"\d{4}-\d\d-\d\d" if parts["span"] == "daily" else r"\d{4}-\d\d"
        if symbol not in self.symbols or not re.fullmatch(wanted, stamp):
            return None
        days = self.days_of(stamp)
        if not days or (kind == "fundingRate" and (parts["span"] == "daily" or parts["market"] == "spot")):
            return None
        if kind == "klines" and interval not in SECONDS:
            return None
        return zipped(f"{parts['name']}.csv", "\n".join(self._binance_lines(parts, days)).encode() + b"\n")

    def _binance_lines(self, parts: re.Match[str], days: list[date]) -> Iterator[str]:
        symbol, kind, is_spot = parts["symbol"], parts["kind"], parts["market"] == "spot"
        if kind == "fundingRate":
            yield "calc_time,funding_interval_hours,last_funding_rate"
            yield from self._funding_lines(symbol, days)
            return
        if not is_spot:
            yield HEADERS[kind]
        for day in days:
            per_ms = 1000 if is_spot and day >= MICROSECONDS_SINCE else 1
            if kind == "klines":
                yield from self._kline_lines(symbol, parts["interval"], day, per_ms)
                continue
            for trade in self.trades(symbol, day):
                time = trade.ts_us if per_ms == 1000 else trade.ts_us // 1000
                price = self.decimal(symbol, day, trade.ticks, 4, 8 if is_spot else 4)
                qty = self.decimal(symbol, day, trade.lots, 1, 8 if is_spot else 1)
                maker = str(not trade.is_buy) if is_spot else str(not trade.is_buy).lower()
                best = ",True" if is_spot else ""
                if kind == "trades":
                    quote = f"{trade.ticks * trade.lots / 1e5:.8f}"
                    yield f"{trade.number},{price},{qty},{quote},{time},{maker}{best}"
                else:
                    first = 3 * trade.number
                    yield f"{trade.number},{price},{qty},{first},{first + 2},{time},{maker}{best}"

    def _kline_lines(self, symbol: str, interval: str, day: date, per_ms: int) -> Iterator[str]:
        length = SECONDS[interval] * 1000 * per_ms
        for open_ms, first, high, low, close, lots in self.klines(symbol, interval, day):
            prices = ",".join(self.decimal(symbol, day, ticks, 4, 8) for ticks in (first, high, low, close))
            opens, volume, quote = open_ms * per_ms, f"{lots / 10:.8f}", f"{lots * close / 1e5:.8f}"
            yield f"{opens},{prices},{volume},{opens + length - 1},{quote},{lots % 97},{volume},{quote},0"

    def decimal(self, symbol: str, day: date, units: int, decimals: int, wire_decimals: int) -> str:
        """Return so many increments of 10**-decimals as text, a half more on the days of finer ones."""
        if day < self.finer_until.get(symbol, date.min):
            units, decimals = 10 * units + 5, decimals + 1
        return f"{Decimal(units).scaleb(-decimals):.{max(decimals, wire_decimals)}f}"

    def _funding_lines(self, symbol: str, days: list[date]) -> Iterator[str]:
        for day in days:
            midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
            rng = random.Random(f"{self.seed} {symbol} {day} funding")
            for hour in (0, 8, 16):
                # The venue stamps the moment of its calculation, some milliseconds late.
                yield f"{midnight_ms + hour * 3_600_000 + rng.randrange(9)},8,{rng.gauss(1e-4, 1e-4):.8f}"

    def _bybit_lines(
        self, symbol: str, days: list[date], *, is_linear: bool, is_month: bool
    ) -> Iterator[str]:
        if is_linear:
            yield (
                "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
                "foreignNotional,RPI"
            )
        else:
            yield "id,timestamp,price,volume,side" if is_month else "id,timestamp,price,volume,side,rpi"
        for day in days:
            for at, trade in enumerate(self.trades(symbol, day), start=1):
                price, qty = f"{trade.ticks / 1e4:g}", f"{trade.lots / 10:g}"
                if is_linear:
                    side = "Buy" if trade.is_buy else "Sell"
                    quote = f"{trade.ticks * trade.lots / 1e5:g}"
                    yield (
                        f"{trade.ts_us / 1e6:.4f},{symbol},{side},{qty},{price},ZeroMinusTick,"
                        f"{trade.number:08x}-0000-5000-8000-000000000000,{trade.lots}e+06,{qty},{quote},0"
                    )
                else:
                    side = "buy" if trade.is_buy else "sell"
                    # Bybit's monthly rows have the column that their header lacks.
                    yield f"{at},{trade.ts_us // 1000},{price},{qty},{side},0"

    # --- listing -------------------------------------------------------------------------------------
    def keys(self) -> Iterator[str]:
        """Yield the names of all of Binance's files, without the leading slash."""
        days = [self.first_day + n * DAY for n in range((self.last_day - self.first_day).days + 1)]
        months = sorted({f"{day:%Y-%m}" for day in days if self.days_of(f"{day:%Y-%m}")})
        for market in ("spot", "futures/um"):
            for span, stamps in (("daily", [day.isoformat() for day in days]), ("monthly", months)):
                for symbol in self.symbols:
                    folder = f"data/{market}/{span}"
                    for stamp in stamps:
                        for kind in ("trades", "aggTrades"):
                            yield f"{folder}/{kind}/{symbol}/{symbol}-{kind}-{stamp}.zip"
                        for interval in SECONDS:
                            yield f"{folder}/klines/{symbol}/{interval}/{symbol}-{interval}-{stamp}.zip"
                        if market != "spot" and span == "monthly":
                            yield f"{folder}/fundingRate/{symbol}/{symbol}-fundingRate-{stamp}.zip"

    def _listing(self, query: Mapping[str, str]) -> bytes:
        prefix, delimiter, marker = (
            query.get("prefix", ""),
            query.get("delimiter", ""),
            query.get("marker", ""),
        )
        limit = min(KEYS_A_PAGE, int(query.get("max-keys") or KEYS_A_PAGE))
        found = set()
        for key in self.keys():
            for name in (key, f"{key}.CHECKSUM"):
                if not name.startswith(prefix) or f"/{key}" in self.absent:
                    continue
                head, separator, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
                found.add(prefix + head + separator if separator else name)
        entries = sorted(name for name in found if name > marker)
        page, is_cut = entries[:limit], len(entries) > limit
        head = '<?xml version="1.0" encoding="UTF-8"?>\n'
        head += '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        head += "<Name>data.binance.vision</Name>"
        parts = [head, f"<Prefix>{escape(prefix)}</Prefix><Marker>{escape(marker)}</Marker>"]
        if is_cut and delimiter:
            parts.append(f"<NextMarker>{escape(page[-1])}</NextMarker>")
        parts.append(
            f"<MaxKeys>{limit}</MaxKeys><Delimiter>{escape(delimiter)}</Delimiter>"
            f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>"
        )
        for name in page:
            if name.endswith("/"):
                parts.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            else:
                parts.append(
                    f"<Contents><Key>{escape(name)}</Key><LastModified>2026-01-02T07:40:48.000Z</LastModified>"
                    "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>96</Size>"
                    "<StorageClass>STANDARD</StorageClass></Contents>"
                )
        return ("".join(parts) + "</ListBucketResult>").encode()


def zipped(name: str, content: bytes) -> bytes:
    """Return a zip of one file, the same bytes every time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()
