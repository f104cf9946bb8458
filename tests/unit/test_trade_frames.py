"""Trades that are read fast are the adapter's own, bit for bit."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nautilus_trader.adapters.binance import (
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceLiveDataClientFactory,
)
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import TraderId

from runtime.live import trade_frames
from runtime.live.trade_frames import frame_reader, read_trades_fast

MINUTE_NS = 60_000_000_000
ACCOUNTS = {"usdm": BinanceAccountType.USDT_FUTURES, "spot": BinanceAccountType.SPOT}


class Reader:
    """A data client of Binance that is not connected, what it hands in, and what it is given unread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, account: str) -> None:
        clock = LiveClock()
        bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
        config = BinanceDataClientConfig(account_type=ACCOUNTS[account], base_url_http="http://127.0.0.1:1")
        client: Any = BinanceLiveDataClientFactory.create(
            loop=loop, name=f"B-{account}", config=config, msgbus=bus, cache=Cache(), clock=clock
        )
        self.client = client
        self.handed_in: list[TradeTick] = []
        self.unread: list[bytes] = []
        bus.register(endpoint="DataEngine.process", handler=self.handed_in.append)
        self.by_adapter: Callable[[bytes], None] = self.client._handle_ws_message

        def adapter(raw: bytes) -> None:
            self.unread.append(raw)
            self.by_adapter(raw)

        self.client._handle_ws_message = adapter
        self.fast = frame_reader(self.client)

    def both(self, raw: bytes) -> tuple[list[Any], list[Any]]:
        """Return what the adapter and what the fast reader hand in for a message."""
        found = []
        for take in (self.by_adapter, self.fast):
            self.handed_in.clear()
            take(raw)
            found.append([plain(one) for one in self.handed_in])
        return found[0], found[1]


def plain(tick: TradeTick) -> tuple[Any, ...]:
    """Return all that a trade consists of."""
    return (
        tick.instrument_id.value,
        (tick.price.raw, tick.price.precision),
        (tick.size.raw, tick.size.precision),
        tick.aggressor_side,
        tick.trade_id.value,
        tick.ts_event,
        abs(tick.ts_init - time.time_ns()) < MINUTE_NS,  # when it was read
    )


@pytest.fixture(scope="module", params=sorted(ACCOUNTS))
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """Yield a reader of each kind of account."""
    loop = asyncio.new_event_loop()
    yield Reader(loop, request.param)
    loop.close()


def frame(kind: str, **fields: Any) -> bytes:
    """Return a message as Binance sends it: in this order, without spaces."""
    symbol = str(fields.get("s", "BTCUSDT"))
    data = {"e": kind, "E": 1_774_000_000_100, "s": symbol, **fields}
    return json.dumps({"stream": f"{symbol.lower()}@{kind}", "data": data}, separators=(",", ":")).encode()


def trade_of(
    kind: str, number: int, price: str, qty: str, at_ms: int, *, is_maker: bool, symbol: str
) -> bytes:
    """Return a trade as a message of either stream."""
    common = {"p": price, "q": qty, "T": at_ms, "m": is_maker}
    if kind == "aggTrade":
        return frame(kind, s=symbol, a=number, f=number, l=number + 2, **common)
    return frame(kind, s=symbol, t=number, **common, M=True)


def decimals(places: int) -> st.SearchStrategy[str]:
    """Draw positive amounts with so many decimals, as text."""
    return st.integers(1, 10**12).map(lambda n: f"{Decimal(n).scaleb(-places):f}")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["aggTrade", "trade"]),
    number=st.integers(0, 2**53),
    price=st.integers(0, 8).flatmap(decimals),
    qty=st.integers(0, 8).flatmap(decimals),
    at_ms=st.integers(1_500_000_000_000, 2_000_000_000_000),
    is_maker=st.booleans(),
    symbol=st.sampled_from(["BTCUSDT", "1000PEPEUSDT", "BTCUSDT_260626", "XRPUSDC"]),
)
def test_a_trade_is_the_adapters_own(
    reader: Reader, kind: str, number: int, price: str, qty: str, at_ms: int, is_maker: bool, symbol: str
) -> None:
    """Whatever it says, on both streams, seen for the first time or again."""
    if kind == "trade" and not reader.client._binance_account_type.is_spot_or_margin:
        return  # the adapter of contracts has no reader for it
    raw = trade_of(kind, number, price, qty, at_ms, is_maker=is_maker, symbol=symbol)
    reader.unread.clear()
    for _again in range(2):
        theirs, ours = reader.both(raw)
        assert len(theirs) == 1
        assert ours == theirs
    assert reader.unread == []


@pytest.mark.parametrize(
    "raw",
    [
        b'{"result":null,"id":1}',
        frame("aggTrade", p="1.0"),
        frame("aggTrade", a=1, p="one", q="1", T=1, m=True),
        frame("aggTrade", a=1, p="1", q="-1", T=1, m=True),
        frame("kline_1m", k={}),
        b'{"stream":"btcusdt@aggTrade","data":',
    ],
    ids=["an answer", "incomplete", "no price", "no quantity", "another stream", "cut off"],
)
def test_what_is_no_trade_goes_to_the_adapter(reader: Reader, raw: bytes) -> None:
    """It knows what to make of it, or logs what is wrong with it."""
    reader.unread.clear()
    theirs, ours = reader.both(raw)
    assert theirs == ours == []
    assert reader.unread == [raw]


def test_many_prices_are_forgotten(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node runs for months, and a market has no end of prices."""
    monkeypatch.setattr(trade_frames, "KEPT", 3)
    kept = trade_frames.Made(str.upper)
    for number in range(10):
        assert kept[f"a{number}"] == f"A{number}"
        assert len(kept) <= 3
    del reader


def test_only_clients_of_binance_get_the_reader(reader: Reader) -> None:
    """And it is in its place before they connect."""
    other = type("Other", (), {})()
    read_trades_fast(other)
    assert vars(other) == {}
    read_trades_fast(reader.client)
    assert reader.client._ws_client._handler.__qualname__.startswith("frame_reader")
