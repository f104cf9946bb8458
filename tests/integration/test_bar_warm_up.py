"""Strategies on bars: those of before the start give the state that an uninterrupted run has."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.errors import VenueError
from runtime.live import bar_warmup
from runtime.live.bar_warmup import BarWarmUpActor
from runtime.live.freshness import DataSettings
from runtime.live.kept_bars import KeptBars
from runtime.live.rest import PublicRest
from runtime.settings import Settings, parse_settings
from strategies.bar_times import close_of
from strategies.close_bars import Levels
from strategies.coin_desk import CoinDesk
from strategies.confluence import ConfluenceConfig, ConfluenceStrategy
from strategies.entry_halt import HOLD_TOPIC, RELEASE_TOPIC
from tests.integration.bar_harness import run_engine
from tests.integration.test_confluence_run import COINS, EASY, NAMES, Watched, bars_in_order, instrument_of

BAR_NS = 300_000_000_000


def config() -> ConfluenceConfig:
    """Return the settings of all coins."""
    return ConfluenceConfig(instrument_ids=tuple(InstrumentId.from_str(name) for name in NAMES), **EASY)


def run(bars: Sequence[Bar], strategy: Watched) -> Watched:
    """Run a strategy on bars."""
    run_engine([list(bars)], [strategy], [instrument_of(coin) for coin in COINS])
    return strategy


class Warmed(Watched):
    """Sees the bars of before when it starts; the newest of them arrives live as well."""

    before: Sequence[Bar] = ()

    def on_start(self) -> None:
        """Warm up."""
        super().on_start()
        self.hold_back()
        for close_ns, group in groupby(self.before, key=lambda bar: bar.ts_event):
            self.warm_up(close_ns, {one.bar_type.instrument_id.value: levels(one) for one in group})
        for one in self.before[-len(NAMES) :]:
            name = one.bar_type.instrument_id.value
            self.take_bar(name, self.coins[name], one)
        self.go_on()


def levels(bar: Bar) -> tuple[int, float, float, float, float, float]:
    """Return a bar as numbers."""
    prices = (one.as_double() for one in (bar.open, bar.high, bar.low, bar.close))
    return (bar.ts_event, *prices, bar.volume.as_double())  # type: ignore[return-value]


def looked_back(strategy: Watched) -> list[Any]:
    """Return what every later signal depends on."""
    coins = strategy.coins.values()
    return [
        [one.seen.perceived() for one in coins if one.seen is not None],
        strategy._past.perceived(),
    ]


def signals(strategy: Watched, since_ns: int) -> list[tuple[Any, ...]]:
    """Return what was signalled after a time, whatever was traded."""
    return [
        (one.ts_ns, one.instrument_id, one.side, one.price, one.stop, one.target)
        for one in strategy.published
        if getattr(one, "kind", "") in ("signal_taken", "signal_skipped") and one.ts_ns > since_ns
    ]


@pytest.mark.slow
def test_bars_of_before_give_the_state_of_an_uninterrupted_run() -> None:
    """Scores, windows, returns and context byte for byte, and the same signals afterwards."""
    bars = bars_in_order(None)[:2400]
    cut_ns = bars[len(bars) // 2].ts_event
    whole = run(bars, Watched(config()))
    warmed = Warmed(config())
    warmed.before = [one for one in bars if one.ts_event <= cut_ns]
    run([one for one in bars if one.ts_event > cut_ns], warmed)
    assert looked_back(warmed) == looked_back(whole)
    assert signals(warmed, cut_ns) == signals(whole, cut_ns)
    assert len(signals(whole, cut_ns)) > 20
    assert not signals(warmed, 0)[: -len(signals(whole, cut_ns))]


class LeftBehind(Warmed):
    """One coin has no bars of before; it gets them after some live bars, in two parts and then as a whole."""

    late, after_bars, is_mended = NAMES[1], 30, False

    def on_start(self) -> None:
        """Warm the others up."""
        self.shown: list[Any] = [
            levels(one) for one in self.before if one.bar_type.instrument_id.value == self.late
        ]
        self.before = [one for one in self.before if one.bar_type.instrument_id.value != self.late]
        super().on_start()

    def take_bar(self, name: str, desk: Any, bar: Bar) -> None:
        """Take a bar; between two of them, that coin gets what it lacks."""
        if name == self.late:
            self.shown.append(levels(bar))
            self.after_bars -= 1
        super().take_bar(name, desk, bar)
        if self.after_bars <= 0 and not self.is_mended and not self.is_deciding(self.late):
            self.is_mended = True
            self.prepare_history(self.late, self.shown[:100])
            self.prepare_history(self.late, self.shown[:200])
            self.take_history(self.late, self.shown)


def test_bars_of_before_that_come_later_give_the_same_state() -> None:
    """Scores, windows, returns and context, whether or not the coin stands for the market."""
    bars = bars_in_order(None)[:1500]
    cut_ns = bars[len(bars) // 2].ts_event
    whole = run(bars, Watched(config()))
    for name in NAMES[:2]:
        mended = LeftBehind(config())
        mended.late, mended.before = name, [one for one in bars if one.ts_event <= cut_ns]
        run([one for one in bars if one.ts_event > cut_ns], mended)
        assert mended.is_mended
        assert looked_back(mended) == looked_back(whole)
        assert _measured(mended) == _measured(whole)


def _measured(strategy: Watched) -> list[bytes]:
    return [one.columns.tobytes() for one in strategy.filter._windows.values()]


def test_bars_stamped_as_the_live_adapter_does_are_the_same_bars() -> None:
    """Binance's stream ends a kline a millisecond early, less some float's rounding: nothing changes."""
    bars = bars_in_order(None)[:450]

    def early(bar: Bar) -> Bar:
        ts_ns = bar.ts_event - 1_000_064
        return Bar(bar.bar_type, bar.open, bar.high, bar.low, bar.close, bar.volume, ts_ns, bar.ts_init)

    exact, shifted = Watched(config()), Watched(config())
    run(bars, exact)
    run([early(one) for one in bars], shifted)
    assert looked_back(shifted) == looked_back(exact)
    assert signals(shifted, 0) == signals(exact, 0)
    assert exact.counters["bars_ready"] > 50


def test_only_the_last_milliseconds_before_a_boundary_are_the_boundary() -> None:
    """Anything else stays what it is, and is refused by whoever needs closed bars."""
    at = 10 * BAR_NS
    assert [close_of(at + one, BAR_NS) - at for one in (0, -1, -1_000_128, -2_000_001, 1)] == [
        0,
        0,
        0,
        -2_000_001,
        1,
    ]


# -- where the bars come from --------------------------------------------------------------------------------

NOW = 1_700_000_000_000_000_000 // BAR_NS * BAR_NS + 1


class Klines:
    """A market that closes one more bar each time it is asked for its second coin."""

    error: Exception = VenueError("banned")

    def __init__(self, clock: Any, *, refuses: str = "", times: int = 99) -> None:
        self.clock = clock
        self.refuses, self.times = refuses, times
        self.asked: list[tuple[str, int]] = []

    async def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> AsyncIterator[Any]:
        """Yield what has closed by now, in pages of 500."""
        assert interval == "5m"
        self.asked.append((symbol, start_ns))
        if symbol == self.refuses and self.times:
            self.times -= 1
            raise self.error if self.times < 2 else VenueError("banned")
        closed_ns = min(end_ns, self.clock.timestamp_ns()) // BAR_NS * BAR_NS
        opens = range(start_ns // BAR_NS * BAR_NS, closed_ns, BAR_NS)
        rows = [[one // 1_000_000, "1.5", "1.6", "1.4", "1.55", "10"] for one in opens]
        for start in range(0, len(rows), 500):
            yield rows[start : start + 500]
        self.clock.set_time(self.clock.timestamp_ns() + 2 * BAR_NS // 3)


class Listening:
    """A strategy on bars that writes down what it is shown."""

    is_running = True
    config = SimpleNamespace(ltf_secs=300, htf_secs=3600)

    def __init__(self, names: Sequence[str]) -> None:
        self.coins = {name: SimpleNamespace(last=None) for name in names}
        self.steps: list[Any] = []
        self.histories: dict[str, list[Levels]] = {}
        self.prepared: dict[str, list[Levels]] = {}

    def hold_back(self) -> None:
        """Note it."""
        self.steps.append("hold back")

    def warm_up(self, close_ns: int, bars: Mapping[str, Levels]) -> None:
        """Note the bars."""
        self.steps.append((close_ns, dict(bars)))

    def go_on(self) -> None:
        """Note it; a bar comes live."""
        self.steps.append("go on")
        for coin in self.coins.values():
            coin.last = SimpleNamespace(close_ns=NOW // BAR_NS * BAR_NS)

    def is_deciding(self, name: str) -> bool:
        """Tell that none is."""
        return name not in self.coins

    def begin_history(self, name: str) -> None:
        """Forget what was prepared."""
        self.prepared[name] = []

    def prepare_history(self, name: str, bars: Sequence[Levels]) -> None:
        """Note the bars: all of them come in the end."""
        self.prepared[name] += bars

    def take_history(self, name: str, bars: Sequence[Levels]) -> None:
        """Note the bars."""
        assert list(bars) == self.prepared[name]
        self.histories[name] = list(bars)


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bar_warmup, "RETRY_SECS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(bar_warmup, "AGAIN_SECS", (0.0, 0.01))


def warm(
    refuses: str = "",
    history: Callable[..., Any] = lambda *_: (),
    times: int = 99,
    universe: Any = None,
    wait_for: int = 0,
    kept: KeptBars | None = None,
    now_ns: int = NOW,
) -> tuple[Listening, Klines, list[Any]]:
    """Warm three coins up; return the strategy, the market and what was said of entries."""
    names = [f"{coin}-PERP.BINANCE" for coin in ("ADAUSDT", "BTCUSDT", "XRPUSDT")]
    clock, said, progress = TestClock(), [], []
    clock.set_time(now_ns)
    market, strategy = Klines(clock, refuses=refuses, times=times), Listening(names)

    async def main() -> None:
        bus, cache = MessageBus(TraderId("T-001"), clock), Cache()
        actor = BarWarmUpActor(
            DataSettings(warm_up_hours=1),
            strategies=lambda: [strategy],
            source_of=lambda _name: market,
            history=history,
            call_soon=lambda call: call(),
            on_progress=lambda done, total: progress.append((done, total)),
            universe_of=lambda _strategy: universe,
            kept=kept,
        )
        actor.register_base(Portfolio(bus, cache, clock), bus, cache, clock)
        bus.subscribe(topic=HOLD_TOPIC, handler=lambda one: said.append(("hold", one.instrument_id)))
        bus.subscribe(topic=RELEASE_TOPIC, handler=lambda one: said.append(("release", one.instrument_id)))
        actor.start()
        while not actor.is_ready or len([one for one, _ in said if one == "release"]) < wait_for:
            await asyncio.sleep(0.01)
        if kept is not None:
            await asyncio.gather(*actor._tasks)
        actor.stop()

    asyncio.run(main())
    assert progress == [(1, 3), (2, 3), (3, 3)]
    return strategy, market, said


def test_all_coins_are_warm_before_the_first_bar_is_decided() -> None:
    """A hundred bars of the highest timeframe, each close time once, those that closed meanwhile too."""
    strategy, market, said = warm()
    assert (strategy.steps[0], strategy.steps[-1]) == ("hold back", "go on")
    times = [one[0] for one in strategy.steps[1:-1]]
    assert times == list(range(times[0], times[-1] + 1, BAR_NS))
    assert len(times) >= 1200
    assert all(len(one[1]) == 3 for one in strategy.steps[1:1200])
    assert [kind for kind, _ in said] == ["hold"] * 3 + ["release"] * 3
    assert len(market.asked) == 6


def test_the_venue_is_asked_only_for_what_the_catalog_lacks() -> None:
    """From the close of its last bar on."""
    first_ns = NOW // BAR_NS * BAR_NS - 1200 * BAR_NS
    kept = [(first_ns + n * BAR_NS, 1.5, 1.6, 1.4, 1.55, 10.0) for n in range(1, 1001)]
    _, market, _ = warm(history=lambda *_: kept)
    assert {start for _, start in market.asked[:3]} == {kept[-1][0]}


def test_bars_are_read_since_the_universe_asks_for_them() -> None:
    """It ranks whole days: one that begins before the strategy's own bars must not be half a day."""
    wanted_ns = NOW // BAR_NS * BAR_NS - 3000 * BAR_NS
    shown: list[int] = []
    universe: Any = SimpleNamespace(
        wanted_from_ns=lambda _now_ns: wanted_ns,
        add=lambda _name, levels: shown.append(levels[0]),
        table=lambda _now_ns: None,
    )
    _, market, _ = warm(universe=universe)
    assert {start for _, start in market.asked[:3]} == {wanted_ns}
    assert (shown[0], len(set(shown)) >= 3000) == (wanted_ns + BAR_NS, True)


