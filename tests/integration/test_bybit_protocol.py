"""Bybit v5 on the local exchange over real HTTP and websockets: orders, refusals, limits, streams."""

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


def codes(answer: dict[str, Any]) -> int:
    """Return the code of an answer."""
    code: int = answer["retCode"]
    return code


def open_orders(venue: VenueThread, key: str = LINEAR) -> list[Order]:
    """Return the exchange's open orders."""
    return venue.call(lambda: venue.venue.exchange.open_orders(symbol=key))


REFUSED_LINEAR = {
    "post-only that would take is accepted": ({"price": "50100", "timeInForce": "PostOnly"}, 0),
    "too little margin": ({"qty": "100"}, 110007),
    "off the tick": ({"price": "49000.05"}, 10001),
    "off the lot": ({"qty": "0.0105"}, 10001),
    "far from the market": ({"price": "9000"}, 110003),
    "worth too little": ({"qty": "0.001", "price": "4000"}, 110094),
    "without a quantity": ({"qty": "0"}, 10001),
    "nothing to reduce": ({"reduceOnly": True, "side": "Sell", "price": "51000"}, 110017),
    "unknown symbol": ({"symbol": "NOUSDT"}, 10001),
    "other category": ({"category": "inverse"}, 10001),
    "hedge mode": ({"positionIdx": 1}, 10001),
    "rising stop below the market": ({"triggerPrice": "49000", "triggerDirection": 1}, 110092),
    "falling stop above the market": (
        {"triggerPrice": "51000", "triggerDirection": 2, "side": "Sell"},
        110093,
    ),
    "trigger without a direction": ({"triggerPrice": "51000"}, 10001),
    "target on the wrong side": ({"takeProfit": "48000"}, 10001),
    "stop on the wrong side": ({"stopLoss": "49500"}, 10001),
    "stop of an order that reduces": ({"reduceOnly": True, "stopLoss": "48000"}, 110057),
    "too long an id": ({"orderLinkId": "x" * 37}, 10001),
}


@pytest.mark.parametrize("case", REFUSED_LINEAR)
def test_a_linear_order_is_refused_with_bybits_code(rest: Rest, case: str) -> None:
    """Only the post-only order is accepted: its end comes on the stream."""
    changes, code = REFUSED_LINEAR[case]
    answer = rest.order(**changes)
    assert (codes(answer), bool(answer["result"])) == (code, code == 0)


REFUSED_SPOT = {
    "too little money": ({"qty": "1"}, 170131),
    "off the tick": ({"price": "49000.05"}, 170134),
    "off the lot": ({"qty": "0.0105"}, 170137),
    "too small": ({"qty": "0.0001"}, 170136),
    "worth too little": ({"qty": "0.001", "price": "4900"}, 170140),
}


@pytest.mark.parametrize("case", REFUSED_SPOT)
def test_a_spot_order_is_refused_with_bybits_code(rest: Rest, venue: VenueThread, case: str) -> None:
    """Spot has a table of codes of its own."""
    market = venue.venue.exchange.markets[SPOT]
    venue.call(lambda: setattr(market, "percent_down", Decimal("0.01")))
    changes, code = REFUSED_SPOT[case]
    assert codes(rest.order(category="spot", **changes)) == code


def test_a_client_id_is_used_once_for_ever(rest: Rest) -> None:
    """Also after its order is gone; a batch says so order by order."""
    assert codes(rest.order(orderLinkId="one")) == 0
    assert codes(rest.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="one")) == 0
    assert codes(rest.order(orderLinkId="one")) == 110072
    row = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "49000"}
    rows = [row | {"orderLinkId": name} for name in ("one", "two")]
    answer = rest.post("/v5/order/create-batch", category="linear", request=rows)
    assert [entry["code"] for entry in answer["retExtInfo"]["list"]] == [110072, 0]
    assert [bool(entry["orderId"]) for entry in answer["result"]["list"]] == [False, True]


def test_cancel_and_amend_of_what_is_closed_are_refused(rest: Rest) -> None:
    """With the codes of their product."""
    for category, code in (("linear", 110001), ("spot", 170142)):
        order_id = rest.order(category=category)["result"]["orderId"]
        same = {"category": category, "symbol": "BTCUSDT", "orderId": order_id}
        assert codes(rest.post("/v5/order/amend", **same, price="48000")) == 0
        assert codes(rest.post("/v5/order/amend", **same, price="48000")) == 10001
        assert codes(rest.post("/v5/order/cancel", **same)) == 0
        assert codes(rest.post("/v5/order/cancel", **same)) == code
        assert codes(rest.post("/v5/order/amend", **same, price="47000")) == code


