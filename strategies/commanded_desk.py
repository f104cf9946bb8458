"""What a desk is told from outside its strategy: halt, hold, rearm, and close, by people and by the node."""

from abc import ABC
from decimal import Decimal
from typing import Any

from nautilus_trader.model.identifiers import InstrumentId

from strategies.decision_fields import side_name
from strategies.entry_halt import HaltEntries, HoldEntries, Holds, RearmEntries, ReleaseEntries
from strategies.entry_limits import EntryLimits
from strategies.kept_desk import EXTERNAL, KeptDesk
from strategies.trade_manager.orders import ZERO, Note
from strategies.trade_manager.record import Decision, DecisionKind, ExitReason
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import ExitRules
from strategies.trade_manager.skips import SkipReason
from strategies.unplanned_exit import UnplannedExit


class CommandedDesk(KeptDesk, ABC):
    """A desk that can be closed to entries, and whose position can be closed; all of it is published.

    Parameters
    ----------
    host
        The strategy.
    instrument_id
        What is traded.
    tag
        Short name in client order ids, at most 4 characters.
    exit_rules
        How entries and exits are handled at the venue.
    counters
        Of the strategy; those of several desks add up in one.
    """

    entry_limits: EntryLimits | None = None
    """Asked before each entry goes out; None sets no limits."""

    def __init__(
        self,
        host: Any,
        instrument_id: InstrumentId,
        tag: str,
        exit_rules: ExitRules,
        counters: dict[str, int],
    ) -> None:
        super().__init__(host, instrument_id, tag, exit_rules)
        self.counters = counters
        self.is_halted = False
        self.holds = Holds(instrument_id.value)
        self.bucket_seq = -1
        self._unplanned = UnplannedExit(self, host)

    # -- what is published ---------------------------------------------------------------------------------

    def decide(self, kind: DecisionKind, *, ts_ns: int, setup: Setup | None = None, **fields: Any) -> None:
        """Publish a decision; `fields` are those of `Decision`."""
        if setup is not None:
            fields.setdefault("setup_id", setup.identity.setup_id)
            fields.setdefault("zone_id", setup.plan.zone_id)
            fields.setdefault("side", side_name(setup.plan.direction))
        decision = Decision(
            ts_ns=ts_ns,
            strategy_id=self._host.id.value,
            instrument_id=self.instrument_id.value,
            kind=kind,
            bucket_seq=self.bucket_seq,
            **fields,
        )
        self._host.msgbus.publish(topic=f"decisions.{self.instrument_id.value}", msg=decision)

    def count(self, name: str, step: int = 1) -> None:
        """Add to a counter of the strategy."""
        self.counters[name] = self.counters.get(name, 0) + step

    # -- entries -------------------------------------------------------------------------------------------

    def halt(self, reason: str, **detail: str) -> None:
        """Open nothing any more, also after a restart; exits go on. A waiting entry is taken back."""
        if not self.kept_halt:
            self.kept_halt = reason
            self.keep_memory()
        self._halt(reason, detail)

    def _halt(self, reason: str, detail: dict[str, str]) -> None:
        if not self.is_halted:
            self.is_halted = True
            self._host.log.error(f"{self.instrument_id} halted: {reason}")
            self.count("halted")
            ts_ns = self._host.clock.timestamp_ns()
            self.decide("halted", ts_ns=ts_ns, reason=reason, detail={**detail})
            if self.setup is not None and not self.setup.is_closed:
                self.carry_out(self.setup, self.setup.cancel_entry("halted", ts_ns))

    def on_halt_entries(self, message: HaltEntries) -> None:
        """Open nothing any more: a part of the node says that nothing may be."""
        self._halt(message.text, {"source": message.source})

    def on_rearm_entries(self, message: RearmEntries) -> None:
        """Open again: a person has looked, whatever it was that halted this desk."""
        if self.is_halted:
            self.is_halted = False
            self._host.log.warning(f"{self.instrument_id} rearmed by {message.actor}")
            self.count("rearmed")
            detail = {"actor": message.actor}
            self.decide("rearmed", ts_ns=message.ts_ns, reason=message.reason, detail=detail)
        if self.kept_halt:
            self.kept_halt = ""
            self.keep_memory()
        self.release_external()

    @property
    def closed_to_entries(self) -> SkipReason | None:
        """Return why nothing may be opened here, whatever the signal; None when it may."""
        if self.is_halted:
            return SkipReason.HALTED
        return SkipReason.HELD if self.holds else None

    def wants_entry(self, client_id: str) -> bool:
        """Tell whether an entry that has not left yet may leave; True for one that is not of this desk."""
        setup = self._by_order.get(client_id)
        if setup is None:
            return True
        limits = self.entry_limits
        if self.closed_to_entries is not None or (limits is not None and limits.closed_by):
            return False
        return setup.is_entering and setup.entry_id == client_id

    def on_hold_entries(self, message: HoldEntries) -> None:
        """Open nothing until this is released; a waiting entry is taken back."""
        if not self.holds.begin(message):
            return
        if message.source == EXTERNAL:
            self.keep_memory()
        ts_ns = self._host.clock.timestamp_ns()
        self._host.log.warning(f"{self.instrument_id} held ({message.source}): {message.reason}")
        self.count("held")
        self.decide("held", ts_ns=ts_ns, reason=message.source, detail={"text": message.reason})
        if self.setup is not None and not self.setup.is_closed:
            self.carry_out(self.setup, self.setup.cancel_entry(f"held_{message.source}", ts_ns))

    def on_release_entries(self, message: ReleaseEntries) -> None:
        """Open again when no other hold stands."""
        if self.holds.end(message):
            if message.source == EXTERNAL:
                self.keep_memory()
            ts_ns = self._host.clock.timestamp_ns()
            others = self.holds.text
            self._host.log.info(
                f"{self.instrument_id} released ({message.source}); still held: {others or 'no'}"
            )
            self.decide("released", ts_ns=ts_ns, reason=message.source, detail={"still": others})

    # -- positions -----------------------------------------------------------------------------------------

    def close_by_hand(self, reason: str, who: str) -> bool:
        """Close the position at market and take its entry back, because a person wants it.

        Parameters
        ----------
        reason
            In the person's words.
        who
            Whom to ask about it.

        Returns
        -------
        bool
            False when there was nothing to close.
        """
        setup = self.setup
        if setup is None or setup.is_closed:
            return False
        ts_ns = self._host.clock.timestamp_ns()
        self._say_command("close", setup, ts_ns, reason, who)
        self.carry_out(setup, setup.close(ExitReason.MANUAL.value, ts_ns))
        return True

    def close_unplanned_by_hand(self, reason: str, who: str) -> bool:
        """Close at market what no setup of ours explains, because a person wants it.

        The command is the journal's account of it: a decision of the strategy it is not.

        Parameters
        ----------
        reason
            In the person's words.
        who
            Whom to ask about it.

        Returns
        -------
        bool
            False when there was nothing to close, or it is on its way already.
        """
        qty = self.unplanned_qty()
        if abs(qty) < self.market.lot_size or self._unplanned.is_closing():
            return False
        said = f"close of {qty} that no setup explains asked for by {who}: {reason or 'no reason'}"
        self._host.log.warning(f"{self.instrument_id} {said}")
        self.count("commanded_close_unplanned")
        self._make_room(abs(qty))
        self._unplanned.close(qty, self._host.clock.timestamp_ns())
        return True

    def cancel_entry_by_hand(self, who: str, reason: str = "") -> bool:
        """Take an entry back that waits, because a person wants it; a position keeps its exits.

        Returns
        -------
        bool
            False when no entry was alive.
        """
        setup = self.setup
        if setup is None or setup.is_closed:
            return False
        ts_ns = self._host.clock.timestamp_ns()
        # The core knows whether one is alive, or on its way back to be sent again at another price.
        actions = setup.cancel_entry(ExitReason.MANUAL.value, ts_ns)
        is_new = any(isinstance(one, Note) and one.kind == "entry_cancelled" for one in actions)
        if is_new:
            self._say_command("cancel_entry", setup, ts_ns, reason, who)
        self.carry_out(setup, actions)
        return is_new

    def close_unprotected(self, unprotected_secs: float) -> None:
        """Close what setups hold and the watchdog found without a stop at the venue for too long."""
        ts_ns = self._host.clock.timestamp_ns()
        setup = self.setup
        if setup is not None and not setup.is_closed:
            detail: dict[str, str | int | float] = {"unprotected_secs": unprotected_secs}
            self.decide("watchdog", ts_ns=ts_ns, setup=setup, reason="unprotected", detail=detail)
            self.carry_out(setup, setup.close_unprotected(ts_ns))

    def close_unplanned(self, unprotected_secs: float) -> None:
        """Close what no setup explains and the watchdog found without a stop; what setups hold stays."""
        ts_ns, qty = self._host.clock.timestamp_ns(), self.unplanned_qty()
        self.halt(f"{qty} that no setup explains had no stop at the venue: look there, then rearm")
        if abs(qty) < self.market.lot_size or self._unplanned.is_closing():
            return
        detail: dict[str, str | int | float] = {"unprotected_secs": unprotected_secs, "unplanned": str(qty)}
        self.decide("watchdog", ts_ns=ts_ns, reason="unplanned", detail=detail)
        self._make_room(abs(qty))
        self._unplanned.close(qty, ts_ns)

    def go_on_unplanned(self, event: Any) -> None:
        """Send the next orders that close what nobody planned, once those before are over."""
        qty, rest = self.unplanned_qty(), self._unplanned.rest_after(event)
        least = min(abs(qty), rest)
        if least >= self.market.lot_size:
            self._make_room(least)
            self._unplanned.close(least if qty > 0 else -least, self._host.clock.timestamp_ns())

    def _make_room(self, qty: Decimal) -> None:
        if self.make_room is not None:
            prices = [self.last_price() or ZERO]
            if self.setup is not None:
                plan = self.setup.plan
                prices += [plan.entry_price, plan.stop_price, plan.target_price]
            self.make_room(self.instrument_id, qty * max(prices))

    def _say_command(self, action: str, setup: Setup, ts_ns: int, reason: str, who: str) -> None:
        self._host.log.warning(f"{self.instrument_id} {action} asked for by {who}: {reason or 'no reason'}")
        self.count(f"commanded_{action}")
        detail: dict[str, str | int | float] = {"actor": who, "action": action, "text": reason}
        self.decide("commanded", ts_ns=ts_ns, setup=setup, reason=action, detail=detail)
