"""What a message to terminals costs the node's thread: a terminal reads, is stopped, or is not there.

| what | goal, median |
|---|---|
| a terminal reads | at most 20 us |
| it is stopped (SIGSTOP) and takes nothing | at most 10 us |
| nobody is there | at most 10 us |

Messages are a developing bucket, an order and a fill, as the node sends them; `publish` folds each into what
a newcomer is told, encodes and sends it. The peer is a bare `send` of the same bytes by pyzmq over a socket
of the same kind with the same listener. `order event` is the whole way of an order event of Nautilus, from
the order to the socket. A regression means that a terminal slows trading down.

    python benchmarks/bench_publish.py [--count 20000] [--json]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import zmq
from nautilus_trader.model.enums import order_side_to_str, order_type_to_str, time_in_force_to_str
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

from ui.endpoint import zmq_address
from ui.protocol import Developing, Fill, OrderView
from ui.telemetry import views
from ui.telemetry.publisher import WAITING, TelemetryPublisher

ROOT: Final = Path(__file__).resolve().parents[1]
GOALS: Final = {"alive": 20.0, "stopped": 10.0, "absent": 10.0}
COME_SECS: Final = 60.0
# Between two bursts, so that a terminal that reads keeps up as it does with a node.
BURST: Final = 20
PAUSE_SECS: Final = 0.002
NAME: Final = "XRPUSDT-PERP.BINANCE"


def messages() -> dict[str, Any]:
    """Return one payload of each kind."""
    return {
        "dev": msgspec.convert(made_of(Developing), Developing),
        "ord": msgspec.convert(made_of(OrderView) | {"side": "buy", "role": "entry"}, OrderView),
        "fill": msgspec.convert(made_of(Fill) | {"side": "buy", "liq": "maker"}, Fill),
    }


def made_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return values for all fields of a struct, of about the length that they have in a node."""
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.type is int:
            made[field.name] = 1_774_000_000_000
        elif field.type is float:
            made[field.name] = 1.2345678901
        elif field.type is str:
            made[field.name] = NAME
    return made


@contextmanager
def listening(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let a process of its own read from a socket."""
    command = [sys.executable, __file__, "--listen", str(path)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()


def listen(path: Path) -> None:
    """Read for ever."""
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(zmq_address(path))
    while True:
        socket.recv()


def timed(call: Callable[[], object], count: int, between: Callable[[], object]) -> dict[str, float]:
    """Return median and 99th percentile of a call, microseconds."""
    taken = np.empty(count)
    for number in range(count):
        begun = time.perf_counter_ns()
        call()
        taken[number] = time.perf_counter_ns() - begun
        if number % BURST == BURST - 1:
            between()
            time.sleep(PAUSE_SECS)
    median, p99 = np.quantile(taken, (0.5, 0.99)) / 1e3
    return {"median_us": round(float(median), 2), "p99_us": round(float(p99), 2)}


def measure_one(publisher: TelemetryPublisher, count: int) -> dict[str, dict[str, float]]:
    """Measure with the listener that is there."""

    def answer() -> None:
        publisher.answer_newcomers(1)

    found = {
        kind: timed(lambda kind=kind, one=one: publisher.publish(kind, one, 1), count, answer)  # type: ignore[misc]
        for kind, one in messages().items()
    }
    order = TestExecStubs.limit_order()

    def tell() -> None:
        view = views.order_view(
            order,
            side=order_side_to_str(order.side),
            kind=order_type_to_str(order.order_type),
            tif=time_in_force_to_str(order.time_in_force),
            status=order.status_string(),
            reason=None,
        )
        publisher.publish("ord", view, 1)

    return found | {"order event": timed(tell, count, answer)}


def measure_peer(path: Path, how: str, count: int) -> dict[str, float]:
    """Measure a bare send of the bytes of an order."""
    socket = zmq.Context().socket(zmq.XPUB)
    socket.setsockopt(zmq.SNDHWM, WAITING)
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(zmq_address(path))
    text = msgspec.msgpack.encode(("epoch", 1, 1, "ord", messages()["ord"]))

    def is_heard() -> bool:
        return bool(socket.poll(0)) and socket.recv()[:1] == b"\x01"

    with there(path, how, is_heard):
        return timed(lambda: socket.send(text, zmq.NOBLOCK), count, lambda: None)


@contextmanager
def there(path: Path, how: str, is_heard: Callable[[], bool]) -> Iterator[None]:
    """Have a listener as asked: alive, stopped or absent; wait until it has subscribed."""
    if how == "absent":
        yield
        return
    with listening(path) as child:
        by_s = time.monotonic() + COME_SECS
        while not is_heard():
            if time.monotonic() > by_s:
                raise RuntimeError("the listener did not come")
            time.sleep(PAUSE_SECS)
        if how == "stopped":
            child.send_signal(signal.SIGSTOP)
        yield


def measure(count: int) -> dict[str, Any]:
    """Measure all three."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for how in GOALS:
            path = Path(folder) / f"{how}.ipc"
            with (
                TelemetryPublisher(path) as publisher,
                there(path, how, partial(publisher.answer_newcomers, 1)),
            ):
                if how == "stopped":  # what it does not read fills the buffers first
                    for _ in range(4 * WAITING):
                        publisher.publish("ord", messages()["ord"], 1)
                figures[how] = measure_one(publisher, count)
            figures[how]["bare send (pyzmq)"] = measure_peer(Path(folder) / f"{how}-peer.ipc", how, count)
    return figures


def text(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = ["| terminal | message | median, us | p99, us | goal |", "|---|---|---:|---:|---|"]
    for how, found in figures.items():
        for what, one in found.items():
            goal = f"at most {GOALS[how]:g}" if what in messages() else ""
            lines.append(f"| {how} | {what} | {one['median_us']} | {one['p99_us']} | {goal} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print, as Markdown or as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000, help="messages of each kind (20000)")
    parser.add_argument("--listen", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.listen is not None:
        listen(arguments.listen)
        return 0
    figures = measure(arguments.count)
    print(json.dumps(figures) if arguments.json else text(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
