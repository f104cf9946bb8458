"""`live_node.py` with times noted: where a trade is, when its cancel leaves, how far the node is behind.

A child of the benchmarks. Times are UNIX nanoseconds; every row is one line of JSON in ``$PROBE_FILE``,
written when the node ends (stamps of the start at once).
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

STARTED_NS = int(os.environ.get("PROBE_STARTED_NS", "0"))
SAMPLE_SECS = 0.05
HEARS_FIRST = 10
ROWS: list[dict[str, Any]] = []
now_ns = time.time_ns


def note(kind: str, **fields: Any) -> None:
    """Keep a row."""
    ROWS.append({"kind": kind, **fields})


def stamp(name: str) -> None:
    """Note a moment of the start, at once: the node may be killed."""
    row = {"kind": "start", "name": name, "ms": (now_ns() - STARTED_NS) / 1e6}
    with open(os.environ["PROBE_FILE"], "a", encoding="utf-8") as file:  # noqa: PTH123 - before any import
        file.write(json.dumps(row) + "\n")


def write() -> None:
    """Write the rows."""
    with open(os.environ["PROBE_FILE"], "a", encoding="utf-8") as file:  # noqa: PTH123
        file.writelines(json.dumps(row) + "\n" for row in ROWS)


def stamped(owner: Any, name: str, label: str) -> None:
    """Note when a function or coroutine of the start returned."""
    method = getattr(owner, name)

    if asyncio.iscoroutinefunction(method):

        async def wait(*words: Any, **named: Any) -> Any:
            try:
                return await method(*words, **named)
            finally:
                stamp(label)

        setattr(owner, name, wait)
        return

    def call(*words: Any, **named: Any) -> Any:
        try:
            return method(*words, **named)
        finally:
            stamp(label)

    setattr(owner, name, call)


class Way:
    """The way of a cancel: the trade that is being handled, and the orders whose cancel is under way."""

    trade: Any = None
    begun_ns: int = 0  # processor time of the loop's thread when its handling began


def watch_strategy() -> None:
    """Note the trade that a strategy handles when it cancels."""
    from strategies.ote import OteStrategy

    make = OteStrategy.make_trade_handler

    def make_trade_handler(self: Any) -> Callable[[Any], None]:
        take = make(self)

        if os.environ.get("PROBE_EMPTY"):  # what is left is Nautilus, its adapter, and what is around it
            return lambda _tick: None

        def take_trade(tick: Any) -> None:
            Way.trade, Way.begun_ns = tick, time.thread_time_ns()
            take(tick)
            Way.trade = None

        return take_trade

    def cancel_order(self: Any, order: Any, *words: Any, **named: Any) -> Any:
        tick = Way.trade
        asked_ns = now_ns()
        note(
            "cancel",
            id=order.client_order_id.value,
            trade_ns=0 if tick is None else tick.ts_event,
            received_ns=0 if tick is None else tick.ts_init,
            decided_ns=asked_ns,
            handled_cpu_ns=time.thread_time_ns() - Way.begun_ns,
            decided_cpu_ns=time.thread_time_ns(),
        )
        return super(OteStrategy, self).cancel_order(order, *words, **named)

    OteStrategy.make_trade_handler = make_trade_handler  # type: ignore[method-assign]
    OteStrategy.cancel_order = cancel_order


def watch_binance() -> None:
    """Note when a request is handed to the HTTP client, and when its answer is back."""
    from nautilus_trader.adapters.binance.http.client import BinanceHttpClient

    send = BinanceHttpClient.send_request

    async def send_request(self: Any, http_method: Any, url_path: str, *words: Any, **named: Any) -> Any:
        payload = named.get("payload") or (words[0] if words else None) or {}
        order_id = payload.get("origClientOrderId") or payload.get("clientAlgoId")
        order_id = order_id or payload.get("newClientOrderId") or ""
        sent_ns, cpu_ns = now_ns(), time.thread_time_ns()
        try:
            return await send(self, http_method, url_path, *words, **named)
        finally:
            if order_id:
                times = {"sent_ns": sent_ns, "answered_ns": now_ns(), "sent_cpu_ns": cpu_ns}
                note("request", id=order_id, method=str(http_method), **times)

    BinanceHttpClient.send_request = send_request


def watch_node() -> None:
    """Note order events, and every 50 ms how far the node is behind the newest trade."""
    from runtime.live import session

    make = session.make_node

    def make_node(plan: Any, folder: Any, loop: Any, *words: Any, **named: Any) -> Any:
        node = make(plan, folder, loop, *words, **named)
        stamp("node built")
        kernel = node.kernel
        for name, label in (
            ("_await_engines_connected", "connected"),
            ("_await_execution_reconciliation", "reconciled"),
            ("_await_portfolio_initialization", "portfolio"),
        ):
            if hasattr(type(kernel), name):
                stamped(kernel, name, label)

        def on_order(event: Any) -> None:
            note(
                "event",
                name=type(event).__name__,
                id=event.client_order_id.value,
                ts_event=event.ts_event,
                heard_ns=now_ns(),
            )

        # Before the strategies: what they do about an acknowledgement comes after it was heard.
        kernel.msgbus.subscribe(topic="events.order.*", handler=on_order, priority=HEARS_FIRST)
        loop.create_task(sample(kernel, plan.instruments))
        return node

    session.make_node = make_node


async def sample(kernel: Any, names: Any) -> None:
    """Note processor time, trades handled, what waits, and the age of the newest trade."""
    from nautilus_trader.model.identifiers import InstrumentId

    ids = [InstrumentId.from_str(name) for name in names]
    while True:
        await asyncio.sleep(SAMPLE_SECS)
        ticks = [tick for tick in map(kernel.cache.trade_tick, ids) if tick is not None]
        newest = max((tick.ts_event for tick in ticks), default=0)
        note(
            "sample",
            ns=now_ns(),
            cpu_s=time.process_time(),
            thread_s=time.thread_time(),
            trades=kernel.data_engine.data_count,
            waiting=kernel.data_engine.data_qsize(),
            newest_ns=newest,
        )


def main() -> int:
    """Watch, and run the node."""
    stamp("python")
    import live_node

    stamp("command line imported")
    words = sys.argv[1:]
    if "--check" not in words:
        import runtime.live.command as command
        import runtime.live.compiling as compiling

        stamped(command, "load_settings", "settings read")
        stamped(command, "plan_live", "planned")
        stamped(command.Preflight, "run", "checked")
        stamped(compiling, "ensure_compiled", "kernels compiled")
        watch_strategy()
        watch_binance()
        watch_node()
        stamp("probe in place")
    try:
        return live_node.main(words)
    finally:
        write()


if __name__ == "__main__":
    sys.exit(main())
