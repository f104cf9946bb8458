"""Orders whose fate is unknown: never a failure, never sent twice, asked about until the venue has answered.

Binance's adapter turns every error of a submit into a rejection, 5xx and timeouts too, and Nautilus takes no
fill of a rejected order any more: were the order alive after all, its position would be nobody's. So events
pass a gate on their way into the execution engine. A rejection that leaves the outcome open stops there; the
order stays in flight, its desk hears of it, and the venue is asked by client id (`order_lookup`). What it
does not know twice in a row is rejected then; what it has is reconciled. What was rejected so is looked after
for some minutes (`late_orders`): one that arrives all the same is withdrawn at the venue.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.events import OrderEvent, OrderRejected, OrderSubmitted
from nautilus_trader.model.identifiers import ClientOrderId
from nautilus_trader.model.orders import Order

from runtime.live.context import LiveContext
from runtime.live.doubts import DOUBT_TOPIC, Doubt
from runtime.live.late_orders import LateOrders
from runtime.live.order_lookup import Answer, Lookup, hand_over, is_asking_about, look_up, withdraw
from runtime.live.protection_settings import ProtectionSettings
from runtime.notify.actor import EVENTS_TOPIC
from runtime.notify.events import Event, EventKind, Severity
from strategies.entry_halt import HOLD_TOPIC, HoldEntries
from strategies.kept_desk import EXTERNAL
from strategies.protection import NEVER_ARRIVED, capabilities, unknown_outcome
from strategies.setup_keeper import UNKNOWN_TOPIC, UnknownOrder
from strategies.trade_manager.client_ids import setup_and_leg
from strategies.trade_manager.orders import Leg

PROCESS: Final = "ExecEngine.process"
LOOK_TIMER: Final = "unknown-orders-look"
NANOS: Final = 1_000_000_000
RECONCILE_SECS: Final = 30.0
# The venue's list may lag behind its matching by a moment: one "no such order" proves nothing.
ABSENT_TIMES: Final = 2
# A request may reach the matching as long as its receive window (5 s) lasts. An entry that came after it was
# given up would be nobody's position; a market exit on spot, or a target's limit at the market, would sell
# twice. What is reduce-only may be replaced at once, and so may stops: they need coins that are locked once.
# Only waiting stops of Bybit spot lock none. Were both there when the price comes, the second would find the
# coins sold, or sell others of the account; but no stop for ten seconds is worse, and one that arrives late
# is withdrawn (`late_orders`).
ARRIVES_SECS: Final = 10.0
# Sent so long ago without an acknowledgement, an order is asked about though nobody complained.
SILENT_SECS: Final = 3.0
# The same for exits. After an outage requests are answered seconds before the stream of the account is back:
# the stop rests then, and whoever does not ask takes the position for unprotected.
SILENT_EXIT_SECS: Final = 0.5


@dataclass(slots=True)
class Question:
    """What was asked about one order.

    Parameters
    ----------
    since_ns
        When its outcome became unknown, UNIX nanoseconds.
    absent
        How often in a row the venue did not know it.
    asked
        How often it was asked.
    """

    since_ns: int
    absent: int = 0
    asked: int = 0


class UnknownOrdersActor(Actor):
    """The gate in front of the execution engine, and the questions to the venues.

    Parameters
    ----------
    settings
        Pause between questions.
    process
        Of the execution engine: takes events that pass.
    lookup
        ``await lookup(instrument_id, client_order_id)`` gives a `Lookup`.
    reconcile_report
        Hands a report to the execution engine.
    call_soon
        Runs a function in the thread of the node.
    withdraw
        ``await withdraw(instrument_id, client_order_id)`` cancels an order at its venue, as far as it can.
    reconcile
        ``await reconcile()`` compares all orders and positions with the venues.
    last_try_ns
        ``last_try_ns(instrument_id, client_order_id)`` tells when an order last left or tried to, UNIX
        nanoseconds; 0 where it left once, when it was made.
    """

    def __init__(
        self,
        settings: ProtectionSettings,
        *,
        process: Callable[[Any], Any],
        lookup: Callable[[Any, str], Any],
        reconcile_report: Callable[[Any], Any],
        withdraw: Callable[[Any, str], Any],
        reconcile: Callable[[], Any],
        call_soon: Callable[[Callable[[], Any]], Any],
        last_try_ns: Callable[[Any, str], int] = lambda _instrument_id, _client_id: 0,
    ) -> None:
        super().__init__(ActorConfig())
        self.questions: dict[str, Question] = {}
        self.late = LateOrders()
        names = ("unknown", "found", "never_arrived", "silent", "late", "failed")
        self.counters = dict.fromkeys(names, 0)
        self._settings = settings
        self._process = process
        self._lookup = lookup
        self._reconcile_report = reconcile_report
        self._withdraw = withdraw
        self._reconcile = reconcile
        self._call_soon = call_soon
        self._last_try_ns = last_try_ns
        self._task: asyncio.Task[None] | None = None
        self._looks_again = self._is_over = False

    def on_start(self) -> None:
        """Stand in front of the execution engine, and look for orders without an answer."""
        self.msgbus.deregister(endpoint=PROCESS, handler=self._process)
        self.msgbus.register(endpoint=PROCESS, handler=self.take)
        self.msgbus.subscribe(topic=DOUBT_TOPIC, handler=self.take_doubt)
        now_ns = self.clock.timestamp_ns()
        pause_ns = round(self._settings.lookup_secs * NANOS)
        self.clock.set_timer_ns(
            LOOK_TIMER, pause_ns, now_ns, 0, lambda _event: self._call_soon(self.begin_look)
        )

    def on_stop(self) -> None:
        """Step aside."""
        self._is_over = True
        if LOOK_TIMER in self.clock.timer_names:
            self.clock.cancel_timer(LOOK_TIMER)
        if self._task is not None:
            self._task.cancel()
        self.msgbus.unsubscribe(topic=DOUBT_TOPIC, handler=self.take_doubt)
        self.msgbus.deregister(endpoint=PROCESS, handler=self.take)
        self.msgbus.register(endpoint=PROCESS, handler=self._process)

    # -- the gate ------------------------------------------------------------------------------------------

    def take(self, event: Any) -> None:
        """Let an event of an adapter pass, unless it calls a failure what may be a success."""
        if isinstance(event, OrderRejected) and self._is_open_question(event):
            return
        if len(self.late) and isinstance(event, OrderEvent):
            client_id = event.client_order_id.value
            if self.late.hear(client_id, self.clock.timestamp_ns()):
                self.begin_look()  # the engine would refuse it: to Nautilus the order has ended
                return
        self._process(event)
        if isinstance(event, OrderSubmitted) and is_exit(event.client_order_id.value):
            asyncio.get_running_loop().call_later(SILENT_EXIT_SECS, self.begin_look)

    def _is_open_question(self, event: OrderRejected) -> bool:
        client_id = event.client_order_id.value
        if is_asking_about(client_id):
            return True  # an adapter that failed to ask says "rejected" too
        instrument_id = event.instrument_id
        # Cash or margin says nothing about the venue's words.
        if not unknown_outcome(capabilities(instrument_id.venue.value, "cash"), event.reason):
            self.questions.pop(client_id, None)  # refused, however late: what is asked meanwhile is moot
            return False
        self.take_doubt(Doubt(instrument_id.value, client_id, str(event.reason), event.ts_event))
        return True

    def take_doubt(self, doubt: Doubt) -> None:
        """Ask at once about an order of which its client does not know what became of it."""
        client_id = doubt.client_order_id
        if client_id in self.questions:
            return
        self.counters["unknown"] += 1
        self.questions[client_id] = Question(self.clock.timestamp_ns())
        text = f"{doubt.instrument_id} {client_id}: nobody knows whether the venue took it ({doubt.reason})"
        self.log.warning(text)
        told = Event(kind=EventKind.ORDER_REFUSED, ts_ns=doubt.ts_ns, text=text)
        self.msgbus.publish(topic=EVENTS_TOPIC, msg=told)
        message = UnknownOrder(
            client_order_id=client_id, instrument_id=doubt.instrument_id, reason=doubt.reason
        )
        self.msgbus.publish(topic=UNKNOWN_TOPIC, msg=message)
        self.begin_look()

    # -- questions -----------------------------------------------------------------------------------------

    def begin_look(self) -> None:
        """Ask about what is open; once more where that goes on already."""
        if self._is_over:
            return
        self._looks_again = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._look_until_asked_no_more())

    async def _look_until_asked_no_more(self) -> None:
        while self._looks_again:
            self._looks_again = False
            await self.look()

    async def look(self) -> None:
        """Ask the venues about every order whose outcome is open."""
        now_ns = self.clock.timestamp_ns()
        for order in self.cache.orders_inflight():
            client_id = order.client_order_id.value
            silent_secs = SILENT_EXIT_SECS if is_exit(client_id) else SILENT_SECS
            if order.status == OrderStatus.SUBMITTED and now_ns - order.ts_last >= silent_secs * NANOS:
                self.questions.setdefault(client_id, Question(now_ns))
        # Exits first: without one a position may be naked, and each answer may take seconds.
        for client_id, question in sorted(self.questions.items(), key=lambda one: not is_exit(one[0])):
            if self.questions.get(client_id) is not question:
                continue  # refused while another was asked about
            order = self.cache.order(ClientOrderId(client_id))
            if order is None or order.status != OrderStatus.SUBMITTED:
                del self.questions[client_id]  # it has reported itself
                continue
            question.asked += 1
            with self._kept_apart(client_id):
                answer: Lookup = await self._lookup(order.instrument_id, client_id)
                self._take_answer(order, question, answer)
        for client_id, instrument_id in self.late.due(now_ns):
            with self._kept_apart(client_id):
                await self._look_after(client_id, instrument_id)

    @contextmanager
    def _kept_apart(self, client_id: str) -> Iterator[None]:
        """Let what one order dies of not keep the others waiting; it is asked about again."""
        try:
            yield
        except Exception as error:
            self.counters["failed"] += 1
            self.log.exception(f"{client_id} could not be asked about, tried again", error)  # noqa: TRY401

    async def _look_after(self, client_id: str, instrument_id: Any) -> None:
        """Withdraw an order that turned up after it was given up; what it traded is a stranger's trade."""
        answer: Lookup = await self._lookup(instrument_id, client_id)
        now_ns = self.clock.timestamp_ns()
        if answer.answer is not Answer.FOUND:
            self.late.look_again(client_id, now_ns, is_there=False)
            return
        report = answer.report
        if report.is_open:
            self.counters["late"] += 1
            self._say_late(f"{instrument_id} {client_id} arrived after it was given up: withdrawn")
            await self._withdraw(instrument_id, client_id)
            self.late.look_again(client_id, now_ns, is_there=True)
            return
        self.late.forget(client_id)
        if report.filled_qty.as_decimal():
            await self._reconcile()  # the position must be known before it can be looked at
            text = f"{report.filled_qty} traded by {client_id}, which arrived after it was given up"
            self._say_late(f"{instrument_id}: {text}")
            name = instrument_id.value
            hold = HoldEntries(ts_ns=now_ns, source=EXTERNAL, reason=text, instrument_id=name)
            self.msgbus.publish(topic=HOLD_TOPIC, msg=hold)

    def _say_late(self, text: str) -> None:
        self.log.error(text)
        now_ns = self.clock.timestamp_ns()
        told = Event(kind=EventKind.ORDER_REFUSED, ts_ns=now_ns, text=text, severity=Severity.CRITICAL)
        self.msgbus.publish(topic=EVENTS_TOPIC, msg=told)

    def _take_answer(self, order: Order, question: Question, answer: Lookup) -> None:
        client_id = order.client_order_id.value
        if self.questions.get(client_id) is not question:
            return  # refused while we asked: the engine has that in its queue
        if order.status != OrderStatus.SUBMITTED:
            self.questions.pop(client_id, None)  # reported while we asked
        elif answer.answer is Answer.FOUND:
            self.counters["found"] += 1
            self.questions.pop(client_id, None)
            hand_over(self.cache, answer, self._reconcile_report)
        elif answer.answer is Answer.WAITING:
            self.questions.pop(client_id, None)  # no question: a refusal that comes now is one
        elif answer.answer is Answer.SILENT:
            self.counters["silent"] += 1
            question.absent = 0
        else:
            question.absent += 1
            left_ns = max(order.ts_init, self._last_try_ns(order.instrument_id, client_id))
            if question.absent >= ABSENT_TIMES and not may_still_arrive(
                client_id, order.is_reduce_only, self.clock.timestamp_ns() - left_ns
            ):
                self.counters["never_arrived"] += 1
                self.questions.pop(client_id, None)
                self.late.add(client_id, order.instrument_id, self.clock.timestamp_ns())
                self._process(self._rejected(order))

    def _rejected(self, order: Order) -> OrderRejected:
        now_ns = self.clock.timestamp_ns()
        return OrderRejected(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            account_id=order.account_id,
            reason=NEVER_ARRIVED,
            event_id=UUID4(),
            ts_event=now_ns,
            ts_init=now_ns,
        )