def test_the_next_start_asks_only_for_what_was_not_kept(tmp_path: Path) -> None:
    """It shows the same bars; behind a hole, of a damaged file or another market, it asks again."""
    kept, later_ns = KeptBars(tmp_path), NOW + 10 * BAR_NS
    first, _, _ = warm(kept=kept)
    names = sorted(first.coins)
    bars = kept.read(names[0], 300)
    assert [one[0] for one in bars] == [one[0] for one in first.steps[1:-1]]
    again, market, _ = warm(kept=kept, now_ns=later_ns)
    shown = dict(again.steps[1:-1])
    assert {one: shown[one] for one, _ in first.steps[11:-1]} == dict(first.steps[11:-1])
    assert min(start for _, start in market.asked) == bars[-2][0]  # is it this market?
    holed, other = array("d"), array("d")
    for close_ns, *levels in (*bars[:700], *bars[701:]):
        holed.extend((close_ns // 10**9, *levels))
    for close_ns, *levels in (*bars[:-1], (*bars[-1][:4], 1.57, 10.0)):
        other.extend((close_ns // 10**9, *levels))
    kept.write(names[0], 300, holed)
    (tmp_path / f"{names[1]}-300s.parquet").write_bytes(b"no file of bars")
    kept.write(names[2], 300, other)
    third, market, _ = warm(kept=kept, now_ns=later_ns)
    assert dict(third.steps[1:1200]) == dict(again.steps[1:1200])
    assert dict(market.asked[:2]) == {"ADAUSDT": bars[698][0], "XRPUSDT": bars[-2][0]}
    first_ns = bars[0][0] + 9 * BAR_NS
    assert dict(market.asked[2:5]) == {"ADAUSDT": bars[699][0], "BTCUSDT": first_ns, "XRPUSDT": first_ns}


def test_bars_of_another_environment_or_host_are_asked_for_again(tmp_path: Path) -> None:
    """Those of a testnet are no history of the real market, also where the newest are alike."""
    testnet = KeptBars(tmp_path, lambda _name: "testnet https://testnet.example")
    real = KeptBars(tmp_path, lambda _name: "live https://real.example")
    warm(kept=testnet)
    names = [f"{coin}-PERP.BINANCE" for coin in ("ADAUSDT", "BTCUSDT", "XRPUSDT")]
    assert all(testnet.read(name, 300) for name in names)
    assert not any(real.read(name, 300) for name in names)
    _, market, _ = warm(kept=real)
    first_ns = real.read(names[0], 300)[0][0] - BAR_NS
    assert {start for _, start in market.asked[:3]} == {first_ns}
    assert all(real.read(name, 300) for name in names)
    assert not any(testnet.read(name, 300) for name in names)


def test_a_source_is_an_environment_and_a_host() -> None:
    """A testnet, and a local exchange under the name of the real one, are two others than the real one."""

    def source(venue: str) -> str:
        text = f"live: {{venues: [{{venue: binance, market: usdm, {venue}}}]}}"
        return PublicRest(parse_settings(text)).source_of("BTCUSDT-PERP.BINANCE")

    local = "environment: live, hosts: {http: 'http://127.0.0.1:8080', ws: 'ws://127.0.0.1:8080'}"
    said = [source(one) for one in ("environment: live", "environment: testnet", local)]
    assert said[0] == f"live {Settings().hosts.binance_usdm}"
    assert said[2] == "live http://127.0.0.1:8080"
    assert said[1].startswith("testnet https://")


def test_a_hiccup_of_the_venue_costs_no_bars_that_were_kept(tmp_path: Path) -> None:
    """The question whether they are of this market is asked again."""
    kept = KeptBars(tmp_path)
    warm(kept=kept)
    newest_ns = kept.read("BTCUSDT-PERP.BINANCE", 300)[-1][0]
    _, market, _ = warm(refuses="BTCUSDT", times=2, kept=kept, now_ns=NOW + 10 * BAR_NS)
    asked = [start_ns for symbol, start_ns in market.asked if symbol == "BTCUSDT"]
    assert min(asked) == newest_ns - BAR_NS
    assert asked.count(newest_ns - BAR_NS) == 3


def test_a_coin_without_bars_stays_held() -> None:
    """The others trade."""
    _, _, said = warm(refuses="BTCUSDT")
    assert [name for kind, name in said if kind == "release"] == [
        "ADAUSDT-PERP.BINANCE",
        "XRPUSDT-PERP.BINANCE",
    ]


@pytest.mark.parametrize("error", [VenueError("banned"), TimeoutError(), KeyError("a bug")])
def test_a_coin_that_was_left_behind_is_asked_for_again(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in the warm-up and often after it: then it has all its bars up to the live one, and trades.

    Also where a try fails with what nobody expects. No try goes on with what another one has prepared.
    """
    monkeypatch.setattr(Klines, "error", error)
    strategy, _market, said = warm(refuses="BTCUSDT", times=10, wait_for=3)
    btc = "BTCUSDT-PERP.BINANCE"
    assert [name for kind, name in said if kind == "release"][-1] == btc
    assert list(strategy.histories) == [btc]
    times = [one[0] for one in strategy.histories[btc]]
    assert times == list(range(times[0], NOW // BAR_NS * BAR_NS + 1, BAR_NS))
    assert len(times) >= 1200
    assert not any(btc in one[1] for one in strategy.steps[1:-1])


def test_a_hiccup_of_the_venue_costs_no_coin_the_day() -> None:
    """It is asked again, and all coins are shown together all the same."""
    strategy, market, said = warm(refuses="BTCUSDT", times=2)
    assert [kind for kind, _ in said] == ["hold"] * 3 + ["release"] * 3
    assert len([one for one, _ in market.asked if one == "BTCUSDT"]) >= 3
    assert all(len(one[1]) == 3 for one in strategy.steps[1:1200])


def test_exits_do_not_wait_for_bars_of_before() -> None:
    """A bar of the warm-up manages what is open at once, and not a second time when it is scored."""
    managed: list[int] = []
    all_bars = bars_in_order(None)[:30]
    bars = [one for one in all_bars if one.bar_type == all_bars[0].bar_type]
    desk: Any = SimpleNamespace(
        _price_precision=2,
        _base_ns=BAR_NS,
        _managed_ns=0,
        setup=SimpleNamespace(is_closed=False, plan=SimpleNamespace(entry_kind="limit")),
        _manager=object(),
        _manage=lambda close_ns, *_prices: managed.append(close_ns),
        last=None,
    )
    desk.manage_early = lambda bar: CoinDesk.manage_early(desk, bar)
    strategy: Any = SimpleNamespace(_early=[])
    for bar in (*bars[:2], bars[1]):
        ConfluenceStrategy.take_bar(strategy, "BTCUSDT", desk, bar)
    closes = [one.ts_event for one in bars[:3]]
    assert managed == closes[:2]
    for close_ns in closes:
        scored: Any = SimpleNamespace(close_ns=close_ns, high=1.0, low=1.0, close=1.0, rsi=50.0)
        CoinDesk.manage(desk, scored)
    assert managed == closes
