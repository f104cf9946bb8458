"""One simulated venue of a paper node: Nautilus' exchange in a world of its own.

The venue has its own message bus, cache, portfolio and execution engine, as a real one has its own books:
its orders change in the moment in which something happens there, whatever waits in the node's queues. It is
built from the same configuration as the venue of a backtest (`runtime.node_config.venue_configs`), so fills,
fees, queue, liquidity and margins are the same code.
"""

import heapq
from collections.abc import Callable, Mapping
from decimal import Decimal

from nautilus_trader.backtest.config import BacktestVenueConfig
from nautilus_trader.backtest.node import get_latency_model
from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, TradingCommand
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, TraderId
from nautilus_trader.model.instruments import Instrument

from runtime.live.paper_commands import PaperCommands
from runtime.live.paper_missed import MissedFunding
from runtime.live.paper_records import PaperRecords, Report
from runtime.live.paper_restore import PaperRestore, remembered
from runtime.live.paper_state import PaperStore
from runtime.live.paper_world import PaperWorld


class PaperVenue:
    """A simulated venue with latency, filters and a memory.

    Parameters
    ----------
    config
        As in a backtest on trades.
    trader_id
        Of the node.
    store
        Keeps what happened; written before `report` is called.
    report
        Takes what the node must hear of one step, in order.
    find_instrument
        Gives the instrument of an id, None while it is unknown.
    now_ns
        Time at the venue, UNIX nanoseconds.
    band_pct
        See `runtime.live.paper_filters.refusal`.
    market_wait_ns
        What is sent for an instrument without a print yet waits so long for the first one.
    """

    def __init__(
        self,
        config: BacktestVenueConfig,
        trader_id: TraderId,
        store: PaperStore,
        report: Callable[[list[Report]], None],
        find_instrument: Callable[[InstrumentId], Instrument | None],
        now_ns: int,
        *,
        band_pct: float | None = None,
        market_wait_ns: int = 0,
    ) -> None:
        self._world = world = PaperWorld(config, trader_id, find_instrument, now_ns)
        self.id, self.account_id = world.id, world.account_id
        self.account_type, self.oms_type = world.account_type, world.oms_type
        self.cache, self.exchange, self.funding = world.cache, world.exchange, world.funding
        self.latency = get_latency_model(config)
        self.refused_ticks = 0
        self.missed = MissedFunding(store, self.id.value, self.funding)
        self._store = store
        self._records = PaperRecords(world, store, report)
        self._commands = PaperCommands(world, self._records, store, band_pct)
        self._market_wait_ns = market_wait_ns
        self._due: list[tuple[int, int, TradingCommand]] = []
        self._sent = 0
        self._waiting: dict[InstrumentId, list[TradingCommand]] = {}
        self._adopt: dict[InstrumentId, list[ClientOrderId]] = {}
        self._traded: set[InstrumentId] = set()

    @property
    def trouble(self) -> str:
        """Why the last steps are not on the disk; empty when they are."""
        return self._records.trouble

    # -- what the node does --------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Time at the venue, UNIX nanoseconds."""
        return self._world.now_ns

    @property
    def next_ns(self) -> int | None:
        """When the next command arrives, UNIX nanoseconds; None: nothing is on its way."""
        return self._due[0][0] if self._due else None

    def is_quiet(self, instrument_id: InstrumentId) -> bool:
        """Tell whether an instrument had no print yet, so that its market is unknown."""
        return instrument_id not in self._traded

    def is_on_its_way(self, client_order_id: str) -> bool:
        """Tell whether an order was sent that the venue has neither taken nor refused yet."""
        waiting = (command for commands in self._waiting.values() for command in commands)
        return any(
            isinstance(command, SubmitOrder) and command.order.client_order_id.value == client_order_id
            for command in (*(command for _, _, command in self._due), *waiting)
        )

    def send(self, command: TradingCommand, sent_ns: int) -> int:
        """Put a command on its way; return when it arrives, UNIX nanoseconds."""
        due_ns = sent_ns + self._latency_ns(command)
        self._sent += 1
        heapq.heappush(self._due, (due_ns, self._sent, command))
        return due_ns

    def on_trade(self, tick: TradeTick) -> None:
        """Match a print, then take what has arrived by its time."""
        instrument = self._world.known(tick.instrument_id)
        if instrument is None or _is_malformed(tick, instrument):
            self.refused_ticks += 1
            return
        self._world.advance(tick.ts_init)
        self.cache.add_trade_tick(tick)
        self.exchange.process_trade_tick(tick)
        if tick.instrument_id not in self._traded:
            self._open_market(tick.instrument_id)
        self._take_due(max(tick.ts_init, self.now_ns))
        self.commit()

    def advance(self, now_ns: int) -> None:
        """Let time pass without a print: funding is settled and what has arrived is taken."""
        self._world.advance(now_ns)
        self._take_due(now_ns)
        self.commit()

    def give_up_waiting(self, instrument_id: InstrumentId) -> None:
        """Take what waited for the first print of an instrument although there was none."""
        if instrument_id not in self._traded:
            self._open_market(instrument_id)
            self._traded.discard(instrument_id)
            self.commit()

    def note_prices(self) -> None:
        """Keep the last prices of what is held, for those who read the state from outside."""
        self._records.note_prices()

    def update_instrument(self, instrument: Instrument) -> None:
        """Trade by changed rules of an instrument from now on."""
        self._world.update_instrument(instrument)

    def commit(self) -> None:
        """Keep what this step changed and tell the node of it."""
        self._records.commit()

    # -- memory --------------------------------------------------------------------------------------------

    def remembered(self) -> set[InstrumentId]:
        """Return the instruments that what is kept is about; they must be known before `restore`."""
        return remembered(self._store, self.id.value) | set(self.missed.kept())

    def restore(self) -> None:
        """Take account, positions and open orders as they were kept."""
        past = PaperRestore(self._world, self._store)
        self._adopt = past.run()
        self.missed.note(past.contracts())
        self._world.events.clear()
        self.commit()

    def settle_missed(self, instrument_id: InstrumentId, rates: Mapping[int, Decimal], until_ns: int) -> None:
        """Settle the funding times up to one that passed while no node ran, UNIX nanoseconds."""
        self._world.known(instrument_id)
        self.missed.settle(instrument_id, rates, until_ns)
        self.commit()
        if not self.trouble:  # else it is settled again after a restart, which has forgotten it
            self.missed.forget(instrument_id)

    # -- on the way to the exchange ------------------------------------------------------------------------

    def _latency_ns(self, command: TradingCommand) -> int:
        if self.latency is None:
            return 0
        if isinstance(command, SubmitOrder):
            return int(self.latency.insert_latency_nanos)
        if isinstance(command, ModifyOrder):
            return int(self.latency.update_latency_nanos)
        return int(self.latency.cancel_latency_nanos)

    def _take_due(self, now_ns: int) -> None:
        while self._due and self._due[0][0] <= now_ns:
            _due_ns, _number, command = heapq.heappop(self._due)
            instrument_id = command.instrument_id
            is_quiet = instrument_id not in self._traded
            if is_quiet and (self._market_wait_ns or instrument_id in self._adopt):
                self._waiting.setdefault(instrument_id, []).append(command)
            else:
                self._commands.take(command)

    def _open_market(self, instrument_id: InstrumentId) -> None:
        self._traded.add(instrument_id)
        engine = self.exchange.get_matching_engine(instrument_id)
        heard = len(self._world.events)
        for client_order_id in self._adopt.pop(instrument_id, []):
            order = self.cache.order(client_order_id)
            if not order.is_closed:
                engine.accept_order(order)
        # A partly filled order is "accepted" again by the simulator; the node knows it.
        del self._world.events[heard:]
        for command in self._waiting.pop(instrument_id, []):
            self._commands.take(command)


def _is_malformed(tick: TradeTick, instrument: Instrument) -> bool:
    """Tell whether the exchange would stop at a print: decimals of other rules than the instrument's."""
    return bool(
        tick.price.precision != instrument.price_precision or tick.size.precision != instrument.size_precision
    )
