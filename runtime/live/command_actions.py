"""What each command does inside the node. Runs in the node's thread and waits for nothing.

Entries and positions are handled by the desks of the strategies, which know their orders; halts and holds go
over the message bus, where every desk hears them.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from runtime.live.command_runner import Doing
from runtime.live.commands import Command
from runtime.live.kill_switch import KillOrder, KillSwitch
from runtime.metrics.meter import uncovered_qty
from strategies.entry_halt import (
    HALT_TOPIC,
    HOLD_TOPIC,
    REARM_TOPIC,
    RELEASE_TOPIC,
    HaltEntries,
    HoldEntries,
    RearmEntries,
    ReleaseEntries,
)
from strategies.kept_desk import EXTERNAL

OPERATOR: Final = "operator"
KILL: Final = "kill"
REMEDY: Final = "when its cause is gone: `live_node.py ctl rearm`"
OTHERS_REMEDY: Final = (
    "close it at the venue, or here with `close --external` "
    "(live.protection.unplanned: protect would have taken it over)"
)


class NodeActions:
    """Executes commands on the strategies of a node.

    Parameters
    ----------
    strategies
        Gives the strategies; each has `desks`.
    publish
        Of the message bus: topic and message.
    now_ns
        Clock of the node, UNIX nanoseconds.
    kill_switch
        The file that a kill leaves.
    facts
        Adds to the answer of ``status``.
    on_kill, on_rearm
        Told what happened, for what else forbids orders.
    """

    def __init__(
        self,
        strategies: Callable[[], Iterable[Any]],
        publish: Callable[[str, Any], Any],
        now_ns: Callable[[], int],
        kill_switch: KillSwitch,
        *,
        facts: Callable[[], dict[str, Any]] = dict,
        on_kill: Callable[[str], None] = lambda _reason: None,
        on_rearm: Callable[[], None] = lambda: None,
    ) -> None:
        self._strategies, self._publish, self._now_ns = strategies, publish, now_ns
        self._kill_switch, self._facts = kill_switch, facts
        self._on_kill, self._on_rearm = on_kill, on_rearm
        self._pauses: dict[str, HoldEntries] = {}
        self.kill_order: KillOrder | None = None
        self._closing: set[str] = set()
        self._begin: dict[str, Callable[[Command], Doing]] = {
            "status": self._status,
            "pause": self._pause,
            "resume": self._resume,
            "close": self._close,
            "cancel-all": self._cancel_all,
            "flatten": self._flatten,
            "kill": self._kill,
            "rearm": self._rearm,
        }

    def begin(self, command: Command) -> Doing:
        """Do what a command asks for."""
        return self._begin[command.action](command)

    # -- to look at ----------------------------------------------------------------------------------------

    def _status(self, _command: Command) -> Doing:
        kill = self.kill_order
        facts: dict[str, Any] = {
            "killed": "" if kill is None else f"by {kill.who}: {kill.reason}".rstrip(": "),
            "paused": [one.instrument_id or "everything" for one in self._pauses.values()],
            "desks": [desk_facts(strategy, desk) for strategy, desk in self._desks()],
        }
        return Doing("done", "", facts | self._facts())

    # -- entries -------------------------------------------------------------------------------------------

    def _pause(self, command: Command) -> Doing:
        if (unknown := self._unknown(command)) is not None:
            return unknown
        waiting = self._entering(command.instrument)
        reason = f"{command.who}: {command.reason or 'no reason given'}"
        hold = HoldEntries(
            ts_ns=self._now_ns(), source=OPERATOR, reason=reason, instrument_id=command.instrument
        )
        self._pauses[command.instrument] = hold
        self._publish(HOLD_TOPIC, hold)
        return Doing(
            "done",
            f"paused {command.instrument or 'everything'}",
            {"entries_cancelled": names_of(waiting)},
            lambda: self._still(waiting, is_entering),
        )

    def _resume(self, command: Command) -> Doing:
        if (unknown := self._unknown(command)) is not None:
            return unknown
        ended = self._pauses.pop(command.instrument, None)
        self._publish(
            RELEASE_TOPIC,
            ReleaseEntries(ts_ns=self._now_ns(), source=OPERATOR, instrument_id=command.instrument),
        )
        what = command.instrument or "everything"
        left = ", ".join(one or "everything" for one in self._pauses)
        text = f"resumed {what}" if ended is not None else f"{what} was not paused"
        return Doing("done", f"{text}; still paused: {left}" if left else text)

    def _cancel_all(self, command: Command) -> Doing:
        if (unknown := self._unknown(command)) is not None:
            return unknown
        waiting = [desk for desk in self._entering(command.instrument) if cancel_entry(desk, command)]
        taken = counted(len(waiting), "entry", "entries")
        text = f"{taken} taken back" if waiting else "no entry was waiting"
        return Doing(
            "done",
            text,
            {"entries_cancelled": names_of(waiting)},
            (lambda: self._still(waiting, is_entering)) if waiting else None,
        )

    # -- positions -----------------------------------------------------------------------------------------

    def _close(self, command: Command) -> Doing:
        if (unknown := self._unknown(command)) is not None:
            return unknown
        doing = self._flatten(command, with_others=bool(command.args.get("external")))
        if not any(doing.detail.values()):
            return Doing("refused", f"{command.instrument}: nothing is open there", doing.detail)
        return doing

    def _flatten(self, command: Command, *, with_others: bool = False) -> Doing:
        """Close what setups of ours hold, and what they do not explain where that was asked for by name."""
        if (unknown := self._unknown(command)) is not None:
            return unknown
        waiting = self._entering(command.instrument)
        concerned = [desk for _, desk in self._desks() if concerns(desk, command.instrument)]
        held = [desk for desk in concerned if is_in_position(desk)]
        others = [desk for desk in concerned if with_others and others_qty(desk)]
        errors = []
        ours = ((desk, close_position) for desk in [*held, *(one for one in waiting if one not in held)])
        for desk, close in [*ours, *((desk, close_others) for desk in others)]:
            try:
                close(desk, command)
            except Exception as error:  # one desk's bug must not keep the others open
                errors.append(f"{desk.instrument_id}: {type(error).__name__}: {error}")
        left = [] if with_others else self._left_alone(command.instrument)
        detail = {"closed": names_of(held), "entries_cancelled": names_of(waiting)}
        if others:
            detail["external_closed"] = names_of(others)
        if left:
            detail["left_alone"] = left
        if errors:
            return Doing("failed", "; ".join(errors), detail)
        closed = counted(len(held) + len(others), "position", "positions")
        text = f"{closed} closed, {counted(len(waiting), 'entry', 'entries')} taken back"
        if left:
            text += f"; left alone, because no setup of ours explains it: {', '.join(left)}; {OTHERS_REMEDY}"
        return Doing(
            "failed" if left else "done",
            text,
            detail,
            (lambda: self._still_open(held + waiting, others)) if held or waiting or others else None,
        )

    def _still_open(self, ours: list[Any], others: list[Any]) -> str | None:
        left = [self._still(ours, is_open), self._still(others, lambda desk: bool(others_qty(desk)))]
        return ", ".join(one for one in left if one) or None

    # -- everything ----------------------------------------------------------------------------------------

    def _kill(self, command: Command) -> Doing:
        flatten = bool(command.args.get("flatten"))
        order = KillOrder(who=command.who, reason=command.reason, flatten=flatten, ts_ns=self._now_ns())
        waiting = self._entering("")
        errors = []
        try:
            self._kill_switch.set(order)
        except OSError as error:  # a full disk must not keep a node trading
            errors.append(f"the kill file was not written ({error}): a restart would trade again")
        self.apply_kill(order)
        detail: dict[str, Any] = {"entries_cancelled": names_of(waiting), "closed": []}
        if flatten:
            flattened = self._flatten(command)
            detail = {**flattened.detail, "entries_cancelled": names_of(waiting)}
            if flattened.outcome == "failed":
                errors.append(flattened.text)
        if errors:
            return Doing("failed", f"entries are halted, but: {'; '.join(errors)}", detail)
        return Doing(
            "done",
            f"entries are halted until `rearm`; {len(waiting)} taken back, {len(detail['closed'])} closed",
            detail,
            lambda: self._still_killing(flatten=flatten),
        )

    def _still_killing(self, *, flatten: bool) -> str | None:
        left = self._still([desk for _, desk in self._desks()], is_open if flatten else is_entering)
        return left or (None if self._kill_switch.is_synced else "the kill file is not on the disk yet")

    def apply_kill(self, order: KillOrder) -> None:
        """Halt all entries: what a kill does, and what a node does that finds the file at its start."""
        self.kill_order = order
        reason = f"killed by {order.who}" + (f" ({order.reason})" if order.reason else "")
        self._on_kill(reason)
        self._publish(
            HALT_TOPIC, HaltEntries(ts_ns=self._now_ns(), source=KILL, reason=reason, remedy=REMEDY)
        )

    def go_on_flattening(self) -> list[str]:
        """Close what is open although a kill says that nothing may be; return which instruments.

        A position may appear later: restored at the start, or by an entry that filled first.
        """
        order = self.kill_order
        if order is None or not order.flatten:
            return []
        late = [
            desk
            for _, desk in self._desks()
            if is_in_position(desk) and not is_leaving(desk) and setup_of(desk) not in self._closing
        ]
        for desk in late:
            self._closing.add(setup_of(desk))
            desk.close_by_hand(reason=f"kill: {order.reason}".rstrip(": "), who=order.who)
        return names_of(late)

    def _rearm(self, command: Command) -> Doing:
        try:
            was_killed = self._kill_switch.clear()
        except OSError as error:
            return Doing(
                "failed", f"{self._kill_switch.path} cannot be removed ({error}): entries stay halted"
            )
        self.kill_order = None
        self._closing.clear()
        self._on_rearm()
        halted = [desk for _, desk in self._desks() if desk.is_halted or is_held_for_others(desk)]
        self._publish(
            REARM_TOPIC, RearmEntries(ts_ns=self._now_ns(), actor=command.who, reason=command.reason)
        )
        again = [desk for desk in halted if desk.is_halted or is_held_for_others(desk)]
        text = f"{len(halted) - len(again)} desks rearmed" + (
            ", the kill file is removed" if was_killed else ""
        )
        if again:
            text += f"; halted again by what is not mended: {', '.join(names_of(again))}"
        return Doing("failed" if again else "done", text, {"rearmed": names_of(halted)})

    # -- small things --------------------------------------------------------------------------------------

    def _desks(self) -> list[tuple[Any, Any]]:
        return [(one, desk) for one in self._strategies() for desk in getattr(one, "desks", ())]

    def _entering(self, instrument: str) -> list[Any]:
        return [desk for _, desk in self._desks() if concerns(desk, instrument) and is_entering(desk)]

    def _unknown(self, command: Command) -> Doing | None:
        """Refuse an instrument that no desk trades: a misspelt one must not look like a success."""
        if not command.instrument or any(concerns(desk, command.instrument) for _, desk in self._desks()):
            return None
        known = sorted({desk.instrument_id.value for _, desk in self._desks()})
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        return Doing(
            "refused", f"args.instrument: {command.instrument} is not traded here; {shown or 'nothing'} is"
        )

    def _left_alone(self, instrument: str) -> list[str]:
        """Return positions that no command closes: somebody else's, which the settings say to report only."""
        return [
            f"{desk.instrument_id.value} {qty}"
            for _, desk in self._desks()
            if concerns(desk, instrument) and (qty := others_qty(desk))
        ]

    def _still(self, desks: Iterable[Any], is_still: Callable[[Any], bool]) -> str | None:
        left = [desk for desk in desks if is_still(desk)]
        return ", ".join(names_of(left)) or None


