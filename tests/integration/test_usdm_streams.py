"""The streams of the local Binance USD-M: what is pushed, in which order, and when it ends."""

import asyncio
import time
from decimal import Decimal

import pytest

from tests.integration.test_usdm_protocol import run
from tests.integration.usdm_client import SYMBOL, UsdmClient


def test_entry_fill_is_told_as_order_trade_and_account() -> None:
    """NEW, then TRADE_LITE, the trade, and the wallet with the position."""

    async def scenario(client: UsdmClient) -> None:
        async with client.user_stream() as stream:
            await client.order("BUY", "0.010", "49900.00", newClientOrderId="entry")
            client.trade("49899.90", qty="0.004")
            update = await stream.until("ACCOUNT_UPDATE")

            told = [(m["e"], m.get("o", {}).get("x"), m.get("o", {}).get("X")) for m in stream.messages]
            assert told == [
                ("ORDER_TRADE_UPDATE", "NEW", "NEW"),
                ("TRADE_LITE", None, None),
                ("ORDER_TRADE_UPDATE", "TRADE", "PARTIALLY_FILLED"),
                ("ACCOUNT_UPDATE", None, None),
            ]
            trade = stream.messages[2]["o"]
            assert (trade["l"], trade["L"], trade["z"], trade["m"]) == ("0.004", "49900.00", "0.004", True)
            assert trade["n"] == "0.03992000"  # 0.004 * 49900 at the maker's 0.02 %
            assert update["a"]["B"][0]["wb"] == "9999.96008000"
            assert (update["a"]["P"][0]["pa"], update["a"]["P"][0]["ep"]) == ("0.004", "49900.00000000")

    run(scenario)


def test_stop_goes_from_algo_order_to_order_to_finished() -> None:
    """TRIGGERING, TRIGGERED with the order's id, the order's own NEW and TRADE, then FINISHED."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        async with client.user_stream() as stream:
            await client.stop("SELL", "49500.00", closePosition="true", clientAlgoId="stop")
            await stream.until("ALGO_UPDATE", X="NEW")
            client.trade("49500.00")
            finished = await stream.until("ALGO_UPDATE", X="FINISHED")

            told = [
                (m["e"], m["o"]["X"])
                for m in stream.messages
                if m["e"] not in ("TRADE_LITE", "ACCOUNT_UPDATE")
            ]
            assert told == [
                ("ALGO_UPDATE", "NEW"),
                ("ALGO_UPDATE", "TRIGGERING"),
                ("ALGO_UPDATE", "TRIGGERED"),
                ("ORDER_TRADE_UPDATE", "NEW"),
                ("ORDER_TRADE_UPDATE", "FILLED"),
                ("ALGO_UPDATE", "FINISHED"),
            ]
            order = next(m["o"] for m in stream.messages if m["e"] == "ORDER_TRADE_UPDATE")
            assert finished["o"]["ai"] == str(order["i"])
            assert (order["c"], order["o"], order["ot"], order["q"]) == (
                "stop",
                "MARKET",
                "STOP_MARKET",
                "0.010",
            )
            assert finished["o"]["aq"] == "0.010"

    run(scenario)


def test_reduce_only_stop_without_a_position_is_cancelled_when_it_triggers() -> None:
    """The update says so in the words of the recorded message, and no order ever comes of it."""

    async def scenario(client: UsdmClient) -> None:
        async with client.user_stream() as stream:
            await client.stop("SELL", "49500.00", quantity="0.010", reduceOnly="true", clientAlgoId="stop")
            client.trade("49500.00")
            ended = await stream.until("ALGO_UPDATE", X="CANCELED")

            assert (ended["o"]["rm"], ended["o"]["ai"]) == ("Reduce Only reject", "")
            assert all(message["e"] == "ALGO_UPDATE" for message in stream.messages)

    run(scenario)


def test_flat_position_ends_the_target_and_the_closing_stop() -> None:
    """When the position is closed, reduce-only orders expire and close-position orders are cancelled."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        await client.order("SELL", "0.010", "51000.00", reduceOnly="true", newClientOrderId="target")
        await client.stop("SELL", "49000.00", closePosition="true", clientAlgoId="stop")
        async with client.user_stream() as stream:
            await client.market("SELL", "0.010", reduceOnly="true")
            await stream.until("ORDER_TRADE_UPDATE", c="target", X="EXPIRED")
            await stream.until("ALGO_UPDATE", caid="stop", X="CANCELED")

        assert client.venue.exchange.open_orders() == []

    run(scenario)


