"""How a node stops: entries first, while the strategies still protect what fills meanwhile."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from runtime.errors import VenueError
from runtime.live.context import LiveContext
from runtime.metrics.meter import setups_of, uncovered_qty
from strategies.entry_halt import HOLD_TOPIC, HoldEntries
from strategies.trade_manager.orders import Leg

log = logging.getLogger("smcbot.node")

STOP_SOURCE: Final = "stop"
# Longest wait for entries to be taken back and for stops of what filled meanwhile.
SETTLE_SECS: Final = 10.0
# The same when an engine has ended by itself: what is left of the node may do it or not.
BROKEN_SETTLE_SECS: Final = 2.0
POLL_SECS: Final = 0.1


class Shutdown:
    """Waits for the wish to stop, and carries it out.

    Parameters
    ----------
    node
        Nautilus' trading node.
    loop
        Its loop.
    """

    def __init__(self, node: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._node, self._loop = node, loop
        self._asked = asyncio.Event()
        self.reason = ""
        self.begins_anew = False

    @property
    def is_asked(self) -> bool:
        """Tell whether the node shall stop."""
        return self._asked.is_set()

    def ask(self, reason: str) -> None:
        """Ask the node to stop, from any thread; the first reason counts."""
        self.reason = self.reason or reason
        self._loop.call_soon_threadsafe(self._asked.set)

    async def unless_asked(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do something, or break it off when the node shall stop meanwhile; return whether it was done."""
        doing, asked = asyncio.ensure_future(work), asyncio.ensure_future(self._asked.wait())
        await asyncio.wait([doing, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if doing.done():
            await doing
            return True
        doing.cancel()
        return False

    def ask_restart(self, reason: str) -> None:
        """Ask the node to stop and the process to begin anew, unless it stops already."""
        if not self.reason:
            self.begins_anew = True
        self.ask(reason)

    async def wait(self, context: LiveContext) -> None:
        """Run until asked to stop or until an engine of the node ends, then stop.

        Raises
        ------
        VenueError
            When an engine ended by itself.
        """
        engines = [one for one in engine_tasks(self._node) if one is not None]
        asked = asyncio.ensure_future(self._asked.wait())
        done, _waiting = await asyncio.wait([asked, *engines], return_when=asyncio.FIRST_COMPLETED)
        if asked in done:
            log.info("%s", self.reason)
            await settle(context)
            await self._node.stop_async()
            return
        asked.cancel()
        if can_send_orders(self._node):
            with contextlib.suppress(Exception):  # whatever it dies of, the node has to end
                await settle(context, BROKEN_SETTLE_SECS)
        if self._node.is_running():
            await self._node.stop_async()
        raise VenueError(
            "an engine of the node ended by itself; positions keep their stops at the venue: read the log, "
            "then start again"
        )


def engine_tasks(node: Any) -> list[Any]:
    """Return the tasks without which a node does nothing."""
    kernel = node.kernel
    return [
        kernel.data_engine.get_cmd_queue_task(),
        kernel.data_engine.get_data_queue_task(),
        kernel.risk_engine.get_cmd_queue_task(),
        kernel.exec_engine.get_cmd_queue_task(),
        kernel.exec_engine.get_evt_queue_task(),
    ]


def can_send_orders(node: Any) -> bool:
    """Tell whether commands still reach a venue, and its answers the strategies."""
    kernel = node.kernel
    way = (
        kernel.risk_engine.get_cmd_queue_task(),
        kernel.exec_engine.get_cmd_queue_task(),
        kernel.exec_engine.get_evt_queue_task(),
    )
    return all(one is not None and not one.done() for one in way)


async def settle(context: LiveContext, longest_secs: float = SETTLE_SECS) -> bool:
    """Take entries back and wait until none works and every position has its stop; return whether it is so.

    A strategy that stops first would not hear of an entry that fills while its cancellation is on the way,
    and would leave a position without a stop.
    """
    now_ns = context.node.kernel.clock.timestamp_ns()
    hold = HoldEntries(ts_ns=now_ns, source=STOP_SOURCE, reason="the node stops")
    context.node.kernel.msgbus.publish(topic=HOLD_TOPIC, msg=hold)
    by_s = time.monotonic() + longest_secs
    while time.monotonic() < by_s:
        await asyncio.sleep(POLL_SECS)
        if not unsettled(context):
            return True
    log.warning("stopping although not settled after %g s: %s", longest_secs, ", ".join(unsettled(context)))
    return False


def unsettled(context: LiveContext) -> list[str]:
    """Return what still keeps a node from stopping, one text per instrument."""
    found = []
    for strategy in context.strategies():
        for name, setup in setups_of(strategy):
            if setup is None:
                continue
            if any(one.leg is Leg.ENTRY and one.is_alive for one in list(setup.orders.values())):
                found.append(f"{name}: its entry works")
            elif uncovered_qty(setup) > 0:
                found.append(f"{name}: {uncovered_qty(setup)} without a stop at the venue")
    return found
