"""Proof of causality on the user's own data: what was known at a cut does not depend on what came after it.

The strategy runs once over all data, and this run is compared with others that know less:

* *Fresh runs.* A few prefixes, most of which end at an entry, are planned and run from the start over a
  catalog that ends there (`runtime.sweeps.truncated`): membership, funding, derived bars and scores are
  computed again from what was there by then. Decisions, order events, trades and funding up to the cut must
  be those of the whole run; so must the table of the universe, and every scored column, bit by bit. Both
  sides are on the feed that `run` takes: scored columns, or one event per bar.
* *Growing engine.* (Not over columns, which are there before the run.) Data grow cut by cut, at least 60
  times, among them at every entry: at each cut the engine has been given nothing later.
* *Kernels.* (Strategies on trades.) Buckets and structure of the whole history are compared, column by column
  and bit by bit, with those of each prefix, computed afresh.

Not proven: cuts at which no fresh run ends are seen by the other two proofs alone; fresh runs end only after
every coin has begun; and settings, trained models and the definitions of instruments are taken as they are.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from nautilus_trader.model.data import Bar, TradeTick
from numpy.typing import NDArray

from indicators.engine import StructureEngine
from packet_builder.builder import VolumeBucketBuilder
from runtime.arrow_schema import TradeColumns
from runtime.bar_venue import load_endpoint, lookup_endpoint
from runtime.cli import Advance, format_ns
from runtime.errors import ConfigurationError, DataError
from runtime.nautilus_catalog import nautilus_catalog
from runtime.nodes import END_OF_TIME_NS, Node, within
from runtime.recorder import Recorder, RecorderConfig
from runtime.run_columns import feed_columns, run_columns
from runtime.run_plan import RunPlan, node_of, perception_of
from runtime.score_columns import Columns
from runtime.sweeps.findings import Findings, compare_columns
from runtime.sweeps.prepared import compare_scores, compare_universes
from runtime.sweeps.truncated import truncated

MIN_CUTS: Final = 60
# Each prefix is computed afresh, so the kernel proof takes a sample of the cuts where there are many entries.
MAX_KERNEL_CUTS: Final = 120
FRESH_CUTS: Final = 3
# Over columns they are the whole proof of the engine, and cheaper.
FRESH_COLUMN_CUTS: Final = 4


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
    catalog = nautilus_catalog(plan.catalog.path)
    first_ns, last_ns = plan.data_from_ns or 0, END_OF_TIME_NS if plan.last_ns is None else plan.last_ns
    data: list[Any] = []
    for instrument in () if plan.on_bars else plan.instruments:
        # No time range in the query: see docs/decisions/0003-no-time-filter-in-catalog-queries.md
        data += catalog.trade_ticks(instrument_ids=[instrument.id.value])
    for bar_type, bars in plan.bar_catalogs.items():
        data += nautilus_catalog(bars.path).query(Bar, identifiers=[bar_type])
    # Stable: equal times stay in the order of the ids.
    data.sort(key=lambda one: one.ts_init)
    return within(data, {TradeTick: (first_ns, last_ns), Bar: (0, last_ns)})


def replay(
    plan: RunPlan,
    pieces: Iterable[Sequence[Any]],
    after_piece: Callable[[Transcript], None],
    columns: Columns | None = None,
) -> Transcript:
    """Feed pieces of data to a fresh engine, one at a time, and return what strategies and orders did.

    Parameters
    ----------
    plan
        The run.
    pieces
        Consecutive parts of :func:`load_data`; nothing where there are columns.
    after_piece
        Called with the transcript after each piece, when the engine has seen nothing beyond it.
    columns
        Of a run that takes its bars from scored columns, as `runtime.backtest.run_backtest` does.
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
    if columns is not None:
        pieces = _beats(columns, plan, node, engine)
    elif plan.on_bars:
        pieces = _told_ahead(engine, plan, pieces)
    for piece in pieces:
        engine.add_data(list(piece), validate=False, sort=True)
        engine.run(streaming=True)
        engine.clear_data()
        after_piece(transcript)
    count = len(transcript.records)
    engine.end()
    del transcript.records[count:]  # what a strategy does because it is stopped
    node.dispose()  # type: ignore[no-untyped-call]
    return transcript


def _beats(columns: Columns, plan: RunPlan, node: Node, engine: Any) -> Iterator[Sequence[Any]]:
    """Give columns to strategy and venue, and yield the bars that are the run's clock."""
    feed_columns(columns, plan, node, engine)
    if node.bars is None:
        return
    for venue in sorted({one.id.venue.value for one in plan.instruments}):
        engine.kernel.msgbus.send(endpoint=lookup_endpoint(venue), msg=node.bars)
    yield from node.bars.beats()


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


