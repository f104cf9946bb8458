"""A node that trades a made-up market: telemetry by the protocol, commands by the real command server.

For tests and for building the front end: ``python -m tests.ui_fake_node --folder var/live/paper --rate 50``,
then ``python -m ui serve --mode paper``.
"""

import argparse
import contextlib
import random
import secrets
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq

from runtime.live.command_runner import CommandRunner, Doing
from runtime.live.command_server import CommandServer
from runtime.live.command_socket import SOCKET_FILE
from runtime.live.commands import Command, CommandBook
from ui import protocol as p
from ui.endpoint import TELEMETRY_FILE, zmq_address
from ui.terminal_state import NODE_BUCKETS, TerminalState

XRP, ADA = "XRPUSDT.BINANCE", "ADAUSDT.BINANCE"
FLUSH_SECS: Final = 0.1
# Buckets in one message of history.
SLICE: Final = 500
# Zones, resting entries and positions of a market at once.
LIVING: Final = 60


class MemoryJournal:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def append(self, record: Any) -> None:
        """Take a record."""
        self.records.append(record)


class FakeNode:
    """Publishes what it is given, answers newcomers with a snapshot, executes commands on itself.

    Parameters
    ----------
    folder
        Of the sockets.
    mode
        As `st` says it.
    instruments
        Of the node.
    max_buckets
        What it keeps of each, for newcomers.
    """

    def __init__(
        self,
        folder: Path,
        mode: p.Mode = "paper",
        instruments: tuple[str, ...] = (XRP, ADA),
        max_buckets: int = NODE_BUCKETS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.mode, self.instruments = folder, mode, instruments
        self.epoch, self.seq = secrets.token_hex(4), 0
        self.state = TerminalState(max_buckets)
        self.journal = MemoryJournal()
        self.executed: list[Command] = []
        self.paused: list[str] = []
        self.killed = False
        self.doing: Callable[[Command], Doing] | None = None
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self._socket.setsockopt(zmq.SNDHWM, 2000)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(zmq_address(folder / TELEMETRY_FILE))
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._flush, daemon=True)
        self._server = CommandServer(folder / SOCKET_FILE, self._runner)
        self.publish("st", self.node_state())

    def __enter__(self) -> "FakeNode":
        self._thread.start()
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End like a node that stops."""
        self._stop.set()
        self._thread.join()
        self._server.stop()
        self._socket.close(0)
        self._context.term()

    def node_state(self) -> p.NodeState:
        """Return what it says of itself."""
        return p.NodeState(
            mode=self.mode,
            session="fake",
            trader="FAKE-001",
            version="0",
            paused=list(self.paused),
            killed=self.killed,
            kill_reason="by hand" if self.killed else None,
            instruments=[
                p.InstrumentView(id=one, tick="0.0001", lot="0.1", bucket_usd=10_000.0)
                for one in self.instruments
            ],
            models=[p.ModelView(ins="*", verdict="useful", threshold=0.3, digest="ab12")],
        )

    def publish(self, kind: str, payload: Any) -> None:
        """Send a message and fold it."""
        with self._lock:
            self.state.apply(kind, payload)
            self._send(kind, payload)

    def skip(self, messages: int = 1) -> None:
        """Lose messages on the way."""
        with self._lock:
            self.seq += messages

    def _send(self, kind: str, payload: Any) -> None:
        self.seq += 1
        self._transmit(kind, payload)

    def _transmit(self, kind: str, payload: Any) -> None:
        message = p.Message(self.epoch, self.seq, time.time_ns(), kind, payload)
        with contextlib.suppress(zmq.Again):
            self._socket.send(p.encode(message), zmq.NOBLOCK)

    def _flush(self) -> None:
        beats = 0
        while not self._stop.wait(FLUSH_SECS):
            beats += 1
            with self._lock:
                self._answer_newcomers()
                if beats % 5 == 0:
                    self.publish("hb", p.Heartbeat(last_tick_age_ms=20.0, loop_lag_ms=0.4))

    def _answer_newcomers(self) -> None:
        is_new = False
        while self._socket.poll(0):
            is_new |= self._socket.recv()[:1] == b"\x01"
        if not is_new:
            return
        parts = 0
        for kind, ring in self.state.history():
            kept = list(ring)
            for at in range(0, len(kept), SLICE):
                past: dict[str, Any] = {kind: kept[at : at + SLICE]}
                self._transmit(p.PAST, p.Past(part=parts, **past))
                parts += 1
        snapshot = self.state.snapshot(with_buckets=False)
        snapshot.past = parts
        self._send(p.SNAP, snapshot)

    # -- commands -------------------------------------------------------------------------------------------

    def _runner(self) -> CommandRunner:
        return CommandRunner(CommandBook(), None, self.journal, self, lambda call: call())

    def begin(self, command: Command) -> Doing:
        """Execute a command on the made-up account."""
        self.executed.append(command)
        if self.doing is not None:
            return self.doing(command)
        with self._lock:
            scope = command.instrument or "*"
            if command.action == "pause" and scope not in self.paused:
                self.paused.append(scope)
            elif command.action == "resume":
                self.paused = []
            elif command.action in ("kill", "rearm"):
                self.killed = command.action == "kill"
            if command.action in ("cancel-all", "flatten", "kill", "pause"):
                self._cancel_entries()
            if command.action in ("close", "flatten"):
                self._close(command.instrument)
            self.publish("st", self.node_state())
        return Doing("done", f"{command.action} done", {"instrument": scope})

    def _cancel_entries(self) -> None:
        for order in self.state.snapshot().ord:
            if order.role == "entry" and order.status == "ACCEPTED":
                self.publish("ord", _changed(order, status="CANCELED", ts=now_ms()))

    def _close(self, ins: str) -> None:
        for position in self.state.snapshot().pos:
            if ins in ("", position.ins):
                self.publish("pos", _changed(position, side="flat", qty="0"))


def _changed(struct: Any, **fields: Any) -> Any:
    return p.msgspec.structs.replace(struct, **fields)


def now_ms() -> int:
    """Return UNIX milliseconds."""
    return time.time_ns() // 1_000_000


class Market:
    """A random walk in buckets, with zones, signals, decisions, orders and positions now and then.

    Parameters
    ----------
    node
        Tells of it.
    seed
        Of the walk.
    """

    def __init__(self, node: FakeNode, seed: int = 1) -> None:
        self._node, self._dice = node, random.Random(seed)
        self._price = dict.fromkeys(node.instruments, 2.0)
        self._number = dict.fromkeys(node.instruments, 0)
        self._open: dict[str, p.Bucket] = {}
        self._setups = 0
        # What lives, oldest first: a market that never ended anything would fill every memory.
        self._zones: deque[p.Zone] = deque()
        self._resting: deque[p.OrderView] = deque()
        self._held: deque[p.PositionView] = deque()

    def bucket(self, ins: str, t0: int, t1: int) -> p.Bucket:
        """Return the next bucket of an instrument, and walk on."""
        dice, first = self._dice, self._price[ins]
        last = round(max(0.1, first * (1 + dice.gauss(0, 0.0012))), 4)
        high = round(max(first, last) * (1 + abs(dice.gauss(0, 0.0005))), 4)
        low = round(min(first, last) * (1 - abs(dice.gauss(0, 0.0005))), 4)
        buys = dice.random()
        number = self._number[ins]
        self._number[ins], self._price[ins] = number + 1, last
        return p.Bucket(
            ins=ins, i=number, t0=t0, t1=t1, o=first, h=high, l=low, c=last, v=10_000.0, bv=10_000 * buys,
            sv=10_000 * (1 - buys), n=dice.randint(5, 200), imb=round(2 * buys - 1, 4),
            vpin=round(0.2 + 0.3 * dice.random(), 4), vol=round(0.001 + 0.001 * dice.random(), 6),
            p=round(dice.random(), 4), dir=1 if last > first else -1, tainted=dice.random() < 0.002,
        )  # fmt: skip

    def history(self, buckets: int) -> None:
        """Tell of the past: buckets that end now, five seconds each."""
        first = now_ms() - buckets * 5_000
        for ins in self._node.instruments:
            for step in range(buckets):
                t0 = first + step * 5_000
                self._node.publish("bkt", self.bucket(ins, t0, t0 + 4_990))
        for _ in range(6):
            self.zone(self._dice.choice(self._node.instruments))

    def develop(self) -> None:
        """Fill an open bucket a little further, or close it."""
        dice, ins = self._dice, self._dice.choice(self._node.instruments)
        now = now_ms()
        if ins not in self._open or dice.random() < 0.1:
            if ins in self._open:
                self._node.publish("bkt", self._open[ins])
            self._open[ins] = self.bucket(ins, now, now)
        bucket = self._open[ins] = _changed(self._open[ins], t1=now, n=self._open[ins].n + 1)
        self._node.publish("dev", p.Developing(**_fields(bucket), fill=round(dice.random(), 3)))
        if dice.random() < 0.02:
            self.event(ins)

    def zone(self, ins: str) -> p.Zone:
        """Tell of a new zone."""
        dice, price, number = self._dice, self._price[ins], max(0, self._number[ins] - 40)
        side = dice.choice((1, -1))
        self._setups += 1
        zone = p.Zone(
            id=f"z{self._setups}", ins=ins, type=dice.choice(("ote", "ob", "fvg", "liquidity", "range")),
            side=side, i0=number, t0=now_ms() - 200_000, top=round(price * 1.004, 4),
            bot=round(price * 0.998, 4), sweet=round(price, 4), stop=round(price * (1 - 0.01 * side), 4),
            targets=[round(price * (1 + 0.02 * side), 4)], state="active", why="retracement of the last leg",
        )  # fmt: skip
        self._node.publish("zone", zone)
        self._zones.append(zone)
        if len(self._zones) > LIVING:
            old = self._zones.popleft()
            end = {"state": dice.choice(("filled", "mitigated", "expired")), "i1": number, "t1": now_ms()}
            self._node.publish("zone", _changed(old, **end))
        return zone

    def event(self, ins: str) -> None:
        """Tell of a setup: signal, decision, entry, and what became of it."""
        node, dice, now = self._node, self._dice, now_ms()
        zone, number, price = self.zone(ins), self._number[ins], self._price[ins]
        setup, is_kept = f"S{self._setups}", dice.random() < 0.6
        node.publish("sig", p.SignalMark(
            id=setup, ins=ins, ts=now, i=number, kind="ote_entry", side=zone.side, px=price, taken=is_kept,
            stop=zone.stop, target=zone.targets[0], confidence=0.7, factors={"zone": 30.0, "bias": 20.0},
            zone=zone.id, skip=None if is_kept else "reward/risk 1.2 < 2.0",
        ))  # fmt: skip
        probability = round(dice.random(), 3)
        node.publish("mdl", p.ModelDecision(
            ins=ins, ts=now, i=number, setup=setup, p=probability, thr=0.3,
            verdict="keep" if probability > 0.3 else "cancel", infer_us=85.0,
            why=[("imbalance_20", 0.31), ("vpin", -0.22), ("depth_ratio", 0.1)],
        ))  # fmt: skip
        side: p.Side = "buy" if zone.side > 0 else "sell"
        order = p.OrderView(
            coid=f"O-{setup}", ins=ins, setup=setup, role="entry", side=side, type="LIMIT", tif="GTC",
            qty="100.0", filled="0", status="ACCEPTED", ts=now, px=f"{price:.4f}",
        )  # fmt: skip
        node.publish("ord", order)
        self._end_oldest()
        if probability <= 0.3:
            node.publish("ord", _changed(order, status="CANCELED", ts=now))
            node.publish("cancel", p.CancelEntry(
                setup=setup, ins=ins, ts=now, reason="model", p=probability, thr=0.3,
                outcome="would have lost", would_r=-1.0,
            ))  # fmt: skip
        elif dice.random() < 0.5:
            node.publish("ord", _changed(order, status="FILLED", filled="100.0", avg=order.px, ts=now))
            node.publish("fill", p.Fill(
                coid=order.coid, trade=f"T-{setup}", ins=ins, setup=setup, px=f"{price:.4f}", qty="100.0",
                side=side, liq="maker", fee="0.02", ccy="USDT", ts=now, i=number,
            ))  # fmt: skip
            held = p.PositionView(
                ins=ins, setup=setup, side="long" if zone.side > 0 else "short", qty="100.0",
                avg=f"{price:.4f}", rpnl="0", since=now, upnl="1.25", r=0.4, stop=f"{zone.stop}",
                targets=[f"{zone.targets[0]}"],
            )  # fmt: skip
            node.publish("pos", held)
            self._held.append(held)
        else:
            self._resting.append(order)

    def _end_oldest(self) -> None:
        """Take the oldest entry back, and close the oldest position, where there are many."""
        if len(self._resting) > LIVING:
            self._node.publish("ord", _changed(self._resting.popleft(), status="CANCELED", ts=now_ms()))
        if len(self._held) > LIVING:
            self._node.publish("pos", _changed(self._held.popleft(), side="flat", qty="0"))

    def second(self) -> None:
        """Tell what is told once a second."""
        now = now_ms()
        self._node.publish("lat", p.Latency(
            feed_ms=(12.0, 40.0), decision_us=(90.0, 310.0), ack_ms=(18.0, 60.0), loop_lag_ms=0.4,
            last_tick_age_ms=30.0,
        ))  # fmt: skip
        self._node.publish("acct", p.Account(
            ts=now, equity="10012.40", day_pnl="12.40", dd_pct=0.8, fees="1.10",
            balances={"USDT": ("9912.40", "100.00")},
            closed={"USDT": p.ClosedTrades(n=3, pnl="12.40", r=1.37)},
        ))  # fmt: skip
        self._node.publish("risk", p.Risk(limits=[p.Limit(name="day_loss_pct", used=0.4, limit=3.0)]))


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def play(market: Market, rate: float, until: threading.Event) -> None:
    """Tell of `rate` changes a second until told to stop."""
    next_s = told_s = time.monotonic()
    while not until.is_set():
        market.develop()
        if (now_s := time.monotonic()) - told_s >= 1:
            told_s = now_s
            market.second()
        next_s += 1 / rate
        until.wait(max(0.0, next_s - time.monotonic()))


def main() -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/live/paper"))
    parser.add_argument("--mode", choices=("paper", "live"), default="paper")
    parser.add_argument("--rate", type=float, default=50.0, help="changes a second")
    parser.add_argument("--history", type=int, default=1500, help="buckets of each instrument")
    arguments = parser.parse_args()
    until = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: until.set())
    with FakeNode(arguments.folder, arguments.mode) as node:
        market = Market(node)
        market.history(arguments.history)
        market.second()
        play(market, arguments.rate, until)


if __name__ == "__main__":
    main()
