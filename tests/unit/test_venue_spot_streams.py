"""The local Binance spot streams as documented: trades, klines, book, orders, balances; and its faults."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.spot_client import SpotClient, play
from tests.unit.test_venue_spot_rest import shape
from tests.venue_simulator.faults import StreamFault


async def events(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """Receive so many messages."""
    return [await socket.receive_json(timeout=5) for _ in range(count)]


def test_combined_stream_wraps_and_subscribes() -> None:
    """The streams of the address, then those asked for, each in its envelope."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/stream?streams=btcusdt@trade") as socket:
            await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 5})
            assert await socket.receive_json() == {"result": None, "id": 5}
            client.prints("SELL", "0.25", "59990.5")
            trade, aggregate = await events(socket, 2)
            assert trade["stream"] == "btcusdt@trade"
            data = trade["data"]
            assert [data[name] for name in "esptqmM"] == [
                "trade", "BTCUSDT", "59990.50000000", 2, "0.25000000", True, True,
            ]  # fmt: skip
            assert aggregate["data"]["a"] == 2
            await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 6})
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 7})
            assert (await events(socket, 2))[1] == {"result": ["btcusdt@aggTrade"], "id": 7}

    play(scenario)


def test_raw_stream_has_no_envelope() -> None:
    """Below /ws the payload comes alone."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/ws/btcusdt@bookTicker") as socket:
            client.prints("BUY", "0.25", "60001")
            (book,) = await events(socket, 1)
            assert (book["b"], book["a"]) == ("60000.99000000", "60001.00000000")

    play(scenario)


def test_kline_stream_closes_its_bars() -> None:
    """A one-second bar is reported closed with exactly what traded in it."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/stream?streams=btcusdt@kline_1s") as socket:
            while True:
                client.prints("BUY", "0.1", "60005")
                bar = (await events(socket, 1))[0]["data"]["k"]
                if bar["x"] and bar["n"]:
                    break
            assert bar["T"] - bar["t"] == 999
            _, rows = await client.call(
                "GET", "/api/v3/klines", symbol="BTCUSDT", interval="1s", startTime=bar["t"], limit=1
            )
            assert [rows[0][0], *rows[0][1:6], rows[0][8]] == [bar[name] for name in "tohlcvn"]

    play(scenario)


def test_order_reports_follow_the_order() -> None:
    """NEW, TRADE and CANCELED with the balances after each; a cancellation names both ids."""

    async def scenario(client: SpotClient) -> None:
        async with client.user_stream() as socket:
            await client.order(newClientOrderId="mine")
            client.prints("SELL", "0.004", "59990")
            await client.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
            reports = [message["event"] for message in await events(socket, 6)]
            assert [report["e"] for report in reports] == ["executionReport", "outboundAccountPosition"] * 3
            new, fill, gone = reports[::2]
            assert [(one["x"], one["X"], one["c"] == "mine", one["C"]) for one in (new, fill, gone)] == [
                ("NEW", "NEW", True, ""),
                ("TRADE", "PARTIALLY_FILLED", True, ""),
                ("CANCELED", "CANCELED", False, "mine"),
            ]
            assert [fill[name] for name in "lLznNmw"] == [
                "0.00400000", "59990.00000000", "0.00400000", "0.00000400", "BTC", True, True,
            ]  # fmt: skip
            assert reports[-1]["B"] == [{"a": "USDT", "f": "99760.04000000", "l": "0.00000000"}]

    play(scenario)


def test_triggered_stop_is_reported_working() -> None:
    """A stop is NEW but not working, NEW again when its price is reached, then filled."""

    async def scenario(client: SpotClient) -> None:
        async with client.user_stream() as socket:
            await client.order(side="SELL", type="STOP_LOSS_LIMIT", price="59900", stopPrice="59950")
            client.prints("SELL", "1", "59940")
            reports = [one["event"] for one in await events(socket, 5)]
            orders = [one for one in reports if one["e"] == "executionReport"]
            assert [(one["x"], one["X"], one["w"]) for one in orders[:3]] == [
                ("NEW", "NEW", False),
                ("NEW", "NEW", True),
                ("TRADE", "FILLED", False),
            ]

    play(scenario)


