"""Bybit v5 on the local exchange over real websockets: public, private and order sessions."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.bybit_client import KEY, Rest, Socket, account, connect, markets, run
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.core import Order
from tests.venue_simulator.faults import EndpointFault
from tests.venue_thread import VenueThread, venue_thread

LINEAR, SPOT = "BTCUSDT-LINEAR", "BTCUSDT-SPOT"


@pytest.fixture
def venue() -> Iterator[VenueThread]:
    """Give a running exchange whose markets traded at 50,000."""
    with venue_thread(Bybit, markets(), account(USDT=10_000, BTC=1), latency_secs=0.001) as running:
        for key in (LINEAR, SPOT):
            running.trade(key, "BUY", "0.01", "50000")
        yield running


@pytest.fixture
def rest(venue: VenueThread) -> Rest:
    """Give a signing client."""
    return Rest(venue.http)


def open_orders(venue: VenueThread, key: str = LINEAR) -> list[Order]:
    """Return the exchange's open orders."""
    return venue.call(lambda: venue.venue.exchange.open_orders(symbol=key))


def in_session(venue: VenueThread, script: Any) -> None:
    """Run a script with a logged-in private session and an order session."""

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            private = await connect(session, venue.ws, "/v5/private")
            orders = await connect(session, venue.ws, "/v5/trade")
            assert (await private.login())["success"]
            assert (await orders.login())["retCode"] == 0
            answer = await private.ask(op="subscribe", args=["order", "execution", "position", "wallet"])
            assert answer["success"]
            await script(private, orders)

    run(work())


def test_a_post_only_order_that_would_take_ends_on_the_stream(venue: VenueThread) -> None:
    """The request is acknowledged; the stream says Cancelled and why."""

    async def script(private: Socket, orders: Socket) -> None:
        wanted = {
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.01",
            "price": "50100",
            "timeInForce": "PostOnly",
        }
        assert (await orders.order("order.create", **wanted))["retCode"] == 0
        row = (await private.until("order"))["data"][0]
        assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")

    in_session(venue, script)


def test_exits_that_an_entry_carried_stand_at_the_first_fill(venue: VenueThread) -> None:
    """Both close the whole position, show its size, and the one that is not hit goes with it."""

    async def script(private: Socket, orders: Socket) -> None:
        wanted = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "49500"}
        exits = {"takeProfit": "51000", "stopLoss": "48000", "tpslMode": "Full"}
        rows = [{"symbol": "BTCUSDT"} | wanted | exits | {"orderLinkId": "entry"}]
        answer = await orders.order("order.create-batch", request=rows)
        assert [entry["code"] for entry in answer["retExtInfo"]["list"]] == [0]
        venue.trade(LINEAR, "SELL", "0.055", "49500")
        heard = [(await private.until("order"))["data"][0] for _ in range(4)]
        told = [
            (row["stopOrderType"], row["orderStatus"], row["qty"], row["createType"]) for row in heard[2:]
        ]
        assert told == [
            ("StopLoss", "Untriggered", "0.005", "CreateByStopLoss"),
            ("TakeProfit", "Untriggered", "0.005", "CreateByTakeProfit"),
        ]
        venue.trade(LINEAR, "SELL", "1", "49400")
        venue.trade(LINEAR, "SELL", "1", "47990")
        ends = {}
        while len(ends) < 2:
            row = (await private.until("order"))["data"][0]
            if row["stopOrderType"] and row["orderStatus"] in ("Filled", "Deactivated"):
                ends[row["stopOrderType"]] = (row["orderStatus"], row["cumExecQty"], row["cancelType"])
        assert ends == {
            "StopLoss": ("Filled", "0.010", "UNKNOWN"),
            "TakeProfit": ("Deactivated", "0.000", "CancelByTpSlTsClear"),
        }

    in_session(venue, script)
    assert venue.venue.exchange.accounts["main"].position(venue.venue.exchange.markets[LINEAR]).qty == 0


def test_partial_exits_stand_for_each_fill_beside_each_other(venue: VenueThread) -> None:
    """Mode Partial: a pair per fill with that fill's quantity; one hit ends its own partner only."""

    async def script(_private: Socket, orders: Socket) -> None:
        wanted = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "49500", "tpslMode": "Partial"}
        await orders.order("order.create", **wanted, takeProfit="51000", stopLoss="48000")
        venue.trade(LINEAR, "SELL", "0.055", "49500")
        venue.trade(LINEAR, "SELL", "1", "49400")

    in_session(venue, script)
    kinds = ["STOP_MARKET", "TAKE_PROFIT_MARKET"] * 2
    assert [(order.type, str(order.qty)) for order in open_orders(venue)] == [
        (kind, "0.005") for kind in kinds
    ]
    exchange = venue.venue.exchange
    venue.call(lambda: exchange.cancel(order_id=exchange.open_orders(symbol=LINEAR)[0].order_id))
    venue.trade(LINEAR, "SELL", "1", "47990")
    left = open_orders(venue)
    assert [(order.type, order.status) for order in left] == [("TAKE_PROFIT_MARKET", "UNTRIGGERED")]
    assert exchange.accounts["main"].position(exchange.markets[LINEAR]).qty == Decimal("0.005")