def is_exit(client_id: str) -> bool:
    """Tell whether an order closes a position, by its client order id.

    Examples
    --------
    >>> is_exit("OTE-XRPUSDT-Lmmv7y0w014-S1"), is_exit("OTE-XRPUSDT-Lmmv7y0w014-E1"), is_exit("by-hand")
    (True, False, False)
    """
    _setup, leg = setup_and_leg(client_id)
    return leg not in ("", Leg.ENTRY)


def may_still_arrive(client_id: str, is_reduce_only: bool, waited_ns: int) -> bool:
    """Tell whether an order that the venue does not know could harm if it came now.

    Examples
    --------
    >>> may_still_arrive("OTE-XRPUSDT-Lmmv7y0w014-E1", False, 5 * NANOS)
    True
    >>> may_still_arrive("OTE-XRPUSDT-Lmmv7y0w014-E1", False, 10 * NANOS)
    False
    >>> may_still_arrive("OTE-XRPUSDT-Lmmv7y0w014-T1", False, 5 * NANOS)
    True
    >>> may_still_arrive("OTE-XRPUSDT-Lmmv7y0w014-S1", False, 5 * NANOS)
    False
    """
    _setup, leg = setup_and_leg(client_id)
    return not is_reduce_only and leg != Leg.STOP and waited_ns < ARRIVES_SECS * NANOS


