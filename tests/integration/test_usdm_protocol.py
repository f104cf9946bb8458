"""The local Binance USD-M answers requests as the venue documents: orders, refusals, limits, questions."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.usdm_client import SYMBOL, UsdmClient, usdm

type Try = Callable[[UsdmClient], Awaitable[tuple[int, Any]]]


def run(scenario: Callable[[UsdmClient], Awaitable[Any]], balance: int = 10_000) -> Any:
    """Play a scenario with a client of a fresh venue."""

    async def play() -> Any:
        async with usdm(balance) as client:
            return await scenario(client)

    return asyncio.run(play())


REFUSALS: dict[str, tuple[Try, int]] = {
    "more decimals than the symbol has": (lambda c: c.order("BUY", "0.0101", "49000.00"), -1111),
    "price off the grid": (lambda c: c.order("BUY", "0.010", "49000.05"), -4014),
    "quantity zero": (lambda c: c.order("BUY", "0.000", "49000.00"), -4003),
    "quantity above the maximum": (lambda c: c.order("BUY", "1001.000", "49000.00"), -4005),
    "notional too small": (lambda c: c.order("BUY", "0.001", "2500.00"), -4164),
    "price too far up": (lambda c: c.order("BUY", "0.010", "53000.00"), -4016),
    "price too far down": (lambda c: c.order("SELL", "0.010", "47000.00"), -4024),
    "post-only that would take": (lambda c: _gtx(c), -5022),
    "reduce-only without a position": (
        lambda c: c.order("SELL", "0.010", "51000.00", reduceOnly="true"),
        -2022,
    ),
    "margin too small": (lambda c: c.order("BUY", "3.000", "50000.00"), -2019),
    "unknown symbol": (lambda c: _symbol(c), -1121),
    "conditional order on the order endpoint": (lambda c: _stop_as_order(c), -4120),
    "stop that would trigger at once": (lambda c: c.stop("SELL", "50100.00", quantity="0.010"), -2021),
    "close-position with a quantity": (
        lambda c: c.stop("SELL", "49000.00", closePosition="true", quantity="0.010"),
        -4137,
    ),
    "no price": (lambda c: _no_price(c), -1102),
    "cancel of an unknown order": (
        lambda c: c.call("DELETE", "/fapi/v1/order", symbol=SYMBOL, orderId=77),
        -2011,
    ),
    "question for an unknown order": (
        lambda c: c.call("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="nobody"),
        -2013,
    ),
    "keep-alive without a listen key": (lambda c: c.send("PUT", "/fapi/v1/listenKey"), -1125),
    "leverage above the maximum": (
        lambda c: c.call("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=500),
        -4028,
    ),
    "margin type that is set already": (
        lambda c: c.call("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="CROSSED"),
        -4046,
    ),
}


def _fields(kind: str) -> dict[str, str]:
    return {"symbol": SYMBOL, "side": "BUY", "type": kind, "quantity": "0.010"}


async def _gtx(client: UsdmClient) -> tuple[int, Any]:
    fields = _fields("LIMIT") | {"timeInForce": "GTX", "price": "50100.00"}
    return await client.call("POST", "/fapi/v1/order", **fields)


async def _symbol(client: UsdmClient) -> tuple[int, Any]:
    return await client.call("POST", "/fapi/v1/order", **_fields("MARKET") | {"symbol": "NOPEUSDT"})


async def _stop_as_order(client: UsdmClient) -> tuple[int, Any]:
    return await client.call("POST", "/fapi/v1/order", **_fields("STOP_MARKET"), stopPrice="51000.00")


async def _no_price(client: UsdmClient) -> tuple[int, Any]:
    return await client.call("POST", "/fapi/v1/order", **_fields("LIMIT"), timeInForce="GTC")


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_has_the_documented_code(name: str) -> None:
    """What breaks a rule is refused with HTTP 400 and the venue's code, and leaves no order behind."""
    attempt, code = REFUSALS[name]

    async def scenario(client: UsdmClient) -> None:
        status, body = await attempt(client)

        assert (status, body["code"]) == (400, code)
        assert body["msg"]
        assert client.venue.exchange.orders == {}

    run(scenario)


def test_key_and_signature_are_checked() -> None:
    """No key, a foreign key, a wrong signature and an old timestamp are refused with their codes."""

    async def scenario(client: UsdmClient) -> None:
        async def code(target: str, key: str | None = None) -> int:
            _, body = await client.send("GET", f"/fapi/v2/account?{target}", key)
            return body["code"]

        now = int(time.time() * 1000)
        assert await code(f"timestamp={now}&signature=00", "") == -2014
        assert await code(f"timestamp={now}&signature=00", "f" * 64) == -2015
        assert await code(f"timestamp={now}&signature=00") == -1022
        client.venue.clock.skew_ns = 10_000_000_000
        _, body = await client.call("GET", "/fapi/v2/account")
        assert body["code"] == -1021

    run(scenario)