def test_spot_ignores_a_trigger_without_an_order_filter(rest: Rest, venue: VenueThread) -> None:
    """The sale is done at once; with the filter it waits, and cancel-all without the filter leaves it."""
    sale = {"category": "spot", "side": "Sell", "orderType": "Market", "triggerPrice": "49000"}
    assert codes(rest.order(**sale)) == 0
    assert open_orders(venue, SPOT) == []
    assert codes(rest.order(**sale, orderFilter="StopOrder")) == 0
    assert [order.type for order in open_orders(venue, SPOT)] == ["STOP_MARKET"]
    waiting = {"category": "spot", "symbol": "BTCUSDT", "orderId": rest.get("/v5/order/realtime", category="spot")[
        "result"]["list"][0]["orderId"]}  # fmt: skip
    assert codes(rest.post("/v5/order/cancel", **waiting)) == 170213
    assert rest.post("/v5/order/cancel-all", category="spot", symbol="BTCUSDT")["result"]["list"] == []
    done = rest.post("/v5/order/cancel-all", category="spot", symbol="BTCUSDT", orderFilter="StopOrder")
    assert len(done["result"]["list"]) == 1


def test_a_spot_market_buy_is_sized_in_the_quote_currency(rest: Rest, venue: VenueThread) -> None:
    """Unless `marketUnit` says otherwise; the fee is paid in what was bought."""
    before = venue.venue.exchange.accounts["main"].balance("BTC").total
    assert codes(rest.order(category="spot", orderType="Market", qty="500")) == 0
    assert codes(rest.order(category="spot", orderType="Market", qty="0.010", marketUnit="baseCoin")) == 0
    rows = rest.get("/v5/execution/list", category="spot")["result"]["list"]
    assert [(row["execQty"], row["execFee"], row["feeCurrency"]) for row in rows] == [
        ("0.010", "0.00001", "BTC")
    ] * 2
    assert venue.venue.exchange.accounts["main"].balance("BTC").total - before == Decimal("0.01998")


def test_the_eleventh_order_of_a_second_is_too_many(rest: Rest) -> None:
    """10006 with the three headers; the next second is free again."""
    answers = [rest.order(price=str(40_000 + step)) for step in range(12)]
    assert codes(answers[0]) == 0
    assert codes(answers[-1]) == 10006
    assert (rest.last_headers["x-bapi-limit"], rest.last_headers["x-bapi-limit-status"]) == ("10", "0")
    reset_secs = int(rest.last_headers["x-bapi-limit-reset-timestamp"]) / 1000 - time.time()
    time.sleep(max(reset_secs, 0) + 0.02)
    assert codes(rest.order()) == 0


def test_an_address_that_does_not_listen_is_banned(rest: Rest, venue: VenueThread) -> None:
    """First 10006, then HTTP 403."""
    venue.call(lambda: venue.venue.limiter.limit(60))
    assert codes(rest.get("/v5/market/time")) == 10006
    venue.call(lambda: venue.venue.limiter.ban(60))
    assert rest.get("/v5/market/time") == {"ret_msg": "access too frequent"}


def test_a_wrong_signature_and_a_wrong_clock_are_refused(rest: Rest, venue: VenueThread) -> None:
    """10003, 10004, 10002; nothing is placed."""
    assert codes(Rest(venue.http, key="other").order()) == 10003
    assert codes(Rest(venue.http, secret="other").order()) == 10004
    venue.call(lambda: setattr(venue.venue.clock, "skew_ns", 10_000_000_000))
    assert codes(rest.order()) == 10002
    assert open_orders(venue) == []


def test_a_key_without_trade_permission_cannot_order(rest: Rest, venue: VenueThread) -> None:
    """And the key's page says what it may."""
    main = venue.venue.exchange.accounts["main"]
    venue.call(lambda: (setattr(main, "can_trade", False), setattr(main, "can_withdraw", True)))
    assert codes(rest.order()) == 10005
    told = rest.get("/v5/user/query-api")["result"]
    assert (told["readOnly"], "Withdraw" in told["permissions"]["Wallet"]) == (1, True)


def test_leverage_and_position_mode_answer_what_has_not_changed(rest: Rest) -> None:
    """The adapter takes these two codes for success."""
    same = {"category": "linear", "symbol": "BTCUSDT"}
    assert codes(rest.post("/v5/position/set-leverage", **same, buyLeverage="5", sellLeverage="5")) == 0
    assert codes(rest.post("/v5/position/set-leverage", **same, buyLeverage="5", sellLeverage="5")) == 110043
    assert codes(rest.post("/v5/position/switch-mode", **same, mode=0)) == 110025
    assert codes(rest.post("/v5/position/switch-mode", **same, mode=3)) == 110029