def make_unknown_orders(context: LiveContext) -> UnknownOrdersActor:
    """Return the actor of a node; its engine must not give up orders in flight by itself.

    See ``inflight_check_retries`` in `runtime.live.node`.
    """
    engine = context.node.kernel.exec_engine
    clients = {one.venue: one for one in engine._clients.values()}  # noqa: SLF001 - no public list

    async def ask(instrument_id: Any, client_id: str) -> Lookup:
        return await look_up(clients[instrument_id.venue], instrument_id, client_id)

    async def cancel(instrument_id: Any, client_id: str) -> None:
        await withdraw(clients[instrument_id.venue], instrument_id, client_id)

    async def reconcile() -> bool:
        return bool(await engine.reconcile_execution_state(timeout_secs=RECONCILE_SECS))

    def last_try_ns(instrument_id: Any, client_id: str) -> int:
        found = getattr(clients[instrument_id.venue], "last_try_ns", None)
        return 0 if found is None else int(found(client_id))

    return UnknownOrdersActor(
        context.settings.live.protection,
        process=engine.process,
        lookup=ask,
        reconcile_report=engine.reconcile_execution_report,
        withdraw=cancel,
        reconcile=reconcile,
        call_soon=context.call_soon,
        last_try_ns=last_try_ns,
    )


__all__ = ["UnknownOrdersActor", "make_unknown_orders"]
