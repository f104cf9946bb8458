"""Proof of causality on the user's own data: what was known at a cut does not depend on what came after it.

Three proofs:

* *Growing engine.* The strategy runs once with all data loaded, and once with data that grows cut by cut (at
  least 60, among them the bucket of every entry): at each cut the engine has been given nothing later. Every
  decision, order event, closed trade, bucket and structure event that the growing run has emitted by
  then must be what the full run emitted up to there.
* *Fresh engine.* A few prefixes that end at an entry run from the start, over a catalog that ends there: also
  what a strategy reads from the catalog itself, or computes before it begins, cannot come from later.
* *Kernels.* (Strategies on trades.) Buckets and structure of the whole history are compared, column by column
  and bit by bit, with those of each prefix, computed afresh.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from nautilus_trader.model.data import Bar, TradeTick
from nautilus_trader.persistence.catalog import ParquetDataCatalog
from numpy.typing import NDArray

from indicators.engine import StructureEngine
from packet_builder.builder import VolumeBucketBuilder
from runtime.arrow_schema import TradeColumns
from runtime.bar_venue import load_endpoint
from runtime.catalog import Catalog
from runtime.cli import Advance, format_ns
from runtime.errors import ConfigurationError
from runtime.nodes import END_OF_TIME_NS, within
from runtime.recorder import Recorder, RecorderConfig
from runtime.run_bars import read_candles
from runtime.run_plan import RunPlan, node_of, perception_of

MIN_CUTS: Final = 60
# Each prefix is computed afresh, so the kernel proof takes a sample of the cuts where there are many entries.
MAX_KERNEL_CUTS: Final = 120
FRESH_CUTS: Final = 3


@dataclass(slots=True)
class Findings:
    """What was compared, and what differed.

    Parameters
    ----------
    compared
        Kind of record -> number of records compared, over all cuts.
    differences
        Number of records or columns that differed.
    first
        The first difference in words, None without one.
    cuts
        Number of prefixes.
    """

    compared: dict[str, int] = field(default_factory=dict)
    differences: int = 0
    first: str | None = None
    cuts: int = 0

    @property
    def checked(self) -> int:
        """Number of records compared."""
        return sum(self.compared.values())

    def add(self, kind: str, count: int) -> None:
        """Count records of a kind as compared."""
        self.compared[kind] = self.compared.get(kind, 0) + count

    def differ(self, text: str) -> None:
        """Note a difference."""
        self.differences += 1
        self.first = self.first or text

    def summary(self) -> dict[str, Any]:
        """Return the result as ``backtest_node.py lookahead --json`` prints it."""
        return {
            "checked": self.checked,
            "differences": self.differences,
            "first": self.first,
            "cuts": self.cuts,
            "compared": self.compared,
        }

    def text(self) -> str:
        """Return the result in words."""
        compared = ", ".join(f"{count:,} {kind}s" for kind, count in self.compared.items())
        verdict = f"FAILED, {self.differences} differences, the first: {self.first}"
        return (
            f"compared at {self.cuts} cuts: {compared}\n"
            f"{verdict if self.differences else 'passed: nothing known at a cut depends on what came later'}"
        )


class Transcript:
    """Keeps the records of a run in memory, in the form and order of `events.jsonl`.

    A drop-in for :class:`runtime.run_folder.RunFolder` where nothing shall be written.
    """

    def __init__(self) -> None:
        self.records: list[tuple[int, str, bytes]] = []
        self.emitted_ns: list[int] = []
        self.clock_ns: Callable[[], int] | None = None
        self.entry_times_ns: list[int] = []
        self._encode = msgspec.json.Encoder(order="sorted", enc_hook=str).encode

    def record(self, name: str, content: Mapping[str, Any] | msgspec.Struct) -> None:
        """Keep one record."""
        ts_ns = content["ts_ns"] if isinstance(content, Mapping) else getattr(content, "ts_ns", 0)
        self._keep(ts_ns, name, self._encode(content))

    def decision(self, decision: Any) -> None:
        """Keep a decision; an entry is remembered as a place to cut."""
        self.record("decision", decision)
        if decision.kind == "entry_submitted":
            self.entry_times_ns.append(decision.ts_ns)

    def trade(self, trade: Any) -> None:
        """Keep a closed trade."""
        self._keep(trade.exit_ts_ns, "trade", self._encode(trade))

    def equity(self, ts_ns: int, equity: Decimal) -> None:
        """Ignore a mark of the account: it follows from the orders."""

    def known_ns(self, position: int) -> int:
        """Return when a record was there: its own time, or that of the run where a clock was given.

        A bar's open has the time at which it opened and is known when the bar has closed.
        """
        return self.emitted_ns[position] if self.clock_ns is not None else self.records[position][0]

    def _keep(self, ts_ns: int, name: str, content: bytes) -> None:
        self.records.append((ts_ns, name, content))
        if self.clock_ns is not None:
            self.emitted_ns.append(self.clock_ns())

    def keep_bucket(self, packet: Any, events: Any) -> None:
        """Keep a closed bucket and the structure events that became known on it."""
        ts_ns = int(packet["ts_close_ns"])
        self.records.append((ts_ns, "bucket", content_of(packet)))
        for event in events:
            self.records.append((ts_ns, "structure event", content_of(event)))


def content_of(row: Any) -> bytes:
    """Return the bytes of a row's columns, without the padding between them, whose bytes mean nothing."""
    return bytes(np.asarray(row).astype(_packed(row.dtype)).tobytes())


