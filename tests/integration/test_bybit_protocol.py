"""Bybit v5 on the local exchange over real HTTP and websockets: orders, refusals, limits, streams."""

import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from tests.bybit_client import Rest, account, connect, markets, run
from tests.venue_simulator.bybit import Bybit
from tests.venue_simulator.core import Order
from tests.venue_simulator.process import VenueProcess
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
    found = rest.get("/v5/order/realtime", category="spot")["result"]["list"]
    waiting = {"category": "spot", "symbol": "BTCUSDT", "orderId": found[0]["orderId"]}
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


def print_many(venue: VenueThread, key: str) -> None:
    """Make 1,100 public trades."""
    for step in range(1100):
        venue.venue.exchange.print_trade(key, "BUY", Decimal("0.01"), Decimal(50_000 + step % 7))


def test_recent_trades_are_few_on_spot_and_many_on_linear(rest: Rest, venue: VenueThread) -> None:
    """60 and 1,000 at most, newest first, and no id tells its neighbour."""
    for key in (LINEAR, SPOT):
        venue.call(lambda key=key: print_many(venue, key))
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
    assert [later - earlier for later, earlier in pairwise(times)] == [8 * 3_600_000] * 2


def test_disconnection_protection_is_not_there_until_it_is_enabled(rest: Rest, venue: VenueThread) -> None:
    """Then the orders go when the last watching session has been gone too long, by the exchange's clock."""
    ask = {"product": "DERIVATIVES", "timeWindow": 3}
    assert rest.get("/v5/account/query-dcp-info")["result"] == {"dcpInfos": []}
    assert codes(rest.post("/v5/order/disconnected-cancel-all", **ask)) == 10005
    bybit = venue.venue.protocol
    assert isinstance(bybit, Bybit)
    venue.call(lambda: bybit.enable_disconnect_cancel("DERIVATIVES", 10))
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


def test_the_exchange_in_its_own_process_takes_scripted_faults(bybit_venue: VenueProcess) -> None:
    """By `/ctl`: an error of one endpoint, disconnection protection, a ban."""
    rest = Rest(bybit_venue.http("bybit"))
    bybit_venue.fault("error", endpoint="GET /v5/market/time", status=503, code=10016, text="Server error.")
    assert [codes(rest.get("/v5/market/time")) for _ in range(2)] == [10016, 0]
    bybit_venue.fault("dcp", product="SPOT", secs=7)
    told = rest.get("/v5/account/query-dcp-info")["result"]["dcpInfos"]
    assert told == [{"product": "SPOT", "dcpStatus": "ON", "timeWindow": "7"}]
    bybit_venue.fault("ban", secs=60)
    assert rest.get("/v5/market/time") == {"ret_msg": "access too frequent"}
    assert set(bybit_venue.state("bybit")["markets"]) == {SPOT, LINEAR}
