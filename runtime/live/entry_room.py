"""Keeps entries below the limits of a venue, so that exits and cancellations always have room.

A venue counts entries, exits and cancellations alike, and who passes its limits is not heard at all for a
while: a position would be without a stop. So entries end early, and go on by themselves when the venue counts
anew. Nothing halts, nothing waits, and what is no entry is counted but never asked about.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.download.binance_rest import allow_documented
from runtime.download.budget import HostBudget
from runtime.live.addresses import addresses_of
from runtime.live.context import LiveContext
from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Event, EventKind

log = logging.getLogger("smcbot.node")

# What is left of the weight is for cancellations, stops and the looks of a minute: 360 of USD-M's 2,400,
# where an order weighs nothing and a cancellation 1. It is more than what a warm-up may use (`warm_up_ratio`,
# 0.8): the minute in which it ends has entries.
WEIGHT_SHARE: Final = 0.85
# Each entry may fill and need its stop at once: there is one order left for each that left.
ORDER_SHARE: Final = 0.5
# Bybit counts per account and product within any second, and the adapter does not hand on what it tells. It
# refuses the single order beyond (10006), which may be a stop among entries ("Rate Limit Rules").
BYBIT_SECS: Final = 1.0
BYBIT_ORDERS: Final[Mapping[str, int]] = {"linear": 10, "spot": 20}


class RecentOrders:
    """Tells whether so many orders have left within the last seconds.

    Parameters
    ----------
    most
        How many.
    secs
        Within so many seconds, at any time.
    """

    def __init__(self, most: int, secs: float) -> None:
        self._secs = secs
        self._sent_s: deque[float] = deque(maxlen=most)

    def sent(self, now_s: float) -> None:
        """Count an order; monotonic seconds."""
        self._sent_s.append(now_s)

    def are_many(self, now_s: float) -> bool:
        """Tell whether they are so many."""
        sent_s = self._sent_s
        return len(sent_s) == sent_s.maxlen and now_s - sent_s[0] < self._secs


class EntryRoom:
    """Says of one account whether another entry may leave.

    Parameters
    ----------
    budget
        Of the account's host.
    tell
        Told in words when entries begin to be denied, and not again before one may leave.
    clock
        Monotonic seconds.
    recent
        What the venue counts without telling, None where it tells.
    """

    def __init__(
        self,
        budget: HostBudget,
        tell: Callable[[str], Any],
        clock: Callable[[], float],
        recent: RecentOrders | None = None,
    ) -> None:
        self._budget, self._tell, self._clock, self._recent = budget, tell, clock, recent
        self.denied = 0
        """Entries since the last one that might leave."""

    def takes_entry(self) -> bool:
        """Tell whether an entry may leave now."""
        crowd = self._budget.crowded(WEIGHT_SHARE, ORDER_SHARE)
        if not crowd and self._recent is not None and self._recent.are_many(self._clock()):
            crowd = "half of the orders of a second"
        if crowd and not self.denied:
            self._tell(f"entries are denied near the venue's limits, the rest is for exits: {crowd} are used")
        self.denied = self.denied + 1 if crowd else 0
        return not crowd

    def order_sent(self) -> None:
        """Count an order of any kind that leaves now."""
        self._budget.order_sent()
        if self._recent is not None:
            self._recent.sent(self._clock())


def entry_room(context: LiveContext, client: Any) -> EntryRoom:
    """Return the room of the account that an execution client of a node trades."""
    account = next(one for one in context.settings.live.venues if one.venue_name == client.venue.value)
    address, http = addresses_of(account).http, context.rest.http
    recent = None
    if account.venue == "bybit":
        recent = RecentOrders(int(BYBIT_ORDERS[account.market] * ORDER_SHARE), BYBIT_SECS)
    else:  # a mirror for downloads may be another host
        allow_documented(http, address, "spot" if account.is_spot else "usdm")
    kernel = context.node.kernel

    def tell(text: str) -> None:
        log.warning(f"{account.venue_name}: {text}")
        event = Event(kind=EventKind.ORDER_REFUSED, ts_ns=kernel.clock.timestamp_ns(), text=text)
        kernel.msgbus.publish(topic=EVENTS_TOPIC, msg=event)

    return EntryRoom(http.budget(address), tell, time.monotonic, recent)


__all__ = ["EntryRoom", "RecentOrders", "entry_room"]