def concerns(desk: Any, instrument: str) -> bool:
    """Tell whether a command for an instrument (empty: all) concerns a desk."""
    return not instrument or desk.instrument_id.value == instrument


def is_held_for_others(desk: Any) -> bool:
    """Tell whether a desk opens nothing because somebody else traded on its instrument."""
    return any(one.source == EXTERNAL for one in desk.holds.standing)


def is_entering(desk: Any) -> bool:
    """Tell whether an entry may still fill, or is to be sent again at another price."""
    setup = desk.setup
    if setup is None or setup.is_closed:
        return False
    return bool(setup.entering_qty) or setup.next_plan is not None


def is_in_position(desk: Any) -> bool:
    """Tell whether the desk holds something."""
    setup = desk.setup
    return setup is not None and not setup.is_closed and bool(setup.is_in_position)


def is_leaving(desk: Any) -> bool:
    """Tell whether an exit at market is on its way."""
    setup = desk.setup
    return setup is not None and any(own.is_alive and own.leg.name == "EXIT" for own in setup.orders.values())


def others_qty(desk: Any) -> Decimal:
    """Return the position that no setup of the desk holds, signed; 0 for less than a lot."""
    if not hasattr(desk, "market"):  # it has not started
        return Decimal(0)
    qty: Decimal = desk.unplanned_qty()
    return qty if abs(qty) >= desk.market.lot_size else Decimal(0)


