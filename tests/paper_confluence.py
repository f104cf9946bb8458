"""The confluence strategy on paper, on many symbols, against the local exchange with a tape of real klines.

``python -m tests.paper_confluence --klines FOLDER`` starts both, waits for the warm-up, trades for some
minutes, stops the node, replays its recording, and prints what was measured as one JSON object.
"""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.paper_demo import demo_hosts, write_settings
from tests.venue_simulator.process import VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
VENUE: Final = "binance_usdm"
DAY_SECS: Final = 86_400
# A little more than the 152 bars of four hours that the warm-up reads.
HISTORY_DAYS: Final = 27
STOP_SECS: Final = 180
COMPLETE: Final = re.compile(r"warm-up complete: (\d+) close times")
# Far more signals than anybody would trade, so that half an hour has many decisions.
EASY: Final = {"min_confidence": 30, "record_from": 20, "max_positions": 10, "max_correlation": 0.95}


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
    """

    def __init__(
        self, venue: VenueProcess, folder: Path, instruments: Sequence[str], parameters: dict[str, Any]
    ) -> None:
        self.venue, self.folder = venue, folder
        self.measured: dict[str, Any] = {"instruments": len(instruments)}
        settings = {
            "journal": {"url": f"sqlite:///{folder / 'journal.sqlite'}", "spool": str(folder / "spool")},
            "live": {
                "folder": str(folder),
                "venues": [{"venue": "binance", "market": "usdm", "hosts": demo_hosts(venue, VENUE)}],
                # Four trades make a bar of the tape: silence between them says nothing.
                "data": {"stale_secs": 0},
            },
            "strategies": [
                {"strategy": "confluence", "instruments": list(instruments), **EASY, **parameters}
            ],
        }
        self._file = write_settings(settings, folder / "config.yaml")
        self._node: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self) -> None:
        """Start the node."""
        environment = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
        self._began = time.monotonic()
        with (self.folder / "node.txt").open("wb") as stream:
            self._node = subprocess.Popen(
                [sys.executable, "live_node.py", "--mode", "paper", "--config", str(self._file)],
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
            "klines_requests": state["request_counts"].get("GET klines", 0),
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

    def decisions(self) -> list[tuple[int, str, str]]:
        """Return (time, instrument, kind) of the decisions in the journal, in order."""
        connection = sqlite3.connect(f"{(self.folder / 'journal.sqlite').as_uri()}?mode=ro", uri=True)
        try:
            query = "SELECT ts_ns, instrument_id, kind FROM decisions ORDER BY rowid"
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def _log(self) -> str:
        found = ((self.folder / "paper" / "logs") / name for name in ("node.jsonl", "nautilus.log"))
        return "".join(one.read_text(encoding="utf-8") for one in found if one.exists())

    def _require_running(self) -> None:
        if self._node is None or self._node.poll() is not None:
            raise RuntimeError(f"the node ended: {(self.folder / 'node.txt').read_text(encoding='utf-8')}")


def replayed(recording: Path) -> dict[str, Any]:
    """Return what `backtest_node.py replay --json` says of a recording."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "backtest_node.py", "replay", str(recording), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"replay_secs": round(time.monotonic() - began, 1)}


def tape_arguments(klines: Path, first: str, end: str) -> tuple[str, ...]:
    """Return the arguments of the local exchange for a folder of klines of five minutes, at speed 1."""
    span = ("--first", first, "--end", end, "--history-secs", str(HISTORY_DAYS * DAY_SECS))
    return ("--venues", VENUE, "--tape", str(klines), *span)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print what was measured; 0 where the replay is equal."""
    parser = argparse.ArgumentParser(prog="python -m tests.paper_confluence", description=__doc__)
    parser.add_argument("--klines", type=Path, required=True, help="folder of SYMBOL.parquet, 5m")
    parser.add_argument("--minutes", type=float, default=30.0, help="to trade after the warm-up")
    parser.add_argument("--first", default="2023-02-11T14:00", help="first time of the tape, UTC")
    parser.add_argument("--end", default="2023-03-11T00:00", help="its end")
    parser.add_argument("--folder", type=Path, default=Path("var/paper-confluence"))
    options = parser.parse_args(argv)
    names = [f"{one.stem}-PERP.BINANCE" for one in sorted(options.klines.glob("*.parquet"))]
    with VenueProcess(*tape_arguments(options.klines, options.first, options.end)) as venue:
        run = PaperRun(venue, options.folder.resolve(), names, {})
        run.start()
        try:
            run.wait_until_warm(1800)
            print(json.dumps(run.measured), file=sys.stderr, flush=True)
            run.trade(options.minutes * 60)
            run.measured["exit_code"] = run.stop()
        finally:
            run.kill()
    run.measured["replay"] = found = replayed(run.recording)
    print(json.dumps(run.measured, indent=1))
    return 0 if found["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