@pytest.mark.parametrize(
    ("reason", "prefix", "status"),
    [("liquidation", "autoclose-", "FILLED"), ("adl", "adl_autoclose", "NEW_ADL")],
)
def test_forced_close_is_calculated(reason: str, prefix: str, status: str) -> None:
    """Liquidation and ADL come as IOC orders of the venue whose execution is CALCULATED."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        async with client.user_stream() as stream:
            client.venue.exchange.close_by_force("main", SYMBOL, reason)
            update = await stream.until("ORDER_TRADE_UPDATE", x="CALCULATED")
            order = update["o"]
            assert order["c"].startswith(prefix)
            assert (order["X"], order["o"], order["f"], order["S"], order["l"]) == (
                status,
                "LIMIT",
                "IOC",
                "SELL",
                "0.010",
            )
            account = await stream.until("ACCOUNT_UPDATE")
            assert account["a"]["P"][0]["pa"] == "0.000"

    run(scenario)


def test_funding_moves_the_wallet_by_its_exact_amount() -> None:
    """A long pays position value times rate; the update's reason is FUNDING_FEE and lists no position."""

    async def scenario(client: UsdmClient) -> None:
        await client.market("BUY", "0.010")
        client.trade("50000.00")
        async with client.user_stream() as stream:
            client.venue.protocol.settle_funding(SYMBOL, Decimal("0.0001"))
            update = await stream.until("ACCOUNT_UPDATE")

            assert (update["a"]["m"], update["a"]["P"]) == ("FUNDING_FEE", [])
            assert update["a"]["B"][0]["bc"] == "-0.05000000"
            assert update["a"]["B"][0]["wb"] == "9999.69999950"
            _, rows = await client.send("GET", f"/fapi/v1/fundingRate?symbol={SYMBOL}")
            assert rows[0]["fundingRate"] == "0.00010000"

    run(scenario)


def test_expired_listen_key_says_so_and_then_nothing_more() -> None:
    """After the expiry the stream stays silent; a new key hears again."""

    async def scenario(client: UsdmClient) -> None:
        async with client.user_stream() as old:
            client.venue.clock.skew_ns += 61 * 60 * 1_000_000_000  # nobody kept it alive
            expired = await old.until("listenKeyExpired")
            client.venue.clock.skew_ns = 0
            assert len(expired["listenKey"]) == 64
            async with client.user_stream() as new:
                await client.order("BUY", "0.010", "49000.00")
                await new.until("ORDER_TRADE_UPDATE")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(old.socket.receive_json(), 0.05)

    run(scenario)


def test_amended_order_is_told_with_its_new_terms() -> None:
    """PUT order is an AMENDMENT on the stream."""

    async def scenario(client: UsdmClient) -> None:
        async with client.user_stream() as stream:
            _, order = await client.order("BUY", "0.010", "49000.00")
            change = {"symbol": SYMBOL, "orderId": order["orderId"], "side": "BUY", "quantity": "0.020"}
            await client.call("PUT", "/fapi/v1/order", **change, price="49100.00")
            update = await stream.until("ORDER_TRADE_UPDATE", x="AMENDMENT")
            assert (update["o"]["q"], update["o"]["p"]) == ("0.020", "49100.00")

    run(scenario)


def test_market_streams_deliver_what_is_subscribed_and_nothing_else() -> None:
    """`/stream` wraps, subscribing works while connected, and trades come in the order of their ids."""

    async def scenario(client: UsdmClient) -> None:
        async with client.stream(f"/market/stream?streams={SYMBOL.lower()}@aggTrade") as stream:
            await stream.socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 7})
            assert await stream.socket.receive_json() == {"result": None, "id": 7}
            ids = [client.trade("50010.00", side="BUY"), client.trade("50000.00")]
            book = await stream.until("bookTicker")
            assert (book["b"], book["a"]) == ("50000.00", "50000.10")
            trades = [m["data"] for m in stream.messages if m["data"]["e"] == "aggTrade"]
            assert [(row["a"], row["m"]) for row in trades] == [(ids[0], False), (ids[1], True)]
            assert {m["stream"] for m in stream.messages} == {"btcusdt@aggTrade", "btcusdt@bookTicker"}

            await stream.socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 8})
            await stream.socket.receive_json()
            client.trade("50000.00")
            await stream.until("bookTicker")
            assert stream.messages[-1]["data"]["e"] == "bookTicker"

    run(scenario)


def test_kline_stream_pushes_a_closed_bar_once() -> None:
    """The bar of the minute that ends is pushed with x true, with what traded in it."""

    async def scenario(client: UsdmClient) -> None:
        async with client.stream("/ws/btcusdt@kline_1m") as stream:
            await asyncio.sleep(0.02)
            client.trade("50020.00", side="BUY")
            to_next_ms = 60_000 - int(time.time() * 1000) % 60_000
            client.venue.clock.skew_ns = (to_next_ms + 100) * 1_000_000
            event = await stream.until("kline")
            while not event["k"]["x"]:
                event = await stream.until("kline")
            assert (event["k"]["h"], event["k"]["i"]) == ("50020.00", "1m")
            client.trade("50000.00")
            later = await stream.until("kline")
            assert later["k"]["t"] == event["k"]["t"] + 60_000

    run(scenario)