def test_duplicate_client_id_is_refused_while_the_order_is_open() -> None:
    """The same client id works again only after the order has ended."""

    async def scenario(client: UsdmClient) -> None:
        assert (await client.order("BUY", "0.010", "49000.00", newClientOrderId="one"))[0] == 200
        assert (await client.order("BUY", "0.010", "49000.00", newClientOrderId="one"))[1]["code"] == -4116
        await client.call("DELETE", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="one")
        assert (await client.order("BUY", "0.010", "49000.00", newClientOrderId="one"))[0] == 200

    run(scenario)


def test_conditional_orders_are_known_to_the_algo_endpoints_only_until_they_trigger() -> None:
    """A waiting stop is an algo order; triggered it is an order with an id of its own, and no algo order."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        _, stop = await client.stop("SELL", "49500.00", quantity="0.010", reduceOnly="true", clientAlgoId="s")
        assert stop["algoStatus"] == "NEW"
        _, waiting = await client.call("GET", "/fapi/v1/openAlgoOrders", symbol=SYMBOL)
        assert [row["clientAlgoId"] for row in waiting] == ["s"]
        _, body = await client.call("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="s")
        assert body["code"] == -2013
        assert (await client.call("GET", "/fapi/v1/openOrders", symbol=SYMBOL))[1] == []

        client.trade("49500.00")
        _, body = await client.call("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="s")
        assert (body["status"], body["type"], body["origType"]) == ("FILLED", "MARKET", "STOP_MARKET")
        assert body["orderId"] != stop["algoId"]
        _, algo = await client.call("GET", "/fapi/v1/algoOrder", clientAlgoId="s")
        assert (algo["algoStatus"], algo["actualOrderId"]) == ("FINISHED", str(body["orderId"]))
        assert (await client.call("GET", "/fapi/v1/openAlgoOrders", symbol=SYMBOL))[1] == []
        _, risk = await client.call("GET", "/fapi/v3/positionRisk", symbol=SYMBOL)
        assert risk == []

    run(scenario)


def test_close_position_stop_takes_the_size_that_the_position_has_at_the_trigger() -> None:
    """The order is placed without quantity and closes what is there later."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        _, stop = await client.stop("SELL", "49500.00", closePosition="true")
        assert (stop["closePosition"], stop["quantity"]) == (True, None)
        await client.market("BUY", "0.005")

        client.trade("49400.00", qty="5")
        assert client.account.position(client.venue.exchange.markets[SYMBOL]).qty == 0
        _, trades = await client.call("GET", "/fapi/v1/userTrades", symbol=SYMBOL)
        assert [(row["side"], row["qty"]) for row in trades] == [
            ("BUY", "0.010"),
            ("BUY", "0.005"),
            ("SELL", "0.015"),
        ]

    run(scenario)


def test_cancel_all_leaves_conditional_orders_and_the_other_way_round() -> None:
    """The call allOpenOrders ends what stands in the book, algoOpenOrders what waits."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        await client.order("BUY", "0.010", "49000.00", newClientOrderId="entry")
        await client.stop("SELL", "48000.00", closePosition="true", clientAlgoId="stop")
        orders = client.venue.exchange.open_orders

        await client.call("DELETE", "/fapi/v1/allOpenOrders", symbol=SYMBOL)
        assert [order.client_id for order in orders()] == ["stop"]
        await client.order("BUY", "0.010", "49000.00", newClientOrderId="entry")
        await client.call("DELETE", "/fapi/v1/algoOpenOrders", symbol=SYMBOL)
        assert [order.client_id for order in orders()] == ["entry"]

    run(scenario)


def test_batch_answers_every_order_in_its_place() -> None:
    """Of a batch of cancels the unknown one is an error object among the answers."""

    async def scenario(client: UsdmClient) -> None:
        for name in ("a", "b"):
            await client.order("BUY", "0.010", "49000.00", newClientOrderId=name)
        ids = json.dumps(["a", "nobody", "b"]).replace(" ", "")
        _, rows = await client.call(
            "DELETE", "/fapi/v1/batchOrders", symbol=SYMBOL, origClientOrderIdList=ids
        )
        assert [row.get("status", row.get("code")) for row in rows] == ["CANCELED", -2011, "CANCELED"]

    run(scenario)


def test_countdown_cancels_entries_and_leaves_the_stop() -> None:
    """When the heartbeat stops, what stands in the book is cancelled; conditional orders stay."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        await client.order("BUY", "0.010", "49000.00", newClientOrderId="entry")
        await client.stop("SELL", "48000.00", closePosition="true", clientAlgoId="stop")
        arm = {"symbol": SYMBOL, "countdownTime": 120_000}
        await client.call("POST", "/fapi/v1/countdownCancelAll", **arm)
        await asyncio.sleep(0.05)
        assert len(client.venue.exchange.open_orders()) == 2

        client.venue.clock.skew_ns = 121_000_000_000
        await asyncio.sleep(0.1)
        assert [order.client_id for order in client.venue.exchange.open_orders()] == ["stop"]

    run(scenario)


