"""The made-up REST interfaces have the shapes of the recorded ones, and obey their own rules."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.market_server import MarketArchive
from tests.market_server.__main__ import responders
from tests.market_server.rest import Rest, example_rest

NOW_MS = 1_773_835_200_000  # 2026-03-18T12:00Z
RECORDED = {
    "binance/spot/http_json/exchange_info_response.json": ("/api/v3/exchangeInfo", {}),
    "binance/spot/http_json/klines_response.json": (
        "/api/v3/klines",
        {"symbol": "BTCUSDT", "interval": "1h"},
    ),
    "binance/spot/http_json/ticker_24hr_response.json": ("/api/v3/ticker/24hr", {"symbol": "BTCUSDT"}),
    "binance/spot/http_json/book_ticker_response.json": ("/api/v3/ticker/bookTicker", {"symbol": "BTCUSDT"}),
    "bybit/http_get_instruments_linear.json": ("/v5/market/instruments-info", {"category": "linear"}),
    "bybit/http_get_instruments_spot.json": ("/v5/market/instruments-info", {"category": "spot"}),
    "bybit/http_get_klines_linear.json": (
        "/v5/market/kline",
        {"category": "linear", "symbol": "BTCUSDT", "interval": "60"},
    ),
    "bybit/http_get_funding_history.json": (
        "/v5/market/funding/history",
        {"category": "linear", "symbol": "BTCUSDT"},
    ),
}
# Parts of a recording that are of another endpoint version or hold nothing.
NOT_COMPARED = {"sors", "rateLimits", "filters", "retExtInfo", "nextPageCursor"}


def ask(rest: Rest, path: str, **query: object) -> Any:
    """Return the decoded answer to a request that must be accepted."""
    reply = rest.respond(path, {name: str(value) for name, value in query.items()})
    assert reply is not None
    assert reply[0] == 200
    return json.loads(reply[2])


def shape(value: Any) -> Any:
    """Reduce JSON to names and types; of a list only its first element counts."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items() if name not in NOT_COMPARED}
    if isinstance(value, list):
        return (
            [shape(value[0])] if value and isinstance(value[0], dict | list) else [type(one) for one in value]
        )
    return type(value)


def differences(made: Any, recorded: Any, path: str = "$") -> list[str]:
    """List where the recording has something that ours lacks or has in another type."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        return [
            line
            for name, inner in recorded.items()
            for line in (
                differences(made[name], inner, f"{path}.{name}")
                if name in made
                else [f"{path}.{name} is absent"]
            )
        ]
    if (
        isinstance(recorded, list)
        and isinstance(made, list)
        and recorded
        and isinstance(recorded[0], dict | list)
    ):
        return differences(made[0], recorded[0], f"{path}[]")
    if isinstance(recorded, list) and isinstance(made, list) and not path.endswith("[]"):
        made, recorded = set(made), set(recorded)  # a list of words, not a row of columns
    return [] if made == recorded else [f"{path}: {made} is not {recorded}"]


@pytest.mark.parametrize("name", RECORDED)
def test_answers_have_the_recorded_shape(shared_data: Path, name: str) -> None:
    """Every field of a recorded answer is in ours, with its JSON type."""
    recorded = json.loads((shared_data / "wire" / name).read_text())
    path, query = RECORDED[name]
    made = ask(example_rest(NOW_MS), path, **query)
    assert differences(shape(made), shape(recorded)) == []


def test_klines_agree_with_the_trades() -> None:
    """An hour's kline is the first, highest, lowest, last price and the sum of that hour's trades."""
    rest = example_rest(NOW_MS)
    open_ms = NOW_MS - 7_200_000
    row = ask(rest, "/api/v3/klines", symbol="XRPUSDT", interval="1h", startTime=open_ms, limit=1)[0]
    trades = ask(
        rest,
        "/api/v3/aggTrades",
        symbol="XRPUSDT",
        startTime=open_ms,
        endTime=open_ms + 3_599_999,
        limit=1000,
    )
    prices = [float(trade["p"]) for trade in trades]
    assert len(trades) == row[8] == 360
    assert [float(one) for one in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
    assert float(row[5]) == pytest.approx(sum(float(trade["q"]) for trade in trades))


def test_newest_kline_is_still_open() -> None:
    """As at the venues, the last row is of an interval that has not ended."""
    row = ask(example_rest(NOW_MS + 60_000), "/api/v3/klines", symbol="BTCUSDT", interval="1h")[-1]
    assert (row[0], row[6]) == (NOW_MS, NOW_MS + 3_599_999)


def test_bybit_klines_come_newest_first_and_at_most_a_page() -> None:
    """A window with more than `limit` bars gives the newest of them."""
    list_ = ask(
        example_rest(NOW_MS), "/v5/market/kline", category="linear", symbol="BTCUSDT", interval=5, start=0,
        limit=1000,
    )["result"]["list"]  # fmt: skip
    opens = [int(row[0]) for row in list_]
    assert (len(opens), opens[0]) == (1000, NOW_MS)
    assert opens == sorted(opens, reverse=True)


def test_bybit_instruments_come_in_pages() -> None:
    """The cursor leads through all symbols and ends empty."""
    rest = example_rest(NOW_MS)
    first = ask(rest, "/v5/market/instruments-info", category="linear")["result"]
    second = ask(rest, "/v5/market/instruments-info", category="linear", cursor=first["nextPageCursor"])[
        "result"
    ]
    symbols = [one["symbol"] for one in first["list"] + second["list"]]
    assert symbols == ["BTCUSDT", "ETHUSDT", "XRPUSDT"]
    assert second["nextPageCursor"] == ""


def test_unknown_symbol_is_refused_in_each_venues_way() -> None:
    """Binance says it with status 400, Bybit inside a 200."""
    rest = example_rest(NOW_MS)
    binance = rest.respond("/api/v3/klines", {"symbol": "NOPE", "interval": "1h"})
    assert binance is not None
    assert (binance[0], json.loads(binance[2])["code"]) == (400, -1121)
    assert ask(rest, "/v5/market/kline", category="linear", symbol="NOPE", interval=60)["retCode"] == 10001


def test_the_server_for_trying_things_out_is_one_market() -> None:
    """Its increments hold for its archive, and its klines and ids by REST go on where the archive ends."""
    archive, rest = responders(date(2025, 1, 1), date(2025, 1, 3), ("XRPUSDT",))
    assert isinstance(archive, MarketArchive)

    def asked(path: str, **query: str) -> Any:
        reply = rest(path, query)
        assert reply is not None
        assert reply[0] == 200
        return json.loads(reply[2])

    (symbol,) = asked("/api/v3/exchangeInfo")["symbols"]
    filters = {one["filterType"]: one for one in symbol["filters"]}
    last = archive.trades("XRPUSDT", date(2025, 1, 3))[-1]
    assert Decimal(last.ticks) / 10_000 % Decimal(filters["PRICE_FILTER"]["tickSize"]) == 0
    assert Decimal(last.lots) / 10 % Decimal(filters["LOT_SIZE"]["stepSize"]) == 0
    (following,) = asked("/api/v3/aggTrades", symbol="XRPUSDT", fromId=str(last.number + 1), limit="1")
    assert following["a"] == archive.trades("XRPUSDT", date(2025, 1, 4))[0].number
    assert asked("/fapi/v1/fundingRate", symbol="XRPUSDT", startTime="1735689600000", limit="3")
    assert asked("/v5/market/tickers", category="linear")["result"]["list"]