@cache
def _packed(dtype: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype([(name, dtype[name]) for name in dtype.names or ()])


# --- the engine proof -----------------------------------------------------------------------------------
def load_data(plan: RunPlan) -> list[Any]:
    """Return the plan's trades and bars as Nautilus objects, in the order in which a run replays them.

    All of it is in memory, about 220 bytes a trade: choose a range for long histories.
    """
    catalog = ParquetDataCatalog(str(plan.catalog.path))
    first_ns, last_ns = plan.data_from_ns or 0, END_OF_TIME_NS if plan.last_ns is None else plan.last_ns
    data: list[Any] = []
    for instrument in () if plan.on_bars else plan.instruments:
        # No time range in the query: see docs/decisions/0003-no-time-filter-in-catalog-queries.md
        data += catalog.trade_ticks(instrument_ids=[instrument.id.value])
    for bar_type, bars in plan.bar_catalogs.items():
        data += ParquetDataCatalog(str(bars.path)).query(Bar, identifiers=[bar_type])
    # Stable: equal times stay in the order of the ids.
    data.sort(key=lambda one: one.ts_init)
    return within(data, {TradeTick: (first_ns, last_ns), Bar: (0, last_ns)})


def replay(
    plan: RunPlan, pieces: Iterable[Sequence[Any]], after_piece: Callable[[Transcript], None]
) -> Transcript:
    """Feed pieces of data to a fresh engine, one at a time, and return what strategies and orders did.

    Parameters
    ----------
    plan
        The run.
    pieces
        Consecutive parts of :func:`load_data`.
    after_piece
        Called with the transcript after each piece, when the engine has seen nothing beyond it.
    """
    node = node_of(plan)
    node.build()
    (engine,) = node.get_engines()
    transcript = Transcript()
    recorder = Recorder(RecorderConfig(mark_from_ns=plan.first_ts_ns), transcript)
    engine.add_actor(recorder)
    if plan.on_bars:
        transcript.clock_ns = recorder.clock.timestamp_ns
    for strategy in engine.trader.strategies():
        if hasattr(strategy, "observe"):
            strategy.observe(transcript.keep_bucket)
    for piece in _told_ahead(engine, plan, pieces) if plan.on_bars else pieces:
        engine.add_data(list(piece), validate=False, sort=True)
        engine.run(streaming=True)
        engine.clear_data()
        after_piece(transcript)
    count = len(transcript.records)
    engine.end()
    del transcript.records[count:]  # what a strategy does because it is stopped
    node.dispose()  # type: ignore[no-untyped-call]
    return transcript


def _told_ahead(engine: Any, plan: RunPlan, pieces: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Yield pieces; a venue that walks bars has each before the one ahead of it runs, strategies have not.

    An order that is sent at a close fills at the next bar's open, which is the venue's business alone.
    """
    venues = sorted({one.id.venue.value for one in plan.instruments})
    before: Sequence[Any] = ()
    for piece in pieces:
        for venue in venues:
            bars = [one for one in piece if one.bar_type.instrument_id.venue.value == venue]
            engine.kernel.msgbus.send(endpoint=load_endpoint(venue), msg=bars)
        if before:
            yield before
        before = piece
    yield before


def choose_cuts(times_ns: NDArray[np.int64], entry_times_ns: Sequence[int]) -> list[int]:
    """Return the numbers of data points after which to cut: evenly spread, and after each entry's bucket.

    Parameters
    ----------
    times_ns
        Times of the data, ascending, shape (n,), UNIX nanoseconds.
    entry_times_ns
        Times at which the full run submitted entries.

    Returns
    -------
    list of int
        Strictly increasing, each in 1..n-1.
    """
    even_ns = times_ns[np.linspace(0, len(times_ns) - 1, MIN_CUTS + 2)[1:-1].astype(np.int64)]
    # After all data of that time: what is known at a time may rest on any of it.
    cut_ns = np.concatenate([even_ns, np.asarray(entry_times_ns, dtype=np.int64)])
    cuts = np.unique(np.searchsorted(times_ns, cut_ns, side="right"))
    return [int(cut) for cut in cuts if 0 < cut < len(times_ns)]


def evenly(values: NDArray[np.int64], limit: int) -> list[int]:
    """Return at most `limit` of the values, evenly spread, first and last included."""
    if len(values) > limit:
        values = values[np.linspace(0, len(values) - 1, limit).astype(np.int64)]
    return [int(value) for value in values]


def compare_transcripts(
    full: Transcript, growing: Transcript, cuts: Sequence[tuple[int, int, int]], findings: Findings
) -> None:
    """Compare what a growing run had emitted at each cut with the full run.

    Parameters
    ----------
    full, growing
        The two runs.
    cuts
        Per piece: number of data points, time of the last one, and number of records emitted by then.
    findings
        Receives the result.
    """
    start = 0
    for points, last_ns, count in cuts:
        for position in range(start, count):
            kind = growing.records[position][1]
            findings.add(kind, 1)
            if position >= len(full.records) or full.records[position] != growing.records[position]:
                expected = full.records[position] if position < len(full.records) else None
                findings.differ(
                    f"record {position} after {points:,} data points ({format_ns(last_ns)}): "
                    f"with the data up to there {_words(growing.records[position])}, "
                    f"with all data {_words(expected)}"
                )
                return  # every later record would differ too
        if count < len(full.records) and full.known_ns(count) <= last_ns:
            findings.differ(
                f"record {count} after {points:,} data points ({format_ns(last_ns)}): with all data "
                f"{_words(full.records[count])}, unknown with the data up to there"
            )
            return
        start = count


def _words(record: tuple[int, str, bytes] | None) -> str:
    if record is None:
        return "nothing"
    ts_ns, kind, content = record
    text = content.decode() if content[:1] == b"{" else f"{len(content)} bytes {content[:24].hex()}…"
    return f"{kind} at {format_ns(ts_ns)} {text[:400]}"


# --- the kernel proof -----------------------------------------------------------------------------------
def compare_columns(
    what: str, prefix: NDArray[np.void], whole: NDArray[np.void], where: str, findings: Findings
) -> None:
    """Compare rows computed on a prefix with the first rows of the whole, column by column, bit by bit."""
    findings.add(what, len(prefix))
    if len(prefix) > len(whole):
        findings.differ(f"{where}: {len(prefix)} rows of {what}, only {len(whole)} with all data")
        return
    for name in prefix.dtype.names or ():
        mine = np.ascontiguousarray(prefix[name])
        theirs = np.ascontiguousarray(whole[name][: len(prefix)])
        width = f"V{mine.dtype.itemsize}"
        differing = np.flatnonzero(mine.view(width) != theirs.view(width))
        if len(differing):
            row = int(differing[0])
            findings.differ(
                f"{where}: {what} row {row}, column {name}: {mine[row]} with the data up to there, "
                f"{theirs[row]} with all data"
            )


def scan_structure(
    engine: StructureEngine, packets: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Run the structure engine over packets; return its events and snapshots."""
    columns = ("open", "high", "low", "close", "total_qty", "buy_qty")
    return engine.scan(
        np.ascontiguousarray(packets["ts_open_ns"]),
        np.ascontiguousarray(packets["ts_close_ns"]),
        *(np.ascontiguousarray(packets[name]) for name in columns),
    )


def prove_kernels(
    trades: TradeColumns,
    cuts: Sequence[int],
    new_builder: Callable[[], VolumeBucketBuilder],
    new_engine: Callable[[], StructureEngine],
    findings: Findings,
) -> None:
    """Compare buckets and structure of the whole history with those of each prefix of the trades."""

    def scan(count: int) -> NDArray[np.void]:
        return new_builder().scan(
            trades.ts_ns[:count],
            trades.price_ticks[:count],
            trades.size_lots[:count],
            trades.is_buyer[:count],
            trades.trade_id[:count],
        )

    packets = scan(len(trades.ts_ns))
    events, snapshots = scan_structure(new_engine(), packets)
    for cut in cuts:
        where = f"prefix of {cut:,} trades"
        some_packets = scan(cut)
        compare_columns("bucket row", some_packets, packets, where, findings)
        some_events, some_snapshots = scan_structure(new_engine(), some_packets)
        known = events[events["known_seq"] < len(some_packets)]
        compare_columns("structure row", some_events, known, where, findings)
        if len(some_events) != len(known):
            findings.differ(f"{where}: {len(some_events)} structure events, {len(known)} with all data")
        compare_columns("snapshot row", some_snapshots, snapshots, where, findings)


# --- the fresh engine -------------------------------------------------------------------------------------
def truncated(plan: RunPlan, last_ns: int, folder: Path) -> RunPlan:
    """Return the plan on a copy of its catalog, written to `folder`, that ends at `last_ns` (included)."""
    copy = Catalog(folder, create=True)
    for instrument in () if plan.on_bars else plan.instruments:
        name = instrument.id.value
        stored = plan.catalog.instrument(name)
        trades = plan.catalog.read_trades_all(name, plan.data_from_ns, last_ns)
        if len(trades.ts_ns):
            copy.write_trades(stored, trades)
    for bar_type in plan.bar_catalogs:
        # Read again up to the cut: a derived bar, too, must not know what came after it.
        candles = read_candles(plan.catalog, bar_type, last_ns)
        if len(candles):
            copy.write_bars(plan.catalog.instrument(candles.instrument_id), candles.interval, candles.bars)
    old = str(plan.catalog.path)
    strategies = []
    for one in plan.strategies:
        config = {key: str(folder) if value == old else value for key, value in one.config.items()}
        strategies.append(msgspec.structs.replace(one, config=config))
    return replace(
        plan,
        catalog=copy,
        strategies=tuple(strategies),
        bar_catalogs=dict.fromkeys(plan.bar_catalogs, copy),
        last_ns=last_ns,
    )


def prove_fresh(plan: RunPlan, full: Transcript, last_ns: int, findings: Findings) -> None:
    """Compare a run over a catalog that ends at `last_ns` with the full run."""
    with tempfile.TemporaryDirectory(prefix="lookahead-") as folder:
        prefix = truncated(plan, last_ns, Path(folder) / "catalog")
        data = load_data(prefix)
        count = [0]

        def remember(transcript: Transcript) -> None:
            count[0] = len(transcript.records)

        fresh = replay(prefix, [data], remember)
        compare_transcripts(full, fresh, [(len(data), last_ns, count[0])], findings)


def _all_begun_ns(bars: Sequence[Any]) -> int:
    """Return the time at which every series has had a bar, UNIX nanoseconds."""
    first: dict[Any, int] = {}
    for one in bars:
        first.setdefault(one.bar_type, one.ts_init)
    return max(first.values())


# --- all ----------------------------------------------------------------------------------------------------
def prove(plan: RunPlan, advance: Advance) -> Findings:
    """Run the three proofs.

    Parameters
    ----------
    plan
        What would be run.
    advance
        Called with percent of the work done since the last call.

    Raises
    ------
    ConfigurationError
        When there are too few data points to cut.
    """
    findings = Findings()
    data = load_data(plan)
    if len(data) <= MIN_CUTS:
        what = "bars" if plan.on_bars else "trades"
        raise ConfigurationError(f"only {len(data)} {what} in the chosen range: take a longer one")
    times_ns = np.fromiter((one.ts_init for one in data), dtype=np.int64, count=len(data))
    full = replay(plan, [data], lambda _transcript: None)
    advance(25)

    cuts = [*choose_cuts(times_ns, full.entry_times_ns), len(data)]
    findings.cuts = len(cuts)
    seen: list[tuple[int, int, int]] = []

    def remember(transcript: Transcript) -> None:
        points = cuts[len(seen)]
        seen.append((points, int(times_ns[points - 1]), len(transcript.records)))
        advance(25 / len(cuts))

    growing = replay(plan, (data[low:high] for low, high in pairwise([0, *cuts])), remember)
    compare_transcripts(full, growing, seen, findings)
    begun_ns = _all_begun_ns(data) if plan.on_bars else 0
    del data, growing

    cut_times_ns = times_ns[np.asarray(cuts) - 1]
    # At an entry, because one bar of look-ahead shows only in what the last bar of the prefix decided.
    entries_ns = np.asarray(full.entry_times_ns or cut_times_ns[:-1], dtype=np.int64)
    # Bars that the engine makes of trades close by the clock, which moves with the first data after that.
    after = np.minimum(np.searchsorted(times_ns, entries_ns), len(times_ns) - 1)
    candidates = np.unique(times_ns[after])
    # A prefix in which a coin has not begun has no such coin.
    candidates = candidates[candidates >= begun_ns]
    for position in np.linspace(0, len(candidates) - 1, FRESH_CUTS + 2)[1:-1].astype(np.int64):
        prove_fresh(plan, full, int(candidates[position]), findings)
        advance(35 / FRESH_CUTS)

    pairs = () if plan.on_bars else zip(plan.instruments, plan.strategies, strict=True)
    for instrument, strategy in pairs:
        found = perception_of(plan.spec, strategy, instrument)
        if found is not None:
            buckets, structure = found
            trades = plan.catalog.read_trades_all(instrument.id.value, plan.data_from_ns, plan.last_ns)
            positions = np.unique(np.searchsorted(trades.ts_ns, cut_times_ns, side="right"))
            prove_kernels(
                trades,
                evenly(positions[positions > 0], MAX_KERNEL_CUTS),
                partial(VolumeBucketBuilder, buckets),
                partial(StructureEngine, structure),
                findings,
            )
        advance(15 / len(plan.instruments))
    return findings