def test_change_of_price_and_size_moves_the_order() -> None:
    """PUT changes a resting order in place; the same values again are refused."""

    async def scenario(client: UsdmClient) -> None:
        _, order = await client.order("BUY", "0.010", "49000.00")
        change = {"symbol": SYMBOL, "orderId": order["orderId"], "side": "BUY", "quantity": "0.020"}
        _, changed = await client.call("PUT", "/fapi/v1/order", **change, price="49100.00")
        assert (changed["origQty"], changed["price"]) == ("0.020", "49100.00")
        _, again = await client.call("PUT", "/fapi/v1/order", **change, price="49100.00")
        assert again["code"] == -5027

    run(scenario)


def test_too_many_requests_are_refused_and_then_banned() -> None:
    """Above the weight limit comes 429 with Retry-After, for those who go on 418, and headers count along."""

    async def scenario(client: UsdmClient) -> None:
        target = f"http://{client.place}/fapi/v1/aggTrades?symbol={SYMBOL}"

        async def ask() -> tuple[int, str, int]:
            async with client.http.get(target) as response:
                used = int(response.headers["X-MBX-USED-WEIGHT-1M"])
                return response.status, response.headers.get("Retry-After", ""), used

        client.venue.limiter.windows["weight_1m"].limit = 60
        answers = [await ask() for _ in range(16)]
        assert [status for status, _, _ in answers] == [200] * 3 + [429] * 10 + [418] * 3
        assert [used for _, _, used in answers[:3]] == [20, 40, 60]
        assert 1 <= int(answers[3][1]) <= 60
        assert int(answers[13][1]) == client.venue.limiter.ban_secs

    run(scenario)


def test_history_is_given_by_id_and_as_klines() -> None:
    """Trades come by id without a gap; a kline holds exactly the trades of its time."""

    async def scenario(client: UsdmClient) -> None:
        for price in ("50010.00", "49990.00", "50005.00"):
            last = client.trade(price, "0.5", "BUY")
        _, rows = await client.send("GET", f"/fapi/v1/aggTrades?symbol={SYMBOL}&fromId={last - 1}")
        assert [(row["a"], row["p"], row["q"]) for row in rows] == [
            (last - 1, "49990.00", "0.500"),
            (last, "50005.00", "0.500"),
        ]
        _, bars = await client.send("GET", f"/fapi/v1/klines?symbol={SYMBOL}&interval=1d")
        assert len(bars[-1]) == 12
        lows_and_highs = [bar[3] for bar in bars], [bar[2] for bar in bars]
        assert min(lows_and_highs[0]) == "49990.00"
        assert max(lows_and_highs[1]) == "50010.00"
        assert sum(Decimal(bar[5]) for bar in bars) == Decimal("2.5")

    run(scenario)


def test_account_reports_what_fills_cost() -> None:
    """Wallet less the taker fee, margin by leverage, entry price: all to the last unit."""

    async def scenario(client: UsdmClient) -> None:
        await client.call("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=20)
        await client.market("BUY", "0.010")
        _, account = await client.call("GET", "/fapi/v2/account")
        # Bought at the ask, one tick above the seller's last price: 0.01 * 50000.10, fee 0.05 %.
        assert account["totalWalletBalance"] == "9999.74999950"
        _, risk = await client.call("GET", "/fapi/v3/positionRisk", symbol=SYMBOL)
        assert (risk[0]["positionAmt"], risk[0]["entryPrice"]) == ("0.010", "50000.10000000")
        _, config = await client.call("GET", "/fapi/v1/symbolConfig")
        assert config[0]["leverage"] == 20
        _, rights = await client.call("GET", "/sapi/v1/account/apiRestrictions")
        assert rights["enableWithdrawals"] is False

    run(scenario)
