"""What the benchmarks of a live node share: a tape of twenty symbols, settings, the processes, their figures.

The node is `live_node.py` in a process of its own with Nautilus' own adapters, started through
`live_probe.py`, which notes times and changes nothing else; the local exchange is another process.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.paper_demo import demo_hosts
from tests.venue_simulator.process import API_KEY, API_SECRET, VenueProcess

ROOT: Final = Path(__file__).resolve().parents[1]
SHARED_DATA: Final = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
RECORDED: Final = "binance-spot_XRPUSDT_2026-03-*.parquet"
SYMBOLS: Final = (
    "AAVE", "ADA", "ALGO", "APT", "ARB", "ATOM", "AVAX", "BNB", "DOGE", "DOT",
    "FIL", "INJ", "LINK", "LTC", "NEAR", "SOL", "SUI", "TIA", "UNI", "XRP",
)  # fmt: skip
FIRST_NS: Final = 1_774_000_000_000_000_000
# Recorded prices hardly move within a minute: nothing would be worth its fees.
AMPLIFIED: Final = 6.0
START_SECS: Final = 240.0
STOP_SECS: Final = 60.0
DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Account:
    """One kind of account, as `live.venues` and the local exchange name it."""

    simulator: str
    venue: str
    market: str
    suffix: str
    public: str

    def instruments(self, count: int) -> list[str]:
        """Return the first Nautilus ids of `SYMBOLS`."""
        return [f"{name}USDT{self.suffix}" for name in SYMBOLS[:count]]

    def settings(self, venue: VenueProcess) -> dict[str, Any]:
        """Return an entry of ``live.venues``."""
        return {"venue": self.venue, "market": self.market, "hosts": demo_hosts(venue, self.simulator)}


ACCOUNTS: Final[Mapping[str, Account]] = {
    "binance_usdm": Account("binance_usdm", "binance", "usdm", "-PERP.BINANCE", "binance_usdm"),
    "binance_spot": Account("binance_spot", "binance", "spot", ".BINANCE", "binance_spot"),
    "bybit_linear": Account("bybit", "bybit", "linear", "-LINEAR.BYBIT", "bybit"),
    "bybit_spot": Account("bybit", "bybit", "spot", "-SPOT.BYBIT", "bybit"),
}
# Small buckets, so that zones form within seconds, and nothing that would keep a setup from being tried.
BUSY: Final[Mapping[str, Any]] = {
    "bucket_usd": 200,
    "min_reward_risk": 0.2,
    "max_notional_pct": 0.15,
    "risk_per_trade_pct": 0.2,
    "cancel_policy": "benchmarks.live_policy:OftenCancel",
    "rearm_max": 20,
    "rearm_after_secs": 0.0,
}
# The same with nobody who takes entries back: what comes near them fills, so that minutes have enough stops.
# Larger buckets, or orders and changes would be more than the 2,400 requests a minute that the venue allows:
# an entry fills in ten to thirty pieces, and each moves stop and target.
FILLED: Final[Mapping[str, Any]] = {
    name: value for name, value in BUSY.items() if name != "cancel_policy"
} | {"bucket_usd": 600}
# The largest of the recorded trades is 40 of the usual buckets of 10,000 USD. In buckets a fiftieth as large
# it would be a thousand, and the node busy with that one trade for 80 ms: it is cut to as many.
BUSY_LARGEST_USD: Final = 40 * BUSY["bucket_usd"]
# The defaults, but for a size that the local exchange takes at market.
USUAL: Final[Mapping[str, Any]] = {"max_notional_pct": 0.15}


def make_tape(
    folder: Path,
    trades: int,
    per_second: float,
    symbols: Sequence[str] = SYMBOLS,
    largest_usd: float = np.inf,
) -> Path:
    """Write recorded trades as if so many symbols had traded at once; return the folder.

    Each symbol gets another stretch of the recording. Prices, sizes and sides are those that were recorded,
    moves of the price `AMPLIFIED`; times are drawn (a Poisson process), seeded.

    Parameters
    ----------
    folder
        Receives one file per symbol.
    trades
        Of all symbols together.
    per_second
        Likewise, seconds of the tape.
    symbols
        Base currencies.
    largest_usd
        Larger trades are cut to it.
    """
    files = sorted((SHARED_DATA / "trades").glob(RECORDED))
    if not files:
        raise SystemExit(f"{SHARED_DATA}: no recorded trades ({RECORDED}); set SHARED_DATA")
    table = pa.concat_tables(pq.read_table(one, columns=["price", "qty", "buyer_maker"]) for one in files)
    each = trades // len(symbols)
    if each * len(symbols) > table.num_rows:
        raise SystemExit(f"{trades} trades wanted, {table.num_rows} are recorded")
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    for number, name in enumerate(symbols):
        part = table.slice(number * each, each)
        price = part["price"].to_numpy()
        moved = price[0] * np.exp(AMPLIFIED * np.log(price / price[0]))
        gaps = random.exponential(1e9 * len(symbols) / per_second, each)
        columns = {
            "ts_ns": FIRST_NS + np.cumsum(gaps).astype(np.int64),
            "price": np.maximum(np.round(moved, DECIMALS), 10.0**-DECIMALS),
            "qty": np.minimum(part["qty"].to_numpy(), np.round(largest_usd / moved, 1)),
            "buyer_maker": part["buyer_maker"].to_numpy(),
            "trade_id": np.arange(1, each + 1),
        }
        pq.write_table(pa.table(columns), folder / f"tape_{name}USDT_.parquet")
    return folder


def settings_of(
    account: Account,
    venue: VenueProcess,
    folder: Path,
    symbols: int = len(SYMBOLS),
    strategy: Mapping[str, Any] = BUSY,
) -> Path:
    """Write the settings of a node that trades OTE on so many symbols; return the file."""
    settings = {
        "journal": {"url": f"sqlite:///{folder / 'journal.sqlite'}", "spool": str(folder / "spool")},
        "hosts": {account.public: venue.http(account.simulator)},
        "live": {
            "folder": str(folder),
            "venues": [account.settings(venue)],
            "limits": {"max_entries_per_min": 0, "max_orders_per_sec": 10_000, "price_band_pct": 50.0},
            "recording": {"reserve_mb": 200},
            "data": {"warm_up": False},  # there is no history, and what is measured is not the start
        },
        "strategies": [{"strategy": "ote", "instruments": account.instruments(symbols), **strategy}],
    }
    file = folder / "config.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return file


class ProbedNode:
    """`live_node.py --mode live` with the probe around it; a context manager.

    Parameters
    ----------
    file
        Settings.
    is_empty
        Its strategies do nothing with trades: what a trade costs then is Nautilus and what is around it.
    """

    def __init__(self, file: Path, *, is_empty: bool = False) -> None:
        self.file, self.folder = file, file.parent
        self._is_empty = is_empty
        self.samples = self.folder / "probe.jsonl"
        self._process: subprocess.Popen[bytes] | None = None
        self.started_ns = 0

    def __enter__(self) -> Self:
        self.samples.unlink(missing_ok=True)
        environment = node_environment(self.samples) | ({"PROBE_EMPTY": "1"} if self._is_empty else {})
        script = [sys.executable, str(ROOT / "benchmarks" / "live_probe.py")]
        common = ["--mode", "live", "--config", str(self.file)]
        checked = subprocess.run(
            [*script, *common, "--check", "--json"], env=environment, stdout=subprocess.PIPE, check=True
        )
        approved = json.loads(checked.stdout)["config_sha256"]
        self.start([*script, *common, "--live-approved", approved], environment)
        return self

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the node; `restart` does it again."""
        self._command, self._environment = list(command), dict(environment)
        self.samples.unlink(missing_ok=True)
        errors = (self.folder / "node.err").open("wb")
        self.started_ns = time.time_ns()
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**self._environment, "PROBE_STARTED_NS": str(self.started_ns)},
            stderr=errors,
        )

    def restart(self) -> None:
        """Start the same command again."""
        self.start(self._command, self._environment)

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def until_trading(self) -> None:
        """Wait until it says that it trades."""
        self.until(lambda: " trades " in (self.folder / "node.err").read_text(errors="replace"), START_SECS)

    def until(self, is_so: Any, secs: float) -> None:
        """Wait for something while the node runs."""
        by = time.monotonic() + secs
        while not is_so():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > by:
                raise SystemExit(
                    "the node did not get there:\n" + (self.folder / "node.err").read_text()[-3000:]
                )
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End it in order; its probe writes what it noted."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                self.kill()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return what the probe noted, by kind."""
        found: dict[str, list[dict[str, Any]]] = {}
        for line in self.samples.read_text().splitlines():
            row = json.loads(line)
            found.setdefault(row.pop("kind"), []).append(row)
        return found


