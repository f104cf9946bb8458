"""Watches the streams of a node and the clocks of its venues, and holds entries while they fail."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from nautilus_trader.core.datetime import millis_to_nanos

from runtime.download.budget import HostBudget
from runtime.errors import DataError, VenueError
from runtime.live.context import LiveContext
from runtime.live.freshness import (
    NANOS,
    ClockOffset,
    DataSettings,
    StreamName,
    StreamWatch,
    Watchtower,
    clock_offset,
)
from runtime.live.holding_actor import HoldingActor
from runtime.live.plan import symbol_of
from runtime.notify.events import Severity
from strategies.entry_halt import HoldBook

LOOK_TIMER: Final = "freshness-look"
STALE: Final = "stale"  # source of the holds of silent streams
VENUE: Final = "venue"  # of those of a venue that does not answer
CLOCK: Final = "clock"
INSTRUMENT: Final = "instrument"
CLOSED: Final = "closed"  # the venue does not trade it now
INSTRUMENTS_TOPIC: Final = "data.instrument.*"
# A look more often than this finds nothing that matters.
LEAST_LOOK_SECS: Final = 0.05
RECONCILE_SECS: Final = 30.0
LONGEST_DELAY: Final = 0.25  # of a period, for a moment in which nothing else is under way to the host
LONGEST_PAUSE_SECS: Final = 60.0  # between comparisons that fail

type Reconcile = Callable[[], Awaitable[bool]]
type Subscriptions = Callable[[], tuple[Iterable[Any], Iterable[Any]]]


class ServerClock(Protocol):
    """Tells a venue's time."""

    async def server_ms(self) -> int:
        """Return it, UNIX milliseconds."""
        ...


class ListedTerms(Protocol):
    """What a venue says of one of its symbols."""

    @property
    def symbol(self) -> str:
        """Return its name at the venue."""

    @property
    def tick_size(self) -> Decimal:
        """Return the step of prices."""

    @property
    def lot_size(self) -> Decimal:
        """Return the step of quantities."""

    @property
    def is_trading(self) -> bool:
        """Tell whether orders are taken now."""


class Listing(Protocol):
    """Tells a venue's symbols."""

    async def symbols(self) -> Sequence[ListedTerms]:
        """Return them all."""
        ...


