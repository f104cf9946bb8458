"""The confluence strategy on paper, on many symbols, against the local exchange with a tape of real klines.

``python -m tests.paper_confluence --klines FOLDER`` starts both, waits for the warm-up, trades for some
minutes, stops the node, replays its recording, runs an ordinary backtest over the recorded bars, and prints
what was measured and how the three compare as one JSON object.

At speed 5 the bars of five minutes are bars of one minute on the clock, and the strategy's timeframes are a
fifth: the same bars, in a fifth of the time.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from runtime.live.recording_files import RowKind, read_rows
from tests.paper_demo import demo_hosts, write_settings
from tests.recorded_bars import make_catalog, traded_from_ns
from tests.venue_simulator.process import VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
VENUE: Final = "binance_usdm"
DAY_SECS: Final = 86_400
# A little more than the 152 bars of four hours that the warm-up reads.
HISTORY_DAYS: Final = 27
BAR_SECS: Final = 300
TIMEFRAMES: Final = {"ltf_secs": BAR_SECS, "mtf_secs": 900, "htf_secs": 14_400}
# Trades that the tape makes of a bar: one in five seconds of it.
PRINTS: Final = 61
STOP_SECS: Final = 180
COMPLETE: Final = re.compile(r"warm-up complete: (\d+) close times")
# Far more signals than anybody would trade, so that half an hour has many decisions.
EASY: Final = {
    "min_confidence": 35,
    "record_from": 20,
    "max_positions": 15,
    "max_correlation": 0.95,
    "max_volume_pct": 0.5,
}
# So much that what the market bears makes the sizes, and not what fills have made of the account: live they
# are those of prints, in a backtest those of bars.
BALANCE: Final = 50_000_000


SIGNALS: Final = ("signal_taken", "signal_skipped")
# What ends a setup, and with it what is held.
ENDS: Final = ("position_closed", "entry_cancelled", "entry_rejected", "entry_refused", "expired")
# What a bar proposes, and what becomes of it.
PROPOSED: Final = ("side", "price", "stop", "target")
DECIDED: Final = ("kind", "reason", "qty")
# Why a signal is skipped for what the account holds (`strategies.portfolio`): nothing else of another
# account may decide otherwise.
FOR_HOLDINGS: Final = {"in_position", "max_positions", "correlated"}
# The share of signals that must meet equal accounts, or the comparison says too little.
COMPARABLE: Final = 0.75


class Decision(NamedTuple):
    """What journal, recording and backtest say of a decision."""

    ts_ns: int
    instrument_id: str
    kind: str
    side: str
    reason: str
    price: str
    stop: str
    target: str
    qty: str


class PaperRun:
    """A paper node on a local exchange.

    Parameters
    ----------
    venue
        The exchange, with its tape.
    folder
        Receives settings, state, journal, logs and recording.
    instruments
        Nautilus ids.
    parameters
        Of the strategy, besides `EASY`.
    speed
        Of the tape.
    words
        Further ones of the node's command line.
    """

    def __init__(
        self,
        venue: VenueProcess,
        folder: Path,
        instruments: Sequence[str],
        parameters: dict[str, Any],
        speed: int = 1,
        words: Sequence[str] = (),
    ) -> None:
        self.venue, self.folder, self.speed = venue, folder, speed
        self.measured: dict[str, Any] = {"instruments": len(instruments), "speed": speed}
        timeframes = {name: secs // speed for name, secs in TIMEFRAMES.items()}
        settings = {
            "journal": {"url": f"sqlite:///{folder / 'journal.sqlite'}", "spool": str(folder / "spool")},
            "live": {
                "folder": str(folder),
                "venues": [{"venue": "binance", "market": "usdm", "hosts": demo_hosts(venue, VENUE)}],
                # Trades come every few seconds, and of entered instruments alone: silence says nothing.
                "data": {"stale_secs": 0},
                # A coin that nobody trades prints nothing for minutes; a backtest enters it all the same.
                "paper": {"market_wait_secs": 120, "balance": BALANCE},
            },
            "backtest": {"runs": str(folder / "runs"), "leverage": 10.0, "balance": BALANCE},
            "strategies": [
                {
                    "strategy": "confluence",
                    "instruments": list(instruments),
                    **timeframes,
                    **EASY,
                    **parameters,
                }
            ],
        }
        self._file = write_settings(settings, folder / "config.yaml")
        self._words = words
        self._node: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self) -> None:
        """Start the node."""
        environment = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
        self._began = time.monotonic()
        with (self.folder / "node.txt").open("wb") as stream:
            self._node = subprocess.Popen(
                [
                    sys.executable,
                    "live_node.py",
                    "--mode",
                    "paper",
                    "--config",
                    str(self._file),
                    *self._words,
                ],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )

    def wait_until_warm(self, longest_secs: float) -> None:
        """Wait for the end of the warm-up and note how long it took and what it asked of the venue.

        Raises
        ------
        RuntimeError
            When the node ends, or time does.
        """
        while (found := COMPLETE.search(self._log())) is None:
            self._require_running()
            if self.secs > longest_secs:
                raise RuntimeError(f"not warm after {longest_secs:g} s: {self._log()[-2000:]}")
            time.sleep(0.5)
        state = self.venue.state(VENUE)
        self.measured |= {
            "warm_after_secs": round(self.secs, 1),
            "close_times": int(found[1]),
            "requests": sum(state["request_counts"].values()),
            "klines_requests": state["request_counts"].get("GET /fapi/v1/klines", 0),
        }
        self.note_weight()

    def trade(self, secs: float) -> None:
        """Let it trade for so many seconds, and watch its memory."""
        until, least, most = time.monotonic() + secs, 0.0, 0.0
        while time.monotonic() < until:
            self._require_running()
            size = self.memory_mb()
            least, most = least or size, max(most, size)
            time.sleep(min(5.0, max(0.1, until - time.monotonic())))
        self.measured |= {"traded_secs": secs, "memory_mb": round(least), "memory_most_mb": round(most)}

    def stop(self) -> int:
        """End the node by SIGTERM and return its exit code."""
        self.note_weight()
        assert self._node is not None
        self._node.send_signal(signal.SIGTERM)
        return self._node.wait(STOP_SECS)

    def kill(self) -> None:
        """End the node whatever it does."""
        if self._node is not None:
            self._node.kill()
            self._node.wait()

    @property
    def secs(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def memory_mb(self) -> float:
        """Return the resident memory of the node, MB."""
        assert self._node is not None
        with suppress(OSError):
            pages = int(Path(f"/proc/{self._node.pid}/statm").read_text(encoding="ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return 0.0

    def note_weight(self) -> None:
        """Note the most weight that the venue counted within a minute, and what it refused."""
        window = self.venue.state(VENUE)["limits"]["weight_1m"]
        self.measured["weight"] = {name: window[name] for name in ("limit", "most", "refused")}

    @property
    def recording(self) -> Path:
        """Return the folder of the newest recording."""
        return max((self.folder / "paper" / "recordings").iterdir())

    def decisions(self) -> list[Decision]:
        """Return the decisions in the journal, in order."""
        connection = sqlite3.connect(f"{(self.folder / 'journal.sqlite').as_uri()}?mode=ro", uri=True)
        try:
            names = ", ".join(f"coalesce({one}, '')" if one != "ts_ns" else one for one in Decision._fields)
            return list(
                map(Decision._make, connection.execute(f"SELECT {names} FROM decisions ORDER BY rowid"))
            )
        finally:
            connection.close()

    def recorded(self) -> list[Decision]:
        """Return the decisions in the recording, in order."""
        rows = read_rows(self.recording)
        return [decision_of(msgspec.json.decode(row[4])) for row in rows if row[2] is RowKind.DECISION]

    def backtest(self, from_ns: int) -> tuple[list[Decision], dict[str, Any]]:
        """Run an ordinary backtest over the recorded bars, that enters nothing before a time.

        Returns
        -------
        tuple
            Its decisions and its summary.
        """
        catalog = self.folder / "catalog"
        shutil.rmtree(catalog, ignore_errors=True)
        self.measured["bars"] = make_catalog(self.recording, catalog, BAR_SECS // self.speed)
        start = datetime.fromtimestamp(from_ns / 1e9, UTC).isoformat()
        where = ("--config", str(self._file), "--catalog", str(catalog), "--start", start)
        summary = printed("run", *where, "--json")
        events = (Path(summary["run_dir"]) / "events.jsonl").read_bytes().splitlines()
        lines = (json.loads(line) for line in events if line.startswith(b'{"record":"decision"'))
        return [decision_of(line) for line in lines], summary

    def _log(self) -> str:
        found = ((self.folder / "paper" / "logs") / name for name in ("node.jsonl", "nautilus.log"))
        return "".join(one.read_text(encoding="utf-8") for one in found if one.exists())

    def _require_running(self) -> None:
        if self._node is None or self._node.poll() is not None:
            raise RuntimeError(f"the node ended: {(self.folder / 'node.txt').read_text(encoding='utf-8')}")


def printed(*command: str) -> dict[str, Any]:
    """Return what a command of `backtest_node.py` prints as JSON."""
    environment = {**os.environ, "SMCBOT_JOURNAL_URL": "off"}
    done = subprocess.run(
        [sys.executable, "backtest_node.py", *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replayed(recording: Path) -> dict[str, Any]:
    """Return what `backtest_node.py replay --json` says of a recording."""
    began = time.monotonic()
    found = printed("replay", str(recording), "--json")
    return found | {"replay_secs": round(time.monotonic() - began, 1)}


def decision_of(plain: dict[str, Any]) -> Decision:
    """Return a decision out of its record."""
    return Decision(*(plain.get(name, "") for name in Decision._fields))


def signals_of(decisions: Iterable[Decision], from_ns: int = 0) -> dict[tuple[int, str], Decision]:
    """Return the signals among decisions, from a time on, by close time and instrument."""
    return {
        (one.ts_ns, one.instrument_id): one
        for one in decisions
        if one.kind in SIGNALS and one.ts_ns >= from_ns
    }


def held_at(decisions: Iterable[Decision], from_ns: int = 0) -> dict[tuple[int, str], frozenset[str]]:
    """Return by signal what the account held when it was decided, entries that were sent included."""
    held: set[str] = set()
    found: dict[tuple[int, str], frozenset[str]] = {}
    for one in decisions:
        if one.kind in SIGNALS and one.ts_ns >= from_ns:
            found[one.ts_ns, one.instrument_id] = frozenset(held)
        if one.kind == "signal_taken":
            held.add(one.instrument_id)
        elif one.kind in ENDS:
            held.discard(one.instrument_id)
    return found


def compared(live: Sequence[Decision], history: Sequence[Decision], from_ns: int) -> dict[str, Any]:
    """Return how the signals of a session and of a backtest of its bars differ.

    What a bar proposes must be the same, always. Whether it was taken, and its size, must be the same
    wherever both accounts held the same: prints and bars fill a stop or a target that the market just
    touched at different times, and a signal meets another account then (``of_other_holdings``). Such a
    signal may be decided otherwise for what is held alone; anything else is ``different_unexplained``. The
    replay, which is given the recorded fills, must decide all of them alike.
    """
    signals, others = signals_of(live, from_ns), signals_of(history, from_ns)
    held, held_others = held_at(live, from_ns), held_at(history, from_ns)
    both = sorted(signals.keys() & others.keys())
    alike = [key for key in both if held[key] == held_others[key]]

    def differing(name: str, keys: Iterable[tuple[int, str]]) -> list[str]:
        return [
            f"{key[0]} {key[1]}: {getattr(signals[key], name)} live, {getattr(others[key], name)} in history"
            for key in keys
            if getattr(signals[key], name) != getattr(others[key], name)
        ]

    def is_unexplained(key: tuple[int, str]) -> bool:
        one, other = signals[key], others[key]
        if one.kind == other.kind == "signal_taken":
            return one.qty != other.qty
        return (one.kind, one.reason) != (other.kind, other.reason) and not (
            {one.reason, other.reason} & FOR_HOLDINGS
        )

    unlike = [key for key in both if held[key] != held_others[key]]
    return {
        "signals_live": len(signals),
        "signals_history": len(others),
        "in_one_alone": [f"{ts_ns} {name}" for ts_ns, name in sorted(signals.keys() ^ others.keys())],
        **{f"different_{name}": differing(name, both) for name in PROPOSED},
        "signals_of_same_holdings": len(alike),
        **{f"different_{name}": differing(name, alike) for name in DECIDED},
        "of_other_holdings": {name: differing(name, unlike) for name in DECIDED},
        "different_unexplained": [
            f"{ts_ns} {name}" for ts_ns, name in unlike if is_unexplained((ts_ns, name))
        ],
    }


def is_alike(found: dict[str, Any]) -> bool:
    """Tell if a comparison found no difference, and compared enough to say so."""
    return not any(
        value for name, value in found.items() if name.startswith(("different_", "in_one"))
    ) and found["signals_of_same_holdings"] >= COMPARABLE * max(1, found["signals_live"])


def tape_arguments(klines: Path, first: str, end: str, speed: int = 1) -> tuple[str, ...]:
    """Return the arguments of the local exchange for a folder of klines of five minutes."""
    span = ("--first", first, "--end", end, "--history-secs", str(HISTORY_DAYS * DAY_SECS))
    pace = ("--speed", str(speed), "--prints", str(PRINTS))
    return ("--venues", VENUE, "--tape", str(klines), *span, *pace)


def verdict(run: PaperRun) -> bool:
    """Compare journal, recording, replay and backtest of a run that has ended; tell if all agree."""
    journal, recorded = run.decisions(), run.recorded()
    from_ns = traded_from_ns(run.recording)
    history, summary = run.backtest(from_ns)
    live = signals_of(recorded, from_ns)
    found = compared(recorded, history, from_ns)
    replay = replayed(run.recording)
    run.measured |= {
        "decisions": dict(Counter(one.kind for one in recorded)),
        "reasons": dict(Counter(one.reason for one in live.values() if one.kind == "signal_skipped")),
        "journal_equals_recording": journal == recorded,
        "replay": replay,
        "history": found,
        "history_positions_closed": summary["positions_closed"],
    }
    return bool(journal == recorded and replay["equal"] and is_alike(found))


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print what was measured; 0 where journal, recording, replay and backtest agree."""
    parser = argparse.ArgumentParser(prog="python -m tests.paper_confluence", description=__doc__)
    parser.add_argument("--klines", type=Path, required=True, help="folder of SYMBOL.parquet, 5m")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="to trade after the warm-up, on the clock"
    )
    parser.add_argument("--speed", type=int, choices=(1, 5), default=1, help="minutes of the tape per minute")
    parser.add_argument("--first", default="2023-02-11T14:00", help="first time of the tape, UTC")
    parser.add_argument("--end", default="2023-03-11T18:00", help="its end")
    parser.add_argument("--folder", type=Path, default=Path("var/paper-confluence"))
    options = parser.parse_args(argv)
    names = [f"{one.stem}-PERP.BINANCE" for one in sorted(options.klines.glob("*.parquet"))]
    tape = tape_arguments(options.klines, options.first, options.end, options.speed)
    with VenueProcess(*tape) as venue:
        run = PaperRun(venue, options.folder.resolve(), names, {}, options.speed)
        run.start()
        try:
            run.wait_until_warm(1800)
            print(json.dumps(run.measured), file=sys.stderr, flush=True)
            run.trade(options.minutes * 60)
            run.measured["exit_code"] = run.stop()
        finally:
            run.kill()
    is_equal = verdict(run)
    print(json.dumps(run.measured, indent=1))
    return 0 if is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