def node_environment(samples: Path) -> dict[str, str]:
    """Return the environment of a node: the keys of the local exchange, and where the probe writes."""
    keys = {
        f"{prefix}_API_{half}": value
        for prefix in ("BINANCE", "BINANCE_USDM", "BYBIT")
        for half, value in (("KEY", API_KEY), ("SECRET", API_SECRET))
    }
    kept = {name: value for name, value in os.environ.items() if name != "SMCBOT_JOURNAL_URL"}
    return {**kept, **keys, "PYTHONPATH": str(ROOT), "PROBE_FILE": str(samples)}


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return count, median, 99th percentile and maximum of milliseconds."""
    found = np.asarray(list(values), dtype=float)
    if not len(found):
        return {"count": 0}
    median, p99 = np.quantile(found, (0.5, 0.99))
    return {
        "count": len(found),
        "median_ms": round(float(median), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(found.max()), 3),
    }


def line_of(what: str, found: Mapping[str, float]) -> str:
    """Return a row of a Markdown table."""
    if not found.get("count"):
        return f"| {what} | 0 | | | |"
    return f"| {what} | {found['count']} | {found['median_ms']} | {found['p99_ms']} | {found['max_ms']} |"


def load() -> float:
    """Return the machine's load of the last minute."""
    return round(os.getloadavg()[0], 1)