class FreshnessActor(HoldingActor):
    """Holds entries of stale instruments, of silent venues, and of all while the clock is wrong.

    Parameters
    ----------
    settings
        Limits.
    clocks
        By venue name as in instrument ids.
    instruments
        Nautilus ids of everything that is traded.
    subscriptions
        Gives the instruments whose trades, and the bar types whose bars, the node is subscribed to now.
    reconcile
        Compares orders and positions with the venues; tells whether they agree (again).
    call_soon
        Runs a function in the thread of the node.
    listings
        By venue name: who tells its symbols, and the Nautilus id of each symbol that is traded.
    offsets
        Receives the offset of each venue's clock.
    budgets
        By venue name: what its host allows. Nothing is asked while it wants silence.
    """

    def __init__(
        self,
        settings: DataSettings,
        *,
        clocks: Mapping[str, ServerClock],
        instruments: Iterable[str],
        subscriptions: Subscriptions,
        reconcile: Reconcile,
        call_soon: Callable[[Callable[[], Any]], Any],
        listings: Mapping[str, tuple[Listing, Mapping[str, str]]] | None = None,
        offsets: dict[str, ClockOffset] | None = None,
        budgets: Mapping[str, HostBudget] | None = None,
    ) -> None:
        super().__init__()
        self.tower = Watchtower()
        self.offsets: dict[str, ClockOffset] = {} if offsets is None else offsets
        self._listings = dict(listings or {})
        self._budgets = dict(budgets or {})
        self._listed_ns: dict[str, int] = {}
        self._closed: set[str] = set()
        self._settings = settings
        self._clocks = dict(clocks)
        self._instruments = tuple(instruments)
        self._subscriptions = subscriptions
        self._reconcile = reconcile
        self._call_soon = call_soon
        self._venues: dict[str, StreamWatch] = {}
        self._asked_ns: dict[str, int] = {}
        self._wrong_clocks: set[str] = set()
        self._terms: dict[str, tuple[str, str]] = {}
        self._changed: set[str] = set()
        self._is_reconciling = False
        self._failed_comparisons = 0
        self._compare_from_ns = 0
        self._known_bars: set[Any] = set()
        self._handlers: list[tuple[str, Callable[[Any], None]]] = []

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Watch the venues from now on, and each stream once somebody subscribes to it."""
        now_ns = self.clock.timestamp_ns()
        for instrument in self.cache.instruments():
            self.on_new_definition(instrument)
        for venue in self._clocks:
            watch = StreamWatch(round(2 * self._settings.heartbeat_secs * NANOS), now_ns)
            self._venues[venue] = self.tower.add(StreamName(venue, VENUE), watch)
        self.msgbus.subscribe(topic=INSTRUMENTS_TOPIC, handler=self.on_new_definition)
        self._handlers.append((INSTRUMENTS_TOPIC, self.on_new_definition))
        look_ns = round(max(LEAST_LOOK_SECS, self._settings.heartbeat_secs / 5) * NANOS)
        self.clock.set_timer_ns(
            LOOK_TIMER,
            look_ns,
            now_ns,
            0,
            lambda _event: self._call_soon(lambda: self.look(self.clock.timestamp_ns())),
        )

    def on_stop(self) -> None:
        """Watch no more."""
        if LOOK_TIMER in self.clock.timer_names:
            self.clock.cancel_timer(LOOK_TIMER)
        for topic, handler in self._handlers:
            self.msgbus.unsubscribe(topic=topic, handler=handler)
        self._handlers.clear()
        self.cancel_tasks()

    # -- streams -------------------------------------------------------------------------------------------

    def look(self, now_ns: int) -> None:
        """Find what is stale, ask the venues for their time, and compare with them what is back.

        Parameters
        ----------
        now_ns
            UNIX nanoseconds of the node's clock.
        """
        if not self.is_running:
            return
        self._watch_new_streams(now_ns)
        for name in self.tower.look(now_ns):
            self._hold_stale(name, now_ns)
        for venue in self._clocks:
            self._ask(venue, now_ns)
        returned = self.tower.returned
        if returned and not self._is_reconciling and now_ns >= self._compare_from_ns:
            self._is_reconciling = True
            self.begin(self._compare(returned))

    def _ask(self, venue: str, now_ns: int) -> None:
        """Ask a venue for its time or its symbols, one at a time, where either is due."""
        since_ns = self._asked_ns.get(venue, 0)
        if self._asks_now(venue, now_ns - since_ns, self._settings.heartbeat_secs):
            self._asked_ns[venue] = now_ns
            self.begin(self._ask_time(venue))
        elif venue in self._listings:
            since_ns = self._listed_ns.setdefault(venue, now_ns)  # the start has just read them
            if self._asks_now(venue, now_ns - since_ns, self._settings.instrument_secs):
                self._listed_ns[venue] = now_ns
                self.begin(self._ask_terms(venue))

    def _asks_now(self, venue: str, passed_ns: int, every_secs: float) -> bool:
        """Tell whether to ask a venue something that is due so often.

        Not while its host wants silence. And a quarter of a period late rather than beside other requests: of
        those that are under way together each one meets a limit that the first would have told of.
        """
        if passed_ns < every_secs * NANOS:
            return False
        budget = self._budgets.get(venue)
        if budget is None:
            return True
        is_late = passed_ns >= (1 + LONGEST_DELAY) * every_secs * NANOS
        return budget.silence_secs == 0 and (budget.in_flight == 0 or is_late)

    def _watch_new_streams(self, now_ns: int) -> None:
        trades, bars = self._subscriptions()
        settings = self._settings
        if settings.stale_secs:
            for one in trades:
                topic = f"data.trades.{one.venue}.{one.symbol}"
                limits = round(settings.stale_secs * NANOS), round(settings.frozen_secs * NANOS)
                self._watch(StreamName(one.value, "trades"), topic, now_ns, *limits)
        for one in bars:
            if one in self._known_bars:
                continue
            self._known_bars.add(one)
            limit_ns = round(one.spec.timedelta.total_seconds() * NANOS + settings.bar_late_secs * NANOS)
            self._watch(StreamName(one.instrument_id.value, "bars"), f"data.bars.{one}", now_ns, limit_ns, 0)

    def _watch(self, name: StreamName, topic: str, now_ns: int, limit_ns: int, frozen_ns: int) -> None:
        if name in self.tower.streams:
            return
        watch = self.tower.add(name, StreamWatch(limit_ns, now_ns, frozen_ns))
        venue = self._venues.get(name.owner.rpartition(".")[2])
        hear, hear_venue = watch.hear, None if venue is None else venue.hear

        def take(data: Any) -> None:
            # When it arrived, not when the venue says that it happened: another watch minds the clocks.
            hear(data.ts_init, data.price.as_double() if frozen_ns else math.nan)
            if hear_venue is not None:
                hear_venue(data.ts_init)

        self.msgbus.subscribe(topic=topic, handler=take)
        self._handlers.append((topic, take))

    def _hold_stale(self, name: StreamName, now_ns: int) -> None:
        watch = self.tower.streams[name]
        silent_ns, still_ns = now_ns - watch.heard_ns, now_ns - watch.changed_ns
        if silent_ns > watch.limit_ns:
            text = f"{name.owner} {name.kind}: nothing new for {silent_ns / NANOS:.1f} s"
        else:
            text = f"{name.owner} {name.kind}: the same price for {still_ns / NANOS:.1f} s"
        self.tell(text, Severity.WARNING)
        source = VENUE if name.kind == VENUE else STALE
        for one in self._concerned(name.owner):
            self.hold(source, text, one)

    def _concerned(self, owner: str) -> list[str]:
        if owner in self._clocks:
            return [one for one in self._instruments if one.rpartition(".")[2] == owner]
        return [owner]

    async def _compare(self, returned: list[StreamName]) -> None:
        """Compare orders and positions with the venues, and release what is fresh by that."""
        try:
            is_right = await asyncio.wait_for(self._reconcile(), RECONCILE_SECS)
        except (TimeoutError, VenueError) as error:
            is_right = False
            self.log.warning(f"reconciliation after stale data failed: {error or 'no answer in time'}")
        finally:
            self._is_reconciling = False
        now_ns = self.clock.timestamp_ns()
        if not is_right:  # tried again, but not so often that the host bans us for it
            pause_secs = min(2.0**self._failed_comparisons, LONGEST_PAUSE_SECS)
            self._failed_comparisons += 1
            self._compare_from_ns = now_ns + round(pause_secs * NANOS)
            return
        self._failed_comparisons = 0
        for owner in self.tower.reconcile(returned):
            self.tell(f"{owner}: data flow again, the venue's records agree", Severity.INFO)
            source = VENUE if owner in self._clocks else STALE
            for one in self._concerned(owner):
                self.release(source, one)

    # -- instruments ---------------------------------------------------------------------------------------

    def on_new_definition(self, instrument: Any) -> None:
        """Hold an instrument's entries whose increments are no longer those of the start, until a restart.

        Buckets, sizes and prices were made with the old ones; the venue would refuse orders of them.
        """
        name = instrument.id.value
        if name in self._instruments:
            increments = instrument.price_increment.as_decimal(), instrument.size_increment.as_decimal()
            self._compare_terms(name, *increments)

    async def _ask_terms(self, venue: str) -> None:
        """Compare what the venue lists with what the node trades by; the adapters look once an hour."""
        listing, names = self._listings[venue]
        try:
            listed = {one.symbol: one for one in await listing.symbols()}
        except (VenueError, DataError) as error:
            self.log.warning(f"{venue} does not tell its symbols: {error}")
            return
        for symbol, name in names.items():
            terms = listed.get(symbol)
            if terms is not None and terms.is_trading:
                self._compare_terms(name, terms.tick_size, terms.lot_size)
            self._mind_closed(name, is_closed=terms is None or not terms.is_trading)

    def _mind_closed(self, name: str, *, is_closed: bool) -> None:
        if is_closed == (name in self._closed):
            return
        if is_closed:
            self._closed.add(name)
            text = f"{name}: the venue does not trade it now"
            self.tell(text, Severity.CRITICAL)
            self.hold(CLOSED, text, name)
        else:
            self._closed.discard(name)
            self.tell(f"{name}: the venue trades it again", Severity.INFO)
            self.release(CLOSED, name)

    def _compare_terms(self, name: str, tick_size: Decimal, lot_size: Decimal) -> None:
        terms = f"{tick_size.normalize():f}", f"{lot_size.normalize():f}"
        before = self._terms.setdefault(name, terms)
        if terms != before and name not in self._changed:
            self._changed.add(name)
            text = f"{name}: the venue changed its increments from {before} to {terms}; restart the node"
            self.tell(text, Severity.CRITICAL)
            self.hold(INSTRUMENT, text, name)

    # -- clocks --------------------------------------------------------------------------------------------

    async def _ask_time(self, venue: str) -> None:
        sent_ns = self.clock.timestamp_ns()
        try:
            venue_ms = await self._clocks[venue].server_ms()
        except VenueError as error:
            self.log.warning(f"{venue} does not tell its time: {error}")
            return
        received_ns = self.clock.timestamp_ns()
        self._venues[venue].hear(received_ns)
        self.judge_clock(venue, clock_offset(sent_ns, millis_to_nanos(venue_ms), received_ns))

    def judge_clock(self, venue: str, offset: ClockOffset) -> None:
        """Hold a venue's entries while our clock is certainly too far from its clock.

        An answer that came so late that it proves neither leaves everything as it was.

        Parameters
        ----------
        venue
            Name in instrument ids.
        offset
            As measured.
        """
        limit_ns = self._settings.max_clock_offset_secs * NANOS
        is_wrong = offset.least_ns > limit_ns
        if not is_wrong and offset.uncertainty_ns > limit_ns:
            return
        self.offsets[venue] = offset
        if is_wrong == (venue in self._wrong_clocks):
            return
        text = f"{venue}: its clock is {offset.offset_ns / NANOS:+.3f} s from this machine's"
        if is_wrong:
            self._wrong_clocks.add(venue)
            self.tell(f"{text}; synchronise it (chrony, ntpd), entries wait for that", Severity.CRITICAL)
        else:
            self._wrong_clocks.discard(venue)
            self.tell(f"{text}: near enough again", Severity.INFO)
        for one in self._concerned(venue):
            if is_wrong:
                self.hold(CLOCK, text, one)
            else:
                self.release(CLOCK, one)


def make_hold_book(context: LiveContext) -> HoldBook:
    """Return the book of a node's holds; make it before the actors start, or desks miss what they said."""
    return HoldBook(context.node.kernel.msgbus)