# --- fresh runs -------------------------------------------------------------------------------------------
def prove_fresh(
    plan: RunPlan, full: Transcript, columns: Columns | None, last_ns: int, findings: Findings
) -> None:
    """Compare a run that is planned and run over a catalog that ends at `last_ns` with the full run.

    Parameters
    ----------
    plan, full, columns
        The full run: its plan, what it did, and its columns where it had such.
    last_ns
        End of the prefix, included, UNIX nanoseconds.
    findings
        Receives the result.

    Raises
    ------
    DataError
        When the prefix has bars that cannot be scored, and the full run has not.
    """
    findings.fresh_ns.append(last_ns)
    with tempfile.TemporaryDirectory(prefix="lookahead-") as folder:
        prefix = truncated(plan, last_ns, Path(folder) / "catalog")
        compare_universes(prefix, plan, last_ns, findings)
        some = None if columns is None else run_columns(prefix)
        if columns is not None:
            if some is None:
                raise DataError(f"bars up to {format_ns(last_ns)} cannot be scored, though all bars can")
            compare_scores(some, columns, f"prefix to {format_ns(last_ns)}", findings)
        data = load_data(prefix) if some is None else []
        count = [0]

        def remember(transcript: Transcript) -> None:
            count[0] = len(transcript.records)

        fresh = replay(prefix, [data], remember, some)
        compare_transcripts(full, fresh, [(prefix.ticks, last_ns, count[0])], findings)


def fresh_cuts(
    times_ns: NDArray[np.int64], entries_ns: Sequence[int], begun_ns: int, limit: int
) -> list[int]:
    """Return the ends of the prefixes that are run from the start: data times, ascending.

    At entries where there are enough of them, because one bar of look-ahead shows only in what the last bar
    of the prefix decided; after the beginning of every coin, because a prefix without one has no such coin.

    Parameters
    ----------
    times_ns
        Times of the data, ascending, shape (n,), UNIX nanoseconds.
    entries_ns
        Times at which the full run submitted entries.
    begun_ns
        Time at which every series has begun.
    limit
        So many at most.
    """
    # Bars that the engine makes of trades close by the clock, which moves with the first data after that.
    after = np.minimum(np.searchsorted(times_ns, np.asarray(entries_ns, np.int64)), len(times_ns) - 1)
    found = np.unique(times_ns[after])
    found = found[found >= begun_ns]
    if len(found) < limit:
        even = np.unique(times_ns[times_ns >= begun_ns])
        found = np.union1d(found, even[np.linspace(0, len(even) - 1, limit + 2)[1:-1].astype(np.int64)])
    if len(found) > limit:
        found = np.unique(found[np.linspace(0, len(found) - 1, limit + 2)[1:-1].astype(np.int64)])
    return [int(one) for one in found]


def _all_begun_ns(bars: Sequence[Any]) -> int:
    """Return the time at which every series has had a bar, UNIX nanoseconds."""
    first: dict[Any, int] = {}
    for one in bars:
        first.setdefault(one.bar_type, one.ts_init)
    return max(first.values())


# --- all ----------------------------------------------------------------------------------------------------
def prove(plan: RunPlan, advance: Advance) -> Findings:
    """Run the proofs that fit the plan.

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
    if plan.ticks <= MIN_CUTS:
        what = "bars" if plan.on_bars else "trades"
        raise ConfigurationError(f"only {plan.ticks} {what} in the chosen range: take a longer one")
    columns = run_columns(plan)
    if columns is not None:
        return _prove_columns(plan, columns, advance)
    if plan.on_bars:  # prefixes, too: a bar that cannot be scored may lie behind their end
        backtest = msgspec.structs.replace(plan.request.settings.backtest, bar_feed="events")
        settings = msgspec.structs.replace(plan.request.settings, backtest=backtest)
        plan = replace(plan, request=replace(plan.request, settings=settings))
    return _prove_events(plan, advance)


def _prove_columns(plan: RunPlan, columns: Columns, advance: Advance) -> Findings:
    findings = Findings(feed="columns")
    full = replay(plan, (), lambda _transcript: None, columns)
    advance(30)
    closes, grid = columns.arrays["close_ticks"], columns.grid
    is_there = np.zeros(grid.count, np.bool_)
    begun = 0
    for row in closes:
        is_there |= row > 0
        begun = max(begun, int((row > 0).argmax()))
    times_ns = grid.first_ns + grid.step_ns * np.flatnonzero(is_there)
    cuts = fresh_cuts(times_ns, full.entry_times_ns, grid.close_ns(begun), FRESH_COLUMN_CUTS)
    findings.cuts = len(cuts)
    for last_ns in cuts:
        prove_fresh(plan, full, columns, last_ns, findings)
        advance(70 / len(cuts))
    return findings


def _prove_events(plan: RunPlan, advance: Advance) -> Findings:
    findings = Findings()
    data = load_data(plan)
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

    ends_ns = fresh_cuts(times_ns, full.entry_times_ns, begun_ns, FRESH_CUTS)
    for last_ns in ends_ns:
        prove_fresh(plan, full, None, last_ns, findings)
        advance(35 / len(ends_ns))
    if not plan.on_bars:
        _prove_perceptions(plan, times_ns[np.asarray(cuts) - 1], findings, advance)
    return findings


def _prove_perceptions(
    plan: RunPlan, cut_times_ns: NDArray[np.int64], findings: Findings, advance: Advance
) -> None:
    """Run the kernel proof for every instrument of a run on trades."""
    for instrument, strategy in zip(plan.instruments, plan.strategies, strict=True):
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