def test_exits_of_a_spot_entry_lock_what_it_bought_once(venue: VenueThread) -> None:
    """They stand when the entry is done, for what the fee left; the stop ends the target, also in words."""

    async def script(private: Socket, orders: Socket) -> None:
        row = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.020", "price": "49500"}
        row |= {"takeProfit": "51000", "stopLoss": "48000", "orderLinkId": "spot-entry"}
        await orders.order("order.create-batch", category="spot", request=[row])
        venue.trade(SPOT, "SELL", "1", "49499")
        heard = [(await private.until("order"))["data"][0] for _ in range(4)]
        told = [(row["stopOrderType"], row["orderStatus"], row["qty"]) for row in heard[2:]]
        assert told == [("BidirectionalTpslOrder", "Untriggered", "0.019")] * 2
        assert venue.venue.exchange.accounts["main"].balance("BTC").locked == Decimal("0.019")
        venue.trade(SPOT, "SELL", "1", "47999")
        words = set()
        while len(words) < 2:
            ended = (await private.until("order"))["data"][0]
            if ended["orderStatus"] in ("Filled", "Deactivated"):
                words.add((ended["orderStatus"], ended["cancelType"]))
        assert words == {("Filled", "UNKNOWN"), ("Deactivated", "CancelByOCOTpCanceledBySlTriggered")}

    in_session(venue, script)
    assert venue.venue.exchange.accounts["main"].balance("BTC").locked == 0


def test_the_private_stream_agrees_with_rest(venue: VenueThread, rest: Rest) -> None:
    """Executions, position and wallet after a fill."""

    async def script(private: Socket, orders: Socket) -> None:
        await orders.order("order.create", side="Buy", orderType="Market", qty="0.01", orderLinkId="m")
        execution = (await private.until("execution"))["data"][0]
        position = (await private.until("position"))["data"][0]
        rows = rest.get("/v5/execution/list", category="linear")["result"]["list"]
        assert [row["execId"] for row in rows] == [execution["execId"]]
        assert (execution["orderLinkId"], execution["isMaker"], execution["execFee"]) == ("m", False, "0.275")
        held = rest.get("/v5/position/list", category="linear", settleCoin="USDT")["result"]["list"][0]
        assert (
            (position["size"], position["entryPrice"])
            == (held["size"], held["avgPrice"])
            == ("0.010", "50000")
        )

    in_session(venue, script)


def test_an_order_session_refuses_what_it_must(venue: VenueThread) -> None:
    """Without a login, with an unknown operation, twice the same id, with an old timestamp."""

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await connect(session, venue.ws, "/v5/trade")
            assert (await socket.order("order.create"))["retCode"] == 10007
            assert (await socket.ask(op="auth", args=[KEY, 1, "00"]))["retCode"] == 10004
            assert (await socket.login())["retCode"] == 0
            assert (await socket.order("order.replace"))["retCode"] == 10404
            request = {
                "op": "order.cancel",
                "reqId": "same",
                "args": [{"category": "linear", "orderLinkId": "no"}],
            }
            header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000))}
            assert (await socket.ask(**request, header=header))["retCode"] == 110001
            assert (await socket.ask(**request, header=header))["retCode"] == 20006
            assert (await socket.ask(**request, header={"X-BAPI-TIMESTAMP": "1"}))["retCode"] == 10002
            assert (await socket.ask(op="ping"))["op"] == "pong"

    run(work())


def test_a_scripted_error_comes_before_or_after_the_work(venue: VenueThread) -> None:
    """The same words, but only in one case is there an order; lost, the session breaks."""

    def script_fault(when: Any) -> None:
        fault = EndpointFault("WS order.create", 1, code=10016, text="Server error.", when=when)
        venue.call(lambda: venue.venue.faults.endpoint_faults.append(fault))

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await connect(session, venue.ws, "/v5/trade")
            await socket.login()
            wanted = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "49000"}
            for when, count in (("before", 0), ("after", 1)):
                script_fault(when)
                assert (await socket.order("order.create", **wanted))["retCode"] == 10016
                assert len(open_orders(venue)) == count
            script_fault("lost")
            with pytest.raises(TypeError):  # aiohttp: a message of another kind, the end of the stream
                await socket.order("order.create", **wanted)
            assert len(open_orders(venue)) == 2

    run(work())


def test_the_public_stream_tells_trades_book_ticker_and_klines(venue: VenueThread) -> None:
    """Subscriptions are acknowledged, wrong ones refused, snapshots come first."""

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            for category in ("linear", "spot"):
                socket = await connect(session, venue.ws, f"/v5/public/{category}")
                bad = await socket.ask(op="subscribe", args=["publicTrade.NOUSDT"])
                assert (bad["success"], bad["ret_msg"]) == (False, "Invalid topic: publicTrade.NOUSDT")
                topics = [f"{name}.BTCUSDT" for name in ("publicTrade", "orderbook.1", "tickers", "kline.1")]
                assert (await socket.ask(op="subscribe", args=topics, req_id="r"))["req_id"] == "r"
                first = {(await socket.next())["topic"] for _ in range(2)}
                assert first == {"orderbook.1.BTCUSDT", "tickers.BTCUSDT"}
                venue.trade(f"BTCUSDT-{category.upper()}", "SELL", "0.02", "49950")
                trade = (await socket.until("publicTrade.BTCUSDT"))["data"][0]
                assert (trade["S"], trade["p"], trade["v"]) == ("Sell", "49950.00", "0.020")
                book = (await socket.until("orderbook.1.BTCUSDT"))["data"]
                assert (book["b"][0][0], book["a"][0][0]) == ("49950.00", "49950.10")
                kline = (await socket.until("kline.1.BTCUSDT"))["data"][0]
                # Confirmed where a minute ends just now.
                assert (kline["close"], type(kline["confirm"])) == ("49950.00", bool)
                assert (await socket.ask(op="ping"))["ret_msg"] == "pong"

    run(asyncio.wait_for(work(), 20))
