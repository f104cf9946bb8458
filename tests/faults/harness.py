"""A whole node as a process against the local exchange: start, watch, stop or kill it, and compare all books.

>>> with running_venue("binance_usdm") as venue, LiveNode(venue, folder) as node:  # doctest: +SKIP
...     node.start()
...     node.enter()
...     venue.fill_entry()
...     wait("a stop rests", lambda: venue.legs() == ["S", "T"])
...     books_agree(node, venue)
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from runtime.live.commands import new_command
from runtime.live.ctl import NodeUnreachable, send_command, socket_path
from runtime.live.plan import effective_config, plan_live
from runtime.settings import load_settings
from tests.faults.kinds import KINDS, PRICE, Kind
from tests.faults.node import added_strategies
from tests.paper_demo import write_settings
from tests.venue_simulator.process import VenueProcess

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECS: Final = 300.0  # the first one compiles kernels
WAIT_SECS: Final = 120.0
POLL_SECS: Final = 0.2
NANOS: Final = 1_000_000_000
PULSE_SECS: Final = 0.4
ARM_SECS: Final = 5.0

ARM, CANCEL, ENTRY, STOP, TARGET = "50010", "50020", "49900", "49000", "51000"
QTY: Final = Decimal("0.1")
OWN_TAGS: Final = frozenset({"SCR", "OTE"})
OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "UNTRIGGERED", "TRIGGERED"})

type Row = dict[str, Any]


def wait(what: str, found: Callable[[], Any], secs: float = WAIT_SECS) -> Any:
    """Wait until something is found and return it; fail with its name."""
    end = time.monotonic() + secs
    while not (result := found()):
        if time.monotonic() >= end:
            raise AssertionError(f"never within {secs:g} s: {what}")
        time.sleep(POLL_SECS)
    return result


# -- the venue -----------------------------------------------------------------------------------------


class FaultVenue(VenueProcess):
    """The local exchange with one account, in the words of the matrix.

    Parameters
    ----------
    kind
        Which.
    """

    def __init__(self, kind: Kind, *arguments: str) -> None:
        super().__init__(*kind.arguments(), *arguments)
        self.kind = kind
        self._pulse: threading.Thread | None = None
        self._beats = threading.Event()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        super().__enter__()
        self.print_trade(PRICE)
        self._pulse = threading.Thread(target=self._beat, daemon=True)
        self._beats.set()
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._beats.set()
        if self._pulse is not None:
            self._pulse.join()
        super().__exit__(kind, error, trace)

    def _beat(self) -> None:
        """Print a small trade a few times a second, so that the market is not silent."""
        while not self._over.is_set():
            self._beats.wait()
            with suppress(Exception):  # a test ends the venue when it likes
                self.print_trade(self.price, "0.001")
            self._over.wait(PULSE_SECS)

    price: str = PRICE

    def pause_pulse(self) -> None:
        """Let the market be silent."""
        self._beats.clear()

    def resume_pulse(self, price: str = PRICE) -> None:
        """Let small trades come again, at a price."""
        self.price = price
        self._beats.set()

    # -- trades --------------------------------------------------------------------------------------------

    def print_trade(self, price: str, qty: str = "1", side: str = "SELL") -> Row:
        """Print a public trade."""
        return self.trade(self.kind.market, side, qty, price)

    def arm(self) -> None:
        """Print the trade that opens a setup."""
        self.print_trade(ARM, "0.001", "BUY")

    def ask_cancel(self) -> Row:
        """Print the trade at which the strategy takes its entry back."""
        return self.print_trade(CANCEL, "0.001", "BUY")

    def fill_entry(self, qty: str = "1") -> None:
        """Print a trade below the entry, of so much."""
        self.print_trade("49899", qty)

    def hit_stop(self) -> None:
        """Print trades below the stop."""
        self.price = "48990"
        self.print_trade("48990")

    def hit_target(self) -> None:
        """Print trades above the target; on spot the target is an order only from then on."""
        self.price = "51001"
        self.print_trade("51001", side="BUY")

    # -- records -------------------------------------------------------------------------------------------

    def records(self) -> Row:
        """Return the venue's own records."""
        return self.state(self.kind.simulator)

    def orders(self, *, is_open: bool = False) -> list[Row]:
        """Return the orders that reached the venue, oldest first."""
        found = self.records()["orders"]
        return [one for one in found if one["status"] in OPEN] if is_open else found

    def legs(self) -> list[str]:
        """Return the letters of the legs of our open orders, sorted."""
        return sorted(leg_of(one["client_id"]) for one in self.orders(is_open=True))

    def is_resting(self, leg: str, qty: Decimal | None = None) -> bool:
        """Tell whether an order of a leg is open, of a size."""
        return any(
            leg_of(one["client_id"]) == leg and (qty is None or Decimal(one["qty"]) == qty)
            for one in self.orders(is_open=True)
        )

    coins_of_others = Decimal(0)

    def give_coins(self, amount: str) -> None:
        """Put coins into the spot account that are somebody else's."""
        self.ctl("balance", asset="BTC", amount=amount)
        self.coins_of_others += Decimal(amount)

    def held_qty(self, state: Row | None = None) -> Decimal:
        """Return the position, on spot the coins without those of others."""
        account = (state or self.records())["accounts"]["main"]
        if self.kind.is_spot:
            coins = account["balances"].get("BTC", {"free": "0", "locked": "0"})
            return Decimal(coins["free"]) + Decimal(coins["locked"]) - self.coins_of_others
        found = account["positions"].get(self.kind.market)
        return Decimal(0) if found is None else Decimal(found["qty"])

    def is_flat(self) -> bool:
        """Tell whether nothing that could be sold is held."""
        return abs(self.held_qty()) <= self.kind.dust

    def now_ns(self) -> int:
        """Return the venue's time."""
        return int(self.records()["now_ns"])

    def sent_since(self, ts_ns: int, *, until_ns: int | None = None) -> list[Row]:
        """Return the requests that placed orders from a time on, UNIX nanoseconds of the venue."""
        return [
            one
            for one in self.records()["requests"]
            if one["ts_ns"] >= ts_ns
            and (until_ns is None or one["ts_ns"] < until_ns)
            and is_placement(one["endpoint"])
        ]


