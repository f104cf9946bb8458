"""Which bars of a backtest a recording holds: all of a short run, of a long one those around trades."""

from collections.abc import Iterable
from typing import Any

from ui import protocol as p
from ui.telemetry.run_bars import AROUND, RunBars

MS = 1_000_000
STEP_NS = 300_000 * MS
COINS = ("ADAUSDT.X", "BTCUSDT.X", "XRPUSDT.X")


class Tape:
    """Has a bar of each coin at each close."""

    step_ns = STEP_NS

    def names(self) -> Iterable[str]:
        """Return all coins."""
        return COINS

    def closed(self, name: str, after_ns: int, until_ns: int) -> list[p.Bar]:
        """Return a bar per close."""
        return [bar(name, number) for number in range(after_ns // STEP_NS + 1, until_ns // STEP_NS + 1)]


class Told:
    """Keeps what is told."""

    def __init__(self, total: int, **options: Any) -> None:
        self.messages: list[tuple[str, Any, int]] = []
        self.bars = RunBars(Tape(), lambda *one: self.messages.append(one), from_ns=0, total=total, **options)

    def say(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Tell something beside the bars."""
        self.bars.before(kind, payload, ts_ns)
        self.messages.append((kind, payload, ts_ns))

    def closes(self, name: str) -> list[int]:
        """Return the numbers of a coin's bars."""
        return [
            one.t * MS // STEP_NS + 1 for kind, one, _ in self.messages if kind == "bar" and one.ins == name
        ]


def bar(name: str, number: int) -> p.Bar:
    """Return the bar that closes as the n-th."""
    return p.Bar(ins=name, tf="5m", t=(number - 1) * STEP_NS // MS, o=1, h=1, l=1, c=1, v=1)


def signal(name: str, *, taken: bool) -> p.SignalMark:
    """Return a signal."""
    return p.SignalMark(id="1", ins=name, ts=0, kind="signal_taken", side=1, px=1.0, taken=taken)


def test_a_short_run_is_told_whole_and_each_bar_before_what_follows() -> None:
    """Bars of a close come before a decision of that close, and nothing goes back in time."""
    told = Told(total=3_000)
    for number in (7, 7, 900, 1_000):
        told.say("log", p.LogLine(ts=0, level="info", src="", text=""), number * STEP_NS + number % 2)
        assert [told.closes(name) for name in COINS] == [list(range(1, number + 1))] * 3
    times = [ts_ns for _kind, _one, ts_ns in told.messages]
    assert times == sorted(times)
    assert all(ts_ns == (one.t * MS) + STEP_NS for kind, one, ts_ns in told.messages if kind == "bar")


def test_a_long_run_is_told_around_its_trades() -> None:
    """Of coins that are traded: from so many bars before to so many after; skipped signals are no trades."""
    told = Told(total=3_000_000, most=10_000)
    told.say("sig", signal("ADAUSDT.X", taken=False), 2_000 * STEP_NS)
    told.say("sig", signal("BTCUSDT.X", taken=True), 2_000 * STEP_NS)
    told.say("sig", signal("BTCUSDT.X", taken=True), 2_100 * STEP_NS)
    told.bars.until(2_700 * STEP_NS)
    closes = told.closes("BTCUSDT.X")
    assert closes == list(range(2_000 - AROUND + 1, closes[-1] + 1))
    assert 2_100 + AROUND <= closes[-1] < 2_100 + 2 * AROUND
    assert told.closes("ADAUSDT.X") == told.closes("XRPUSDT.X") == []
    told.say("sig", signal("BTCUSDT.X", taken=True), 2_750 * STEP_NS)
    assert told.closes("BTCUSDT.X") == list(range(2_000 - AROUND + 1, 2_751))


def test_there_is_an_end_to_what_is_told() -> None:
    """A recording does not grow with the run, and says where its bars end."""
    told = Told(total=3_000_000, most=1_000)
    for number in range(1_000, 20_000, 200):
        for name in COINS:
            told.say("sig", signal(name, taken=True), number * STEP_NS)
    kinds = [kind for kind, _one, _ts_ns in told.messages]
    assert kinds.count("bar") == 1_000
    (said,) = [one.text for kind, one, _ts_ns in told.messages if kind == "log"]
    assert "as many bars" in said