def test_report_has_the_recorded_shape(shared_data: Path) -> None:
    """An executionReport has the keys and types of the recorded one."""
    path = shared_data / "wire/binance/spot/user_data_json/execution_report_wrapped.json"

    async def scenario(client: SpotClient) -> None:
        async with client.user_stream() as socket:
            await client.order()
            (report,) = await events(socket, 1)
            assert shape(report) == shape(json.loads(path.read_text()))

    play(scenario)


def test_wrong_signature_cannot_log_on() -> None:
    """The WS API refuses as REST does, and nobody hears of orders before logging on."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/ws-api/v3") as socket:
            params = client.logon() | {"signature": "0" * 64}
            await socket.send_json({"id": 1, "method": "session.logon", "params": params})
            assert (await socket.receive_json())["error"]["code"] == -1022
            await socket.send_json({"id": 2, "method": "userDataStream.subscribe"})
            assert (await socket.receive_json())["error"]["code"] == -2015

    play(scenario)


def test_expired_session_is_told() -> None:
    """After eventStreamTerminated nothing comes until the client subscribes again."""

    async def scenario(client: SpotClient) -> None:
        async with client.user_stream() as socket:
            client.venue.protocol.expire_user_stream("main")
            assert (await events(socket, 1))[0]["event"]["e"] == "eventStreamTerminated"
            await client.order()
            await socket.send_json({"id": 3, "method": "ping"})
            assert (await events(socket, 1))[0]["id"] == 3

    play(scenario)


# fault, the ids that arrive of the trades 2, 3, 4
STREAM_FAULTS = {
    "drop": ([3, 4], "drop"),
    "duplicate": ([2, 2, 3, 4], "duplicate"),
    "reorder": ([3, 2, 4], "reorder"),
    "delay": ([3, 4, 2], "delay"),
}


@pytest.mark.parametrize(("expected", "action"), STREAM_FAULTS.values(), ids=STREAM_FAULTS)
def test_stream_fault_meets_one_message(expected: list[int], action: Any) -> None:
    """One message is lost, doubled, overtaken or late; the others are not."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/stream?streams=btcusdt@trade") as socket:
            client.venue.faults.stream_faults.append(StreamFault(action, "public.*", 1, 0.05))
            for _ in range(3):
                client.prints("BUY", "0.1", "60000")
            got = [one["data"]["t"] for one in await events(socket, len(expected))]
            assert got == expected

    play(scenario)


def test_cut_drops_and_refuses() -> None:
    """During a cut open streams end and new requests fail; afterwards all is well."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/stream?streams=btcusdt@trade") as socket:
            client.venue.faults.cut(0.2)
            assert (await socket.receive(timeout=5)).type in {
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            }
        with pytest.raises(aiohttp.ClientError):
            await client.call("GET", "/api/v3/time")
        await asyncio.sleep(0.2)
        assert (await client.call("GET", "/api/v3/time"))[0] == 200

    play(scenario)


def test_freeze_holds_answers_and_messages() -> None:
    """A frozen venue keeps its connections, says nothing, and then says everything."""

    async def scenario(client: SpotClient) -> None:
        async with client.socket("/stream?streams=btcusdt@trade") as socket:
            client.venue.faults.freeze(0.2)
            client.prints("BUY", "0.1", "60000")
            with pytest.raises(TimeoutError):
                await socket.receive_json(timeout=0.05)
            assert (await client.call("GET", "/api/v3/time"))[0] == 200
            assert client.venue.faults.frozen_secs == 0
        async with client.socket("/stream?streams=btcusdt@trade") as socket:
            client.prints("BUY", "0.1", "60000")
            assert (await events(socket, 1))[0]["data"]["t"] == 3

    play(scenario)


def test_lost_answer_leaves_the_work_done() -> None:
    """The connection closes without an answer, and the order exists."""

    async def scenario(client: SpotClient) -> None:
        from tests.venue_simulator.faults import EndpointFault

        client.venue.faults.endpoint_faults.append(EndpointFault("POST *", 1, when="lost"))
        with pytest.raises(aiohttp.ClientError):
            await client.order()
        assert len(client.venue.exchange.orders) == 1
        assert client.venue.requests[-1].fault == "lost"

    play(scenario)
