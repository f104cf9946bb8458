"""Stands between a market's trades and a strategy's hot path in a live node: in order, each once, none lost.

It is put there by `OteStrategy.trade_gate`, so that a backtest's trades go straight to the hot path. A trade
that has to wait for others is shown to the setup at once: only buckets need the order.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import InstrumentId

from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.live.backfill import TradeSource, tick_of, venue_symbol
from runtime.live.freshness import NANOS, DataSettings
from runtime.live.gaps import NO_ID, ConsecutiveIds, RecentIds, TradeOrder

# Before anything is fetched: a message that was overtaken by the next one comes within this time.
GRACE_SECS: Final = 0.05
# The venue's REST interface may be behind its stream: ask again after this time.
AGAIN_SECS: Final = 0.25

type TradeHandler = Callable[[TradeTick], None]
type Progress = Callable[[int, int], None]
"""Called with the number of trades done and of all, 0 where that is not known."""


class Perceiving(Protocol):
    """What a strategy on trades offers."""

    take_price: TradeHandler

    def taint_bucket(self) -> None:
        """Note that trades are missing of which no id tells."""
        ...

    def forget_prices(self) -> None:
        """Hold no trade against the prices of those before it."""
        ...

    def take_past_trade(self, tick: TradeTick) -> None:
        """Take a trade for buckets alone."""
        ...


class TradeStream:
    """The trades of one instrument on their way to a strategy.

    Parameters
    ----------
    instrument_id
        Whose.
    strategy
        Where they go.
    take_trade
        Its hot path.
    source
        Where missing ones come from.
    settings
        How long is waited, and for how many.
    clock
        Of the node.
    say
        Called with the text when a gap begins and None when it has ended: entries are held in between.
    last_id
        Id of the last trade that the strategy has, -1 for none.
    """

    def __init__(
        self,
        instrument_id: InstrumentId,
        strategy: Perceiving,
        take_trade: TradeHandler,
        *,
        source: TradeSource,
        settings: DataSettings,
        clock: Any,
        say: Callable[[str | None], None],
        last_id: int = NO_ID,
    ) -> None:
        self.instrument_id = instrument_id
        self.order: TradeOrder[TradeTick] = (
            ConsecutiveIds(last_id) if source.has_ids else RecentIds[TradeTick]()
        )
        self._strategy = strategy
        self._take_trade = take_trade
        self._source = source
        self._settings = settings
        self._clock = clock
        self._say = say
        self._heard_ns = 0
        self._quiet_ns = round(settings.quiet_secs * NANOS)
        self._filling: asyncio.Task[None] | None = None
        self._early: list[TradeTick] | None = None
        self._counts_anew = False
        self._breaks = 0
        self._is_broken = False
        self.newest_ns = 0
        """Time of the newest trade, UNIX nanoseconds."""

    def hold_back(self) -> None:
        """Keep trades from buckets until `catch_up`; the setup sees their prices."""
        self._early = []

    @property
    def is_flowing(self) -> bool:
        """Tell whether buckets have all trades up to the newest."""
        return self._early is None and self.order.wanted is None

    async def first_live(self) -> TradeTick:
        """Return the first trade that is held back, once it has come."""
        while not self._early:
            await asyncio.sleep(AGAIN_SECS)
        return self._early[0]

    async def catch_up(self, order: TradeOrder[TradeTick], tell: Progress) -> bool:
        """Go on after the last trade of `order`: fetch what is between it and the first live trade.

        Waits for a live trade. Nothing is fetched twice, and trades that come meanwhile wait.

        Parameters
        ----------
        order
            Knows the last trade that the strategy has.
        tell
            Called with the trades fetched so far and, where it is known, how many there are.

        Returns
        -------
        bool
            Whether nothing is missing now; otherwise the trades that came were taken all the same, with the
            gap in their bucket.
        """
        await self.first_live()
        self.order = order
        early, self._early = self._early or [], None
        if isinstance(order, RecentIds):
            order.suspect()
        for tick in early:
            for one in order.take(tick.trade_id.value, tick):
                self._strategy.take_past_trade(one)
        if order.wanted is None:
            return True
        # Trades that come from now on find that something is missing, and this task at work on it.
        self._filling = asyncio.current_task()
        total = order.wanted.count
        try:
            await self._fetch(lambda: tell(order.counters.missing, total))
        except (VenueError, DataError, ConfigurationError, ValueError) as error:
            self._give_up(str(error))
            return False
        return True

    def take(self, tick: TradeTick) -> None:
        """Take a trade of the stream."""
        if not self._source.has_ids:
            if self._heard_ns and tick.ts_init - self._heard_ns > self._quiet_ns:
                self._suspect()
            self._heard_ns = tick.ts_init
            if self._is_broken:
                self._is_broken = False
                self._suspect()
        self.newest_ns = tick.ts_event
        if self._early is not None:
            self._early.append(tick)
            self._strategy.take_price(tick)
            return
        order = self.order
        ready = order.take(tick.trade_id.value, tick)
        if order.wanted is None and len(ready) == 1:
            self._take_trade(ready[0])
            return
        for one in ready:
            self._strategy.take_past_trade(one)
        if order.wanted is not None:
            self._strategy.take_price(tick)
            self._begin()
        elif not ready:
            self._mind_old_id(tick)

    def _mind_old_id(self, tick: TradeTick) -> None:
        """Say once that the venue counts anew: every trade would be dropped as one that came before."""
        order = self.order
        if not isinstance(order, ConsecutiveIds) or self._counts_anew:
            return
        number = int(tick.trade_id.value)
        if number < order.last_id - self._settings.gap_trades:
            self._counts_anew = True
            self._say(
                f"{self.instrument_id}: trade {number} after {order.last_id}: the venue counts anew, "
                "which is of no use to buckets of before; restart the node"
            )

    def suspect(self) -> None:
        """Note that the connection broke: from its next trade on, trades may be missing without a sign of it.

        What is fetched before that trade does not show what is missing, and is not used. Venues that number
        their trades show it by themselves.
        """
        self._is_broken = not self._source.has_ids
        self._breaks += 1
        self._strategy.forget_prices()

    def _suspect(self) -> None:
        if isinstance(self.order, RecentIds):
            self.order.suspect()

    def stop(self) -> None:
        """Fetch nothing more."""
        if self._filling is not None:
            self._filling.cancel()

    # -- what is missing -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._fill())

    async def _fill(self) -> None:
        """Fetch until nothing is missing, or let go of what cannot be had in time."""
        await asyncio.sleep(GRACE_SECS)
        wanted = self.order.wanted
        if wanted is None:
            return
        if self._source.has_ids:
            # Without ids each longer silence is looked into: then a quiet market would have no band at all.
            self._strategy.forget_prices()
        self._say(f"{wanted.count or 'some'} trades are missing before {self.instrument_id}'s newest")
        reason = f"not there after {self._settings.gap_secs:g} s"
        try:
            if wanted.count > self._settings.gap_trades:
                reason = f"more than {self._settings.gap_trades}"
            else:
                await asyncio.wait_for(self._fetch(), self._settings.gap_secs)
        except TimeoutError:
            pass
        except (VenueError, DataError, ConfigurationError, ValueError) as error:
            reason = str(error)
        finally:
            if self.order.wanted is not None:
                self._give_up(reason)
            self._say(None)

    async def _fetch(self, tell: Callable[[], None] | None = None) -> None:
        symbol = venue_symbol(self.instrument_id)
        while (wanted := self.order.wanted) is not None:
            if self._is_broken:
                await asyncio.sleep(AGAIN_SECS)
                continue
            breaks = self._breaks
            async for page in self._source.pages(symbol, wanted):
                if self._breaks != breaks and not self._source.has_ids:
                    break
                now_ns = self._clock.timestamp_ns()
                ticks = [
                    (one.trade_id, tick_of(self.instrument_id, one, self._source, now_ns)) for one in page
                ]
                # An id that a page jumps over does not exist; those behind the last one may still come.
                known_until = int(ticks[-1][0]) if ticks and self._source.has_ids else NO_ID
                for tick in self.order.fill(ticks, known_until=known_until):
                    self._strategy.take_past_trade(tick)
                if tell is not None:
                    tell()
            if self._breaks != breaks and not self._source.has_ids:
                continue
            if self.order.wanted == wanted:
                if tell is not None and not self._source.has_ids:
                    raise DataError(f"{symbol}: the venue's newest trades do not reach back so far")
                await asyncio.sleep(AGAIN_SECS)

    def _give_up(self, reason: str) -> None:
        """Go on with the gap: the bucket that lacks trades is tainted."""
        self.last_given_up = reason
        if not self._source.has_ids:  # else the jump of the ids says so
            self._strategy.taint_bucket()
        for tick in self.order.give_up():
            self._strategy.take_past_trade(tick)

    last_given_up: str = ""
    """Why trades were given up last."""


__all__ = ["Perceiving", "Progress", "TradeStream"]
