"""What a simulated venue has to settle of the time in which no node ran: funding of what was held then.

The rates of that time are asked of the real venue, which may answer late: meanwhile stops may have been hit,
positions changed, the node started anew. So what is owed is kept in the file until it is settled, with the
price of before, and each funding time counts what the fills before it had made of a position.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import OrderFilled
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.serialization.serializer import MsgSpecSerializer

from runtime.live.paper_funding import LiveFundingVenue
from runtime.live.paper_state import PaperStore

SERIALIZER: Final = MsgSpecSerializer(encoding=msgspec.json)


@dataclass(frozen=True, slots=True)
class Owed:
    """Since when funding of an instrument is not settled.

    Parameters
    ----------
    since_ns
        UNIX nanoseconds; later funding times are owed.
    price
        At which positions are valued: the last one known before that time without a node.
    """

    since_ns: int
    price: Decimal


class MissedFunding:
    """Funding times that passed while no node ran.

    Parameters
    ----------
    store
        The file of the node.
    venue
        Name of the venue.
    funding
        Books what is settled.
    """

    def __init__(self, store: PaperStore, venue: str, funding: LiveFundingVenue) -> None:
        self._store, self._venue, self._funding = store, venue, funding
        self.owed: dict[InstrumentId, Owed] = {}
        """By instrument that was held at a start, and is not settled since."""

    def note(self, held: Iterable[InstrumentId]) -> None:
        """Keep that nobody looked at contracts since the last price of each was kept; call it at a start."""
        paid = {one.instrument_id: one.ts_ns for one in self._store.payments(self._venue)}
        for instrument_id in held:
            name = instrument_id.value
            seen_ns, price = self._store.price_ts_ns(name), self._store.price(name)
            if seen_ns is not None and price is not None:
                owed = Owed(max(seen_ns, paid.get(name, 0)), Decimal(price))
                self.owed.setdefault(instrument_id, owed)
        self.owed |= self.kept()  # what an earlier start owed and never settled is older
        for instrument_id, owed in self.owed.items():
            self._store.note(self._key(instrument_id.value), f"{owed.since_ns} {owed.price}")

    def kept(self) -> dict[InstrumentId, Owed]:
        """Return what an earlier start owed and never settled."""
        found = {}
        for name, text in self._store.noted_like(self._key("")).items():
            since_ns, price = text.split(" ")
            found[InstrumentId.from_str(name)] = Owed(int(since_ns), Decimal(price))
        return found

    def settle(self, instrument_id: InstrumentId, rates: Mapping[int, Decimal], until_ns: int) -> None:
        """Settle what is owed up to a time.

        Parameters
        ----------
        instrument_id
            One of `owed`.
        rates
            By funding time, UNIX nanoseconds.
        until_ns
            Later ones the running venue settles itself, UNIX nanoseconds.
        """
        owed = self.owed[instrument_id]
        name = instrument_id.value
        fills = [SERIALIZER.deserialize(one) for one in self._store.fill_events(self._venue, name)]
        paid = {
            (one.ts_ns, one.strategy_id)
            for one in self._store.payments(self._venue)
            if one.instrument_id == name
        }
        for ts_ns in sorted(one for one in rates if owed.since_ns < one <= until_ns):
            held = {
                strategy_id: qty
                for strategy_id, qty in held_before(fills, ts_ns).items()
                if qty and (ts_ns, strategy_id) not in paid
            }
            self._funding.settle_past(ts_ns, instrument_id, rates[ts_ns], owed.price, held)

    def forget(self, instrument_id: InstrumentId) -> None:
        """Note that what was owed is settled and kept."""
        del self.owed[instrument_id]
        self._store.drop_note(self._key(instrument_id.value))

    def _key(self, name: str) -> str:
        return f"funding.{self._venue}.{name}"


def held_before(fills: Sequence[Any], ts_ns: int) -> dict[str, Decimal]:
    """Return what fills before a time (UNIX nanoseconds) had made of a position: signed, by strategy.

    Examples
    --------
    >>> held_before([], 1)
    {}
    """
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    fill: OrderFilled
    for fill in fills:
        if fill.ts_event < ts_ns:
            sign = 1 if fill.order_side == OrderSide.BUY else -1
            held[fill.strategy_id.value] += sign * fill.last_qty.as_decimal()
    return dict(held)


__all__ = ["MissedFunding", "Owed", "held_before"]
