"""Lets an entry wait for the disk while the node goes on: what precedes it is on the disk before it leaves.

The state file is written in the node's own thread; only the `fsync`, which takes milliseconds on a busy disk,
has a thread of its own. Until it is done the order is on its way for its setup and `INITIALIZED` for
Nautilus; if nobody wants it any more by then (halted, held, cancelled), or the venue's limits have no room
for it (`runtime.live.entry_room`), it is denied and never leaves.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from runtime.live.entry_room import EntryRoom
from strategies.trade_manager.orders import Leg
from strategies.venue_reports import RATE_LIMIT, WITHDRAWN

THREAD: Final = "state-sync"
# An entry that a stalled disk kept back for longer belongs to a market of before.
LONGEST_SECS: Final = 1.0


class IntentSync:
    """Puts on the disk what was written, one request after the other.

    Parameters
    ----------
    sync
        Does it; blocks. Raises OSError where it could not.
    loop
        Of the node.
    """

    def __init__(self, sync: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._sync = sync
        self._loop = loop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)
        self.newest: asyncio.Future[None] | None = None
        """Is done when everything is on the disk that was written before the last `begin`."""

    def begin(self) -> None:
        """Begin to put on the disk what has been written so far."""
        self.newest = self._loop.run_in_executor(self._thread, self._sync)


class EntryBarrier:
    """Stands between an execution client and its venue: entries wait for their intent, exits do not.

    Parameters
    ----------
    client
        Of an adapter; its coroutines that submit and cancel are replaced.
    intents
        Tells what an order that is submitted now has to wait for.
    is_wanted
        Asked with the client order id right before an entry leaves: it may have been taken back, or entries
        closed, while it waited.
    on_failure
        Called with the command and the error of an order that is not sent because the disk refuses, after
        its denial; not where the disk only took too long.
    room
        Asked last: what the venue counts leaves room for exits.
    """

    def __init__(
        self,
        client: Any,
        intents: IntentSync,
        is_wanted: Callable[[Any], bool],
        on_failure: Callable[[Any, OSError], None],
        room: EntryRoom,
    ) -> None:
        self._client, self._intents = client, intents
        self._is_wanted, self._on_failure, self._room = is_wanted, on_failure, room
        # Both are called by Nautilus through the instance.
        self._submit, self._cancel = client._submit_order, client._cancel_order  # noqa: SLF001
        client._submit_order, client._cancel_order = self.submit, self.cancel  # noqa: SLF001
        self._waiting: dict[Any, bool] = {}  # by order: whether nobody has cancelled it

    async def submit(self, command: Any) -> None:
        """Send an order; an entry once its intent is on the disk, and only if it is wanted and has room."""
        order, stored = command.order, self._intents.newest
        if Leg.ENTRY.name in (order.tags or ()):
            name = order.client_order_id
            self._waiting[name] = True
            try:
                error = None if stored is None else await _refusal(stored)
            finally:  # also where the node ends meanwhile
                is_uncancelled = self._waiting.pop(name)
            if error is not None:
                self._deny(order, "not_stored")
                if not isinstance(error, TimeoutError):  # a disk that was slow once may be fast for the next
                    self._on_failure(command, error)
                return
            if not (is_uncancelled and self._is_wanted(name)):
                self._deny(order, WITHDRAWN)
                return
            if not self._room.takes_entry():
                self._deny(order, RATE_LIMIT)
                return
        self._room.order_sent()
        await self._submit(command)

    async def cancel(self, command: Any) -> None:
        """Take an order back; one that waits for the disk does not go out, and the venue hears nothing."""
        if command.client_order_id in self._waiting:
            self._waiting[command.client_order_id] = False
            return
        await self._cancel(command)

    def _deny(self, order: Any, reason: str) -> None:
        self._client.generate_order_denied(
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            reason=reason,
            ts_event=self._client._clock.timestamp_ns(),  # noqa: SLF001 - it has no other
        )


async def _refusal(stored: asyncio.Future[None]) -> OSError | None:
    """Wait for a sync; return why its entry must not leave."""
    try:
        async with asyncio.timeout(LONGEST_SECS):
            await asyncio.shield(stored)
    except OSError as error:
        return error
    return None


__all__ = ["EntryBarrier", "IntentSync"]
