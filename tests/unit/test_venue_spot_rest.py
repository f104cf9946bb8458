"""The local Binance spot answers REST as the vendor documents it: shapes, codes, signatures, limits."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.spot_client import SpotClient, play
from tests.venue_simulator.faults import EndpointFault

# what is wrong, the order's other terms, code, text
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "symbol": ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
    "tick": ({"price": "59990.005"}, -1013, "Filter failure: PRICE_FILTER"),
    "lot": ({"quantity": "0.000015"}, -1013, "Filter failure: LOT_SIZE"),
    "notional": ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
    "band": ({"price": "1000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    "money": ({"quantity": "2"}, -2010, "Account has insufficient balance for requested action."),
    "post-only": (
        {"type": "LIMIT_MAKER", "timeInForce": None, "price": "60000"},
        -2010,
        "Order would immediately match and take.",
    ),
    "stop": (
        {"type": "STOP_LOSS_LIMIT", "side": "SELL", "stopPrice": "60001"},
        -2010,
        "Order would trigger immediately.",
    ),
    "type": ({"type": "ICEBERG"}, -1116, "Invalid orderType."),
    "side": ({"side": "LONG"}, -1117, "Invalid side."),
    "time in force": ({"timeInForce": "DAY"}, -1115, "Invalid timeInForce."),
    "no quantity": (
        {"quantity": None},
        -1102,
        "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed.",
    ),
    "precision": ({"price": "59990.123456789"}, -1111, "Parameter 'price' has too much precision."),
}


@pytest.mark.parametrize(("terms", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_refused_order_has_the_vendors_code(terms: dict[str, Any], code: int, text: str) -> None:
    """Every refusal of errors.md that the system meets comes with its code and its words."""

    async def scenario(client: SpotClient) -> None:
        assert await client.order(**terms) == (400, {"code": code, "msg": text})
        assert not client.venue.exchange.orders

    play(scenario)


def test_signature_key_and_time_are_checked() -> None:
    """A wrong signature, an unknown key, and a time outside the window are refused; a small lead is not."""

    async def scenario(client: SpotClient) -> None:
        status, answer = await client.call(
            "GET", "/api/v3/account", timestamp=client.now_ms(), signature="0" * 64
        )
        assert (status, answer["code"]) == (400, -1022)
        status, answer = await client.call("GET", "/api/v3/account", timestamp=client.now_ms())
        assert (status, answer["code"]) == (400, -1102)
        for late_ms, code in ((6_000, -1021), (-1_500, -1021), (4_000, None), (-500, None)):
            status, answer = await client.signed(
                "GET", "/api/v3/account", timestamp=client.now_ms() - late_ms
            )
            assert answer.get("code") == code
        status, _ = await client.signed(
            "GET", "/api/v3/account", timestamp=client.now_ms() - 9_000, recvWindow=10_000
        )
        assert status == 200
        client.venue.exchange.accounts["main"].api_key = "k" * 64
        client.account = type(client.account)(api_key="another")
        status, answer = await client.signed("GET", "/api/v3/account")
        assert (status, answer["code"]) == (401, -2015)

    play(scenario)


def test_clock_skew_shows_in_time_and_in_windows() -> None:
    """A venue whose clock leads by two seconds says so, and calls a punctual client late."""

    async def scenario(client: SpotClient) -> None:
        client.venue.clock.skew_ns = 6_000_000_000
        _, answer = await client.call("GET", "/api/v3/time")
        assert answer["serverTime"] - client.now_ms() > 5_000
        _, answer = await client.signed("GET", "/api/v3/account")
        assert answer["code"] == -1021

    play(scenario)


def test_order_lives_and_is_found() -> None:
    """Placed, queried, listed, partially filled, cancelled: each answer agrees with the ones before."""

    async def scenario(client: SpotClient) -> None:
        _, placed = await client.order(newClientOrderId="mine")
        assert (placed["status"], placed["origQty"], placed["fills"]) == ("NEW", "0.01000000", [])
        assert client.headers["X-MBX-USED-WEIGHT-1M"] == "1"
        assert client.headers["X-MBX-ORDER-COUNT-10S"] == "1"
        client.prints("SELL", "0.004", "59990")
        _, found = await client.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
        assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.00400000")
        assert found["cummulativeQuoteQty"] == "239.96000000"
        assert (await client.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT"))[1] == [found]
        _, trades = await client.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT")
        assert [(t["qty"], t["commission"], t["commissionAsset"], t["isMaker"]) for t in trades] == [
            ("0.00400000", "0.00000400", "BTC", True)
        ]
        _, gone = await client.signed(
            "DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="bye"
        )
        assert (gone["status"], gone["origClientOrderId"], gone["clientOrderId"]) == (
            "CANCELED",
            "mine",
            "bye",
        )
        again = await client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
        assert again == (400, {"code": -2011, "msg": "Unknown order sent."})
        _, orders = await client.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT")
        assert [order["status"] for order in orders] == ["CANCELED"]
        _, account = await client.signed("GET", "/api/v3/account")
        assert {"asset": "USDT", "free": "99760.04000000", "locked": "0.00000000"} in account["balances"]
        unknown = await client.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=7)
        assert unknown == (400, {"code": -2013, "msg": "Order does not exist."})

    play(scenario)


def test_duplicate_client_id_is_refused_while_open() -> None:
    """One intent cannot become two orders."""

    async def scenario(client: SpotClient) -> None:
        await client.order(newClientOrderId="once")
        again = await client.order(newClientOrderId="once")
        assert again == (400, {"code": -2010, "msg": "Duplicate order sent."})

    play(scenario)


def test_market_data_is_one_story() -> None:
    """Trades by id, aggregates, klines, tickers and book all tell of the same prints."""

    async def scenario(client: SpotClient) -> None:
        for side, qty, price in (("BUY", "0.2", "60010"), ("SELL", "0.3", "59980")):
            client.prints(side, qty, price)  # type: ignore[arg-type]
        _, trades = await client.call("GET", "/api/v3/historicalTrades", symbol="BTCUSDT", fromId=2)
        assert [(t["id"], t["price"], t["qty"], t["isBuyerMaker"]) for t in trades] == [
            (2, "60010.00000000", "0.20000000", False),
            (3, "59980.00000000", "0.30000000", True),
        ]
        _, aggregates = await client.call("GET", "/api/v3/aggTrades", symbol="BTCUSDT", limit=1)
        assert (aggregates[0]["a"], aggregates[0]["p"]) == (3, "59980.00000000")
        _, klines = await client.call("GET", "/api/v3/klines", symbol="BTCUSDT", interval="1d")
        volume = sum(float(kline[5]) for kline in klines)
        assert (klines[0][1], klines[-1][4], round(volume, 8)) == ("60000.00000000", "59980.00000000", 0.6)
        _, ticker = await client.call("GET", "/api/v3/ticker/bookTicker", symbol="BTCUSDT")
        assert (ticker["bidPrice"], ticker["askPrice"]) == ("59980.00000000", "59980.01000000")
        _, depth = await client.call("GET", "/api/v3/depth", symbol="BTCUSDT", limit=5)
        assert [level[0] for level in depth["bids"][:2]] == ["59980.00000000", "59979.99000000"]
        _, day = await client.call("GET", "/api/v3/ticker/24hr", symbol="BTCUSDT")
        assert (day["highPrice"], day["lowPrice"], day["count"]) == ("60010.00000000", "59980.00000000", 3)
        _, info = await client.call("GET", "/api/v3/exchangeInfo")
        assert info["symbols"][0]["filters"][0]["tickSize"] == "0.01000000"

    play(scenario)


def test_over_the_limit_comes_429_then_418() -> None:
    """The weight is counted by the minute; who goes on after 429 is banned, with Retry-After both times."""

    async def scenario(client: SpotClient) -> None:
        limiter = client.venue.limiter
        limiter.windows["REQUEST_WEIGHT"].limit = 45
        limiter.patience = 1
        answers = [await client.call("GET", "/api/v3/exchangeInfo") for _ in range(5)]
        assert [status for status, _ in answers] == [200, 200, 429, 418, 418]
        assert [answer["code"] for _, answer in answers[2:]] == [-1003] * 3
        assert 0 < int(client.headers["Retry-After"]) <= 120
        assert limiter.requests_while_banned == 1

    play(scenario)


def test_new_orders_are_counted() -> None:
    """The eleventh order of an interval for ten is refused with -1015."""

    async def scenario(client: SpotClient) -> None:
        client.venue.limiter.windows["ORDERS_10S"].limit = 1
        codes = [(await client.order())[1].get("code") for _ in range(2)]
        # Two requests may fall into two intervals; a third then meets the limit.
        codes.append((await client.order())[1].get("code"))
        assert -1015 in codes

    play(scenario)


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_scripted_error_comes_before_or_after_the_work(when: Any, orders: int) -> None:
    """The same 503 may mean that nothing happened, or that everything did."""

    async def scenario(client: SpotClient) -> None:
        fault = EndpointFault("POST /api/v3/order", 1, 503, -1007, "Timeout waiting for response.", when)
        client.venue.faults.endpoint_faults.append(fault)
        assert await client.order() == (503, {"code": -1007, "msg": "Timeout waiting for response."})
        assert len(client.venue.exchange.orders) == orders
        assert (await client.order())[0] == 200

    play(scenario)


def test_key_permissions_are_told() -> None:
    """A key that may withdraw says so."""

    async def scenario(client: SpotClient) -> None:
        for can_withdraw in (False, True):
            client.account.can_withdraw = can_withdraw
            _, answer = await client.signed("GET", "/sapi/v1/account/apiRestrictions")
            assert answer["enableWithdrawals"] is can_withdraw

    play(scenario)


# recorded payload, how to ask for the same
RECORDED = {
    "account_response": ("signed", "GET", "/api/v3/account", {}),
    "account_trades_response": ("signed", "GET", "/api/v3/myTrades", {"symbol": "BTCUSDT"}),
    "all_orders_response": ("signed", "GET", "/api/v3/allOrders", {"symbol": "BTCUSDT"}),
    "book_ticker_response": ("call", "GET", "/api/v3/ticker/bookTicker", {"symbol": "BTCUSDT"}),
    "depth_response": ("call", "GET", "/api/v3/depth", {"symbol": "BTCUSDT"}),
    "klines_response": ("call", "GET", "/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m"}),
    "open_orders_response": ("signed", "GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"}),
    "order_response": ("signed", "GET", "/api/v3/order", {"symbol": "BTCUSDT", "origClientOrderId": "b"}),
    "server_time_response": ("call", "GET", "/api/v3/time", {}),
    "ticker_24hr_response": ("call", "GET", "/api/v3/ticker/24hr", {"symbol": "BTCUSDT"}),
    "ticker_price_response": ("call", "GET", "/api/v3/ticker/price", {"symbol": "BTCUSDT"}),
    "trades_response": ("call", "GET", "/api/v3/trades", {"symbol": "BTCUSDT"}),
    "new_order_full_response": ("signed", "POST", "/api/v3/order",
                                {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}),
    "cancel_order_response": ("signed", "DELETE", "/api/v3/order",
                              {"symbol": "BTCUSDT", "origClientOrderId": "b"}),
    "exchange_info_response": ("call", "GET", "/api/v3/exchangeInfo", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_answer_has_the_recorded_shape(name: str, shared_data: Path) -> None:
    """Same keys, same types as in the recorded payload; `sors` is optional by the vendor's documents."""
    recorded = json.loads((shared_data / "wire/binance/spot/http_json" / f"{name}.json").read_text())
    way, method, path, params = RECORDED[name]

    async def scenario(client: SpotClient) -> None:
        await client.order(side="BUY", price="60000", newClientOrderId="a")
        await client.order(newClientOrderId="b")
        status, answer = await getattr(client, way)(method, path, **params)
        assert status == 200
        if isinstance(recorded, dict):
            recorded.pop("sors", None)
        assert shape(answer, recorded) == shape(recorded)

    play(scenario)


def shape(value: Any, recorded: Any = None) -> Any:
    """Return keys and types, of rows the first; what the recording left empty is left out."""
    if isinstance(value, dict):
        known = recorded if isinstance(recorded, dict) else {}
        return {
            key: shape(one, known.get(key)) for key, one in value.items() if [] not in (one, known.get(key))
        }
    if isinstance(value, list):
        is_rows = bool(value) and isinstance(value[0], dict | list)
        first = recorded[0] if isinstance(recorded, list) and recorded else None
        return [shape(one, first) for one in (value[:1] if is_rows else value)]
    return type(value).__name__