def make_freshness(
    context: LiveContext, settings: DataSettings, reconcile: Reconcile | None = None
) -> FreshnessActor:
    """Return the watch over a node's streams.

    Parameters
    ----------
    context
        Of the node.
    settings
        Section ``live.data``.
    reconcile
        Compares with the venues; None asks Nautilus' execution engine, and nobody on paper, whose simulated
        venue cannot know anything else than the node.
    """
    kernel = context.node.kernel

    async def ask_engine() -> bool:
        if context.mode == "paper":
            return True
        return bool(await kernel.exec_engine.reconcile_execution_state(timeout_secs=RECONCILE_SECS))

    def subscriptions() -> tuple[Iterable[Any], Iterable[Any]]:
        engine = kernel.data_engine
        return engine.subscribed_trade_ticks(), engine.subscribed_bars()

    return FreshnessActor(
        settings,
        clocks={one.venue_name: context.rest.of(one) for one in context.settings.live.venues},
        instruments=context.instruments,
        subscriptions=subscriptions,
        reconcile=reconcile or ask_engine,
        call_soon=context.call_soon,
        listings=listings_of(context),
        offsets=context.clock_offsets,
        budgets={one.venue_name: context.rest.budget_of(one) for one in context.settings.live.venues},
    )


def listings_of(context: LiveContext) -> dict[str, tuple[Any, dict[str, str]]]:
    """Return who tells the symbols of each venue of a node, and the ids of those that are traded."""
    live = context.settings.live
    return {
        venue.venue_name: (
            context.rest.of(venue),
            {symbol_of(name, venue): name for name in context.instruments if live.venue_of(name) == venue},
        )
        for venue in live.venues
    }


__all__ = ["FreshnessActor", "Reconcile", "make_freshness", "make_hold_book"]