def test_recent_trades_are_few_on_spot_and_many_on_linear(rest: Rest, venue: VenueThread) -> None:
    """60 and 1,000 at most, newest first, and no id tells its neighbour."""
    for key in (LINEAR, SPOT):
        venue.call(lambda key=key: [venue.venue.exchange.print_trade(key, "BUY", Decimal("0.01"), Decimal(50_000 + n % 7))
                                    for n in range(1100)])  # fmt: skip
    counts = {}
    for category in ("linear", "spot"):
        rows = rest.get("/v5/market/recent-trade", category=category, symbol="BTCUSDT", limit=1000)["result"][
            "list"
        ]
        counts[category] = len(rows)
        times = [int(row["time"]) for row in rows]
        assert times == sorted(times, reverse=True)
        assert len({row["execId"] for row in rows}) == len(rows)
    assert counts == {"linear": 1000, "spot": 60}


def test_klines_agree_with_the_trades(rest: Rest, venue: VenueThread) -> None:
    """The unfinished minute is the first row."""
    venue.trade(LINEAR, "SELL", "0.02", "49900")
    rows = rest.get("/v5/market/kline", category="linear", symbol="BTCUSDT", interval="D")["result"]["list"]
    assert rows[0][1:] == ["50000.00", "50000.00", "49900.00", "49900.00", "0.03", "1498"]
    assert codes(rest.get("/v5/market/kline", category="linear", symbol="BTCUSDT", interval="7")) == 10001


def test_public_market_pages_answer(rest: Rest) -> None:
    """Instruments by page, tickers, funding in eight-hour steps, time."""
    for category in ("linear", "spot"):
        page = rest.get("/v5/market/instruments-info", category=category, limit=1)["result"]
        assert [row["symbol"] for row in page["list"]] == ["BTCUSDT"]
        ticker = rest.get("/v5/market/tickers", category=category, symbol="BTCUSDT")["result"]["list"][0]
        assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"]) == Decimal(ticker["lastPrice"])
    rows = rest.get("/v5/market/funding/history", category="linear", symbol="BTCUSDT", limit=3)["result"][
        "list"
    ]
    times = [int(row["fundingRateTimestamp"]) for row in rows]
    assert [a - b for a, b in zip(times, times[1:], strict=False)] == [8 * 3_600_000] * 2


def test_disconnection_protection_is_not_there_until_it_is_enabled(rest: Rest, venue: VenueThread) -> None:
    """Then the orders go when the last watching session has been gone too long, by the exchange's clock."""
    ask = {"product": "DERIVATIVES", "timeWindow": 3}
    assert rest.get("/v5/account/query-dcp-info")["result"] == {"dcpInfos": []}
    assert codes(rest.post("/v5/order/disconnected-cancel-all", **ask)) == 10005
    bybit = venue.venue.protocol
    assert isinstance(bybit, Bybit)
    venue.call(lambda: bybit.dcp.enable("DERIVATIVES"))
    assert codes(rest.post("/v5/order/disconnected-cancel-all", **ask)) == 0
    rest.order()

    async def watch_and_go() -> None:
        async with aiohttp.ClientSession() as session:
            socket = await connect(session, venue.ws, "/v5/private")
            await socket.login()
            assert (await socket.ask(op="subscribe", args=["dcp.future"]))["success"]

    run(watch_and_go())
    time.sleep(0.1)
    assert len(open_orders(venue)) == 1
    venue.call(lambda: setattr(venue.venue.clock, "skew_ns", 4_000_000_000))
    deadline = time.monotonic() + 5
    while open_orders(venue) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_orders(venue) == []
    closed = venue.call(lambda: list(venue.venue.exchange.orders.values()))
    assert [order.reason for order in closed] == ["dcp"]


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
                assert (kline["close"], kline["confirm"]) == ("49950.00", False)
                assert (await socket.ask(op="ping"))["ret_msg"] == "pong"

    run(asyncio.wait_for(work(), 20))


def test_open_and_closed_orders_are_found_by_filter_and_page(rest: Rest) -> None:
    """Ordinary and conditional ones, newest first, page by page; closed ones in the history."""
    for step in range(3):
        rest.order(price=str(48_000 + step), orderLinkId=f"o{step}")
    rest.order(side="Sell", orderType="Market", triggerPrice="47000", triggerDirection=2, orderLinkId="stop")
    ask = {"category": "linear", "settleCoin": "USDT"}
    assert codes(rest.get("/v5/order/realtime", category="linear")) == 10001

    def found(path: str, **params: Any) -> list[str]:
        names, cursor = [], ""
        while True:
            result = rest.get(path, **ask, **params, limit=2, **({"cursor": cursor} if cursor else {}))[
                "result"
            ]
            names += [row["orderLinkId"] for row in result["list"]]
            cursor = result["nextPageCursor"]
            if not cursor:
                return names

    assert found("/v5/order/realtime") == ["stop", "o2", "o1", "o0"]
    assert found("/v5/order/realtime", orderFilter="StopOrder") == ["stop"]
    rest.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId="o1")
    assert found("/v5/order/history") == ["o1"]
    assert found("/v5/order/realtime", orderLinkId="o1") == ["o1"]