def leg_of(client_id: str) -> str:
    """Return the letter of the leg of an order of ours, else the id."""
    last = client_id.rpartition("-")[2]
    return last[0] if is_own(client_id) and len(last) > 1 else client_id


def is_own(client_id: str) -> bool:
    """Tell whether an id is one of our strategies'."""
    return client_id.split("-")[0] in OWN_TAGS


def is_placement(endpoint: str) -> bool:
    """Tell whether a request makes an order."""
    return endpoint in {
        "POST /api/v3/order",
        "POST /fapi/v1/order",
        "POST /fapi/v1/algoOrder",
        "WS order.create",
        "WS order.place",
        "POST /v5/order/create",
    }


@contextmanager
def running_venue(name: str, *arguments: str) -> Iterator[FaultVenue]:
    """Run a local exchange of a kind of accounts."""
    with FaultVenue(KINDS[name], *arguments) as venue:
        yield venue


# -- the node ------------------------------------------------------------------------------------------


class LiveNode:
    """``live_node.py`` in a process of its own, as often as it is started; trades live unless told otherwise.

    Parameters
    ----------
    venue
        Where it trades.
    folder
        For settings, state, journal and logs.
    live
        Further entries of section `live`.
    strategy
        Further parameters of the strategy; ``strategy`` itself names another one.
    settings
        Further sections.
    environment
        Further variables.
    mode
        Of the node; on paper the venue sees no order.
    words
        Further words of its command line.
    """

    def __init__(
        self,
        venue: FaultVenue,
        folder: Path,
        *,
        live: Mapping[str, Any] | None = None,
        strategy: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        mode: Literal["live", "paper"] = "live",
        words: Sequence[str] = (),
    ) -> None:
        self.venue, self.folder, self.mode = venue, folder, mode
        self._words = tuple(words)
        self.journal = folder / "journal.sqlite"
        self.starts = 0
        self.launched_ns = 0
        self.worst_unprotected_secs = 0.0
        self.violations = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment or {})
        content: dict[str, Any] = {
            "journal": {"url": f"sqlite:///{self.journal}", "spool": str(folder / "spool")},
            "live": {
                "folder": str(folder),
                "venues": [venue.kind.account(venue)],
                "recording": {"enabled": False},
                "min_disk_mb": 1,
                **(live or {}),
            },
            "strategies": [
                {"strategy": "scripted", "instruments": [venue.kind.instrument_id], **(strategy or {})}
            ],
            **(settings or {}),
        }
        self.file = write_settings(content, folder / "config.yaml")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # -- process -------------------------------------------------------------------------------------------

    @property
    def words(self) -> str:
        """Return what the process of now wrote to stderr, but for the small talk of its log."""
        file = self.folder / f"stderr{self.starts}.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        return "\n".join(one for one in lines if '"level": "info"' not in one)

    @property
    def process_id(self) -> int:
        """Return the id of the process of now."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def config_sha256(self) -> str:
        """Return the hash that a person approves."""
        with added_strategies():
            plan = plan_live(load_settings(str(self.file)), self.mode, str(self.file))
            return str(effective_config(plan)["config_sha256"])

    def launch(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process and wait for nothing."""
        assert not self.is_running
        self.starts += 1
        shared = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
        shared |= self.venue.kind.environment() | self._environment | dict(environment or {})
        command = [
            sys.executable,
            "-m",
            "tests.faults.node",
            "run",
            "--mode",
            self.mode,
            "--config",
            str(self.file),
            *self._words,
        ]
        if self.mode == "live":
            command += ["--live-approved", self.config_sha256()]
        with (self.folder / f"stderr{self.starts}.txt").open("wb") as stream:
            self.launched_ns = time.time_ns()
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=shared, stdout=subprocess.DEVNULL, stderr=stream
            )

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the process and wait until entries may go out."""
        self.launch(environment)
        self.wait_open()

    def wait_open(self, secs: float = START_SECS) -> None:
        """Wait until the node trades and nothing holds entries."""
        self.wait("entries are free", self._is_open, secs)

    def _is_open(self) -> bool:
        desk = self.desk()
        return bool(desk) and not desk["held"] and not desk["halted"]

    def stop(self) -> int:
        """End the process in order and return its exit code."""
        assert self._process is not None
        self.look()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WAIT_SECS)

    def kill(self) -> None:
        """End the process by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait_end(self, secs: float = WAIT_SECS) -> int:
        """Wait until the process ends by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait(secs)

    def wait(self, what: str, found: Callable[[], Any], secs: float = WAIT_SECS) -> Any:
        """Wait for something while the node lives."""

        def look() -> Any:
            assert self.is_running, f"the node ended before: {what}\n{self.words}"
            return found()

        return wait(what, look, secs)

    # -- what it says --------------------------------------------------------------------------------------

    def command(self, action: str, **args: Any) -> Any:
        """Send a command to the node and return its answer."""
        command = new_command(action, "tests", args, now_ns=time.time_ns())
        return send_command(socket_path(self.folder, self.mode), command)

    def status(self) -> Row:
        """Return the facts of ``ctl status``; empty while no node listens."""
        try:
            return dict(self.command("status").detail)
        except NodeUnreachable:
            return {}

    def desk(self) -> Row:
        """Return the facts of the desk; empty while no node listens."""
        desks = self.status().get("desks") or [{}]
        return dict(desks[0])

    def look(self) -> Row:
        """Take down what the watchdog measured so far, and return it."""
        report = self.status().get("unprotected") or {}
        longest = max(report.get("longest_secs", {}).values(), default=0.0)
        self.worst_unprotected_secs = max(self.worst_unprotected_secs, longest)
        self.violations = max(self.violations, int(report.get("violations", 0)))
        return dict(report)

    def rows(self, query: str, *values: Any) -> list[Row]:
        """Ask the journal, which may not be there yet."""
        if not self.journal.exists():
            return []
        connection = sqlite3.connect(f"{self.journal.as_uri()}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(one) for one in connection.execute(query, values)]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []
        finally:
            connection.close()

    def decisions(self, *kinds: str) -> list[Row]:
        """Return the journaled decisions of some kinds, oldest first."""
        marks = ",".join("?" * len(kinds))
        return self.rows(f"SELECT * FROM decisions WHERE kind IN ({marks}) ORDER BY ts_ns, seq", *kinds)

    # -- script --------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Let the strategy open a setup, and wait until its entry rests at the venue."""
        next_arm = 0.0

        def rests() -> bool:
            nonlocal next_arm
            if time.monotonic() >= next_arm:  # the node may not hear the market yet when it is open
                self.venue.arm()
                next_arm = time.monotonic() + ARM_SECS
            return self.venue.is_resting("E")

        self.wait("the entry rests", rests)

    def enter_and_fill(self) -> None:
        """Open a setup, fill its entry, and wait until all of it is protected."""
        self.enter()
        self.venue.fill_entry()
        self.wait_protected()

    def wait_protected(self, secs: float = WAIT_SECS) -> None:
        """Wait until the venue's stops cover what the venue says is held."""
        self.wait("stops cover the position", lambda: is_covered(self.venue), secs)


def is_covered(venue: FaultVenue) -> bool:
    """Tell whether something is held at the venue and open stops cover all of it."""
    state = venue.records()
    signed = venue.held_qty(state)
    held, way_out = abs(signed), "SELL" if signed > 0 else "BUY"
    stops = sum(
        (Decimal(one["qty"]) - Decimal(one["filled_qty"])
         for one in state["orders"]
         if one["status"] in OPEN and "STOP" in one["type"] and one["side"] == way_out),
        Decimal(0),
    )  # fmt: skip
    return held > venue.kind.dust and stops >= held - venue.kind.dust


def named(rows: Sequence[Row], name: str) -> list[Any]:
    """Return one field of rows."""
    return [one[name] for one in rows]


def details(rows: Sequence[Row]) -> list[Row]:
    """Return the field `detail` of rows, decoded."""
    return [json.loads(one["detail"] or "{}") for one in rows]