def is_open(desk: Any) -> bool:
    """Tell whether an entry or a position lives."""
    return is_entering(desk) or is_in_position(desk)


def setup_of(desk: Any) -> str:
    """Return the id of the living setup of a desk."""
    return f"{desk.instrument_id} {desk.setup.identity.setup_id}"


def cancel_entry(desk: Any, command: Command) -> bool:
    """Take an entry back; False where it is on its way back already."""
    return bool(desk.cancel_entry_by_hand(who=command.who, reason=command.reason))


def close_position(desk: Any, command: Command) -> None:
    """Close at market, once: an exit that is on its way is not doubled."""
    if not is_leaving(desk):
        desk.close_by_hand(reason=command.reason, who=command.who)


def close_others(desk: Any, command: Command) -> None:
    """Close at market what no setup of the desk explains, once."""
    desk.close_unplanned_by_hand(reason=command.reason, who=command.who)


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "entry", "entries"), counted(0, "entry", "entries")
    ('1 entry', '0 entries')
    """
    return f"{number} {one if number == 1 else many}"


def names_of(desks: Iterable[Any]) -> list[str]:
    """Return the instruments of desks."""
    return [desk.instrument_id.value for desk in desks]


def desk_facts(strategy: Any, desk: Any) -> dict[str, Any]:
    """Return what a desk does, plain."""
    setup, holds = desk.setup, getattr(desk, "holds", None)
    is_alive = setup is not None and not setup.is_closed
    return {
        "strategy": str(strategy.id),
        "instrument": desk.instrument_id.value,
        "halted": bool(desk.is_halted),
        "held": holds.text if holds else "",
        "setup": setup.identity.setup_id if is_alive else "",
        "stage": setup.stage.name if is_alive else "",
        "position_qty": str(setup.position_qty) if is_alive else "",
        "exitable_qty": str(setup.exitable_qty) if is_alive else "",
        "protected_qty": str(setup.protected_qty) if is_alive else "",
        "uncovered_qty": str(uncovered_qty(setup)) if is_alive else "",
        "entering_qty": str(setup.entering_qty) if is_alive else "",
    }
