"""A node's strategies without a node: desks that keep what they were told."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from runtime.download.budget import HostBudget
from runtime.live.entry_room import EntryRoom
from strategies.entry_halt import HALT_TOPIC, HOLD_TOPIC, REARM_TOPIC, RELEASE_TOPIC, Holds


@dataclass(eq=False)
class FakeSetup:
    """A setup with an entry or a position, which ends when the venue answers."""

    entering_qty: Decimal = Decimal(0)
    position_qty: Decimal = Decimal(0)
    identity: Any = field(default_factory=lambda: SimpleNamespace(setup_id="L1"))
    stage: Any = field(default_factory=lambda: SimpleNamespace(name="RESTING"))
    orders: dict[str, Any] = field(default_factory=dict)
    next_plan: Any = None
    is_cancelling: bool = False

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing is left."""
        return not self.entering_qty and not self.position_qty

    @property
    def is_in_position(self) -> bool:
        """Tell whether something is held."""
        return bool(self.position_qty)

    @property
    def exitable_qty(self) -> Decimal:
        """Return the position: it is no dust."""
        return self.position_qty

    @property
    def protected_qty(self) -> Decimal:
        """Return the position: its stop rests."""
        return self.position_qty


class FakeDesk:
    """A desk whose venue answers at once, or when `answer` is called."""

    def __init__(self, name: str, *, entering: int = 0, position: int = 0, answers: bool = True) -> None:
        self.instrument_id = SimpleNamespace(value=name)
        self.setup = FakeSetup(Decimal(entering), Decimal(position))
        self.is_halted = False
        self.holds = Holds(name)
        self.answers = answers
        self.venue_calls: list[str] = []
        self.threads: set[str] = set()
        self.is_broken = False
        self.market = SimpleNamespace(lot_size=Decimal("0.1"))
        self.others_qty = Decimal(0)

    def unplanned_qty(self) -> Decimal:
        """Return a position that is somebody else's."""
        return self.others_qty

    def cancel_entry_by_hand(self, who: str, reason: str = "") -> bool:
        """Send one cancellation for an entry, however often it is asked for."""
        del who, reason
        self.threads.add(threading.current_thread().name)
        setup = self.setup
        if not setup.entering_qty or setup.is_cancelling:
            return False
        setup.is_cancelling = True
        self.venue_calls.append("cancel")
        if self.answers:
            self.answer()
        return True

    def close_by_hand(self, reason: str, who: str) -> bool:
        """Send one market order, and cancel the entry."""
        if self.is_broken:
            raise RuntimeError("a bug of this desk")
        self.cancel_entry_by_hand(who, reason)
        if self.setup.position_qty:
            self.venue_calls.append("exit")
            self.setup.orders["x"] = SimpleNamespace(is_alive=True, leg=SimpleNamespace(name="EXIT"))
            if self.answers:
                self.answer()
        return True

    def close_unplanned_by_hand(self, reason: str, who: str) -> bool:
        """Send one market order for what is somebody else's."""
        del reason, who
        self.venue_calls.append("exit of others")
        if self.answers:
            self.others_qty = Decimal(0)
        return True

    def answer(self) -> None:
        """Let the venue confirm all that was asked."""
        setup = self.setup
        if setup.is_cancelling:
            setup.entering_qty, setup.is_cancelling = Decimal(0), False
        if setup.orders:
            setup.position_qty = Decimal(0)
            setup.orders.clear()


class FakeBus:
    """Takes messages, and lets desks hear halts and holds as the real ones do."""

    def __init__(self, desks: list[FakeDesk]) -> None:
        self.desks = desks
        self.sent: list[tuple[str, Any]] = []

    def publish(self, topic: str, message: Any) -> None:
        """Take one."""
        self.sent.append((topic, message))
        for desk in self.desks:
            if topic == HALT_TOPIC:
                desk.is_halted = True
                desk.cancel_entry_by_hand("", "")
            elif topic == HOLD_TOPIC and desk.holds.begin(message):
                desk.cancel_entry_by_hand("", "")
            elif topic == REARM_TOPIC:
                desk.is_halted = False
            elif topic == RELEASE_TOPIC:
                desk.holds.end(message)

    def topics(self) -> list[str]:
        """Return the topics so far."""
        return [topic for topic, _ in self.sent]


def free_room() -> EntryRoom:
    """Return the room of a venue that counts nothing."""
    return EntryRoom(HostBudget(time.monotonic), print, time.monotonic)


class FakeNodeThread:
    """A thread that runs what `call_soon` is given, in order."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], Any]] = deque()
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)
        self._thread.start()

    def call_soon(self, function: Callable[[], Any]) -> None:
        """Run a function in the thread."""
        self._work.append(function)
        self._wake.set()

    def stop(self) -> None:
        """End the thread."""
        self._is_over = True
        self._wake.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._is_over:
            self._wake.wait()
            self._wake.clear()
            while self._work:
                self._work.popleft()()
