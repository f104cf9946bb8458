"""Reads the trade messages of Binance as its adapter does, in a fraction of the time.

The adapter decodes each message twice, makes the instrument's name anew, and prices and quantities through
`decimal`: more than half of what a trade costs before a strategy sees it. The same few prices and quantities
come again and again, and Nautilus' are immutable, so what was made once is given again. Trades are equal to
the adapter's, bit for bit (``tests/unit/test_trade_frames.py``); every other message goes to the adapter.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from nautilus_trader.core.datetime import millis_to_nanos
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity

BEGIN: Final = b'{"stream":"'
# Within so many bytes a message of trades says what it is.
NAMED_WITHIN: Final = 64
# Of different prices and quantities; forgotten all at once, which is rare.
KEPT: Final = 50_000


class AggregateTrade(msgspec.Struct, frozen=True, gc=False):
    """Of a message of ``@aggTrade``, what a trade needs; names as on the wire."""

    s: str
    a: int
    p: str
    q: str
    T: int
    m: bool


class SingleTrade(msgspec.Struct, frozen=True, gc=False):
    """The same of ``@trade``."""

    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class AggregateFrame(msgspec.Struct, frozen=True, gc=False):
    """A message of ``@aggTrade``."""

    data: AggregateTrade


class SingleFrame(msgspec.Struct, frozen=True, gc=False):
    """A message of ``@trade``."""

    data: SingleTrade


class Made[T](dict[str, T]):
    """What was made of a text once.

    Parameters
    ----------
    make
        Makes it.
    """

    def __init__(self, make: Callable[[str], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> T:
        if len(self) >= KEPT:
            self.clear()
        made = self[text] = self._make(text)
        return made


def frame_reader(client: Any) -> Callable[[bytes], None]:
    """Return what takes the messages of a client's market streams.

    Parameters
    ----------
    client
        Nautilus' data client of Binance, spot or USD-M; it gets what is not a trade, and what is none.
    """
    others, hand_in, now_ns = client._handle_ws_message, client._handle_data, client._clock.timestamp_ns  # noqa: SLF001
    ids: Made[InstrumentId] = Made(client._get_cached_instrument_id)  # noqa: SLF001
    prices, quantities = Made(Price.from_str), Made(Quantity.from_str)
    aggregate, single = msgspec.json.Decoder(AggregateFrame).decode, msgspec.json.Decoder(SingleFrame).decode
    seller, buyer, begin = AggressorSide.SELLER, AggressorSide.BUYER, len(BEGIN)

    def take(raw: bytes) -> None:
        if not raw.startswith(BEGIN):
            others(raw)
            return
        try:
            one: AggregateTrade | SingleTrade
            if raw.find(b'@aggTrade"', begin, NAMED_WITHIN) > 0:
                one = aggregate(raw).data
                number = one.a
            elif raw.find(b'@trade"', begin, NAMED_WITHIN) > 0:
                one = single(raw).data
                number = one.t
            else:
                others(raw)
                return
            tick = TradeTick(
                ids[one.s],
                prices[one.p],
                quantities[one.q],
                seller if one.m else buyer,
                TradeId(str(number)),
                millis_to_nanos(one.T),
                now_ns(),
            )
        except Exception:  # the adapter says what is wrong with it
            others(raw)
            return
        hand_in(tick)

    return take


def read_trades_fast(client: Any) -> None:
    """Put the reader in front of a client that has not connected; clients of other venues stay as they are.

    Parameters
    ----------
    client
        Of an adapter, data or execution.
    """
    if "@aggTrade" in getattr(client, "_ws_handlers", {}):
        client._ws_client._handler = frame_reader(client)  # noqa: SLF001 - it has no public place


__all__ = ["frame_reader", "read_trades_fast"]
