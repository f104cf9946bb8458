"""What a terminal is told of a session on many coins' klines: its bars, scores and signals."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from indicators.confluence.config import ConfluenceConfig, ConfluenceWeights
from indicators.confluence.explain import FACTORS, explain
from indicators.confluence.row import CONFLUENCE_DTYPE
from indicators.structure_config import StructureConfig
from strategies.close_bars import Levels, scored_bar
from strategies.trade_manager.record import Decision
from ui.protocol import Bar, SignalMark
from ui.telemetry import views
from ui.telemetry.coin_bars import AT_ONCE, KEPT, CoinBars
from ui.telemetry.looks import Looks
from ui.telemetry.sources import TelemetrySources

SECS = 300
STEP_NS = SECS * 1_000_000_000
NOW_NS = 10_000 * STEP_NS
SCORING = ConfluenceConfig(structure=StructureConfig(tick_size=0.1))


class Desk:
    """A coin that scores nothing."""

    score = SCORING

    def __init__(self, *, is_held: bool = False) -> None:
        self.holds = ("warmup",) if is_held else ()

    def take_levels(self, levels: Levels) -> Any:
        """Take a bar, as `strategies.coin_desk.CoinDesk`."""
        if levels[1] <= 0:
            raise ValueError("no price")
        return scored_bar(levels, np.zeros(1, CONFLUENCE_DTYPE)[0])


def levels(close_ns: int, price: float = 2.0) -> Levels:
    """Return a bar at one price."""
    return (close_ns, price, price, price, price, 1.0)


class Told:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.states: list[Any] = []

    def publish(self, kind: str, payload: Any, ts_ns: int) -> None:
        """Take a message."""
        (self.bars if kind == "bar" else self.states).append(payload)


def watched(**coins: Desk) -> tuple[CoinBars, Told]:
    """Watch a strategy of some coins."""
    told = Told()
    bars = CoinBars(told)
    strategy = SimpleNamespace(coins=coins, config=SimpleNamespace(ltf_secs=SECS))
    for _ in range(2):  # it is asked at each look
        bars.watch(strategy)
    bars.watch(SimpleNamespace(config=None))  # one on buckets has no coins
    return bars, told


def test_each_bar_between_two_looks_is_told() -> None:
    """A strategy shows its last bar alone: sampling it would leave a gap that nobody sees."""
    desk = Desk()
    bars, told = watched(X=desk)
    for number in range(3):
        desk.take_levels(levels(NOW_NS + number * STEP_NS, 2.0 + number))
    bars.tell(NOW_NS + 2 * STEP_NS)
    bars.tell(NOW_NS + 2 * STEP_NS)
    assert [(one.ins, one.tf, one.c) for one in told.bars] == [
        ("X", "5m", 2.0),
        ("X", "5m", 3.0),
        ("X", "5m", 4.0),
    ]
    assert [one.t for one in told.bars] == [(NOW_NS + (number - 1) * STEP_NS) // 10**6 for number in range(3)]


def test_a_bar_that_is_refused_is_not_told() -> None:
    """And the strategy hears of it as before."""
    desk = Desk()
    bars, told = watched(X=desk)
    with pytest.raises(ValueError, match="no price"):
        desk.take_levels(levels(NOW_NS, -1.0))
    bars.tell(NOW_NS)
    assert told.bars == []


def test_of_a_warm_up_the_newest_bars_are_told_once_it_is_over() -> None:
    """Without a hole between them: some of thousands, side by side, would be a chart of nothing that was."""
    desk = Desk(is_held=True)
    bars, told = watched(X=desk)
    count = KEPT + 50
    for back in range(count, 0, -1):
        desk.take_levels(levels(NOW_NS - back * STEP_NS - 10 * STEP_NS))
        bars.tell(NOW_NS)
    assert told.bars == []
    for back in range(10, -1, -1):
        desk.take_levels(levels(NOW_NS - back * STEP_NS))
    for _ in range(KEPT // AT_ONCE):
        bars.tell(NOW_NS)
    times = [one.t for one in told.bars]
    assert len(times) == KEPT
    assert set(np.diff(times)) == {SECS * 1_000}
    assert times[-1] == (NOW_NS - STEP_NS) // 10**6


def test_what_a_warm_up_left_behind_is_no_neighbour_of_what_comes() -> None:
    """The catalog ends a month ago and the venue did not answer: the first live kline begins the chart."""
    desk = Desk(is_held=True)
    bars, told = watched(X=desk)
    for back in range(10, 0, -1):
        desk.take_levels(levels(NOW_NS - (8_000 + back) * STEP_NS))
    desk.holds = ()
    desk.take_levels(levels(NOW_NS))
    bars.tell(NOW_NS)
    assert len(told.bars) == 1


def test_a_coin_that_waits_does_not_keep_others_back() -> None:
    """One that could not be warmed up goes on to be held; a coin whose bars ended is shown as it is."""
    behind, ended, alive = Desk(is_held=True), Desk(), Desk()
    bars, told = watched(A=behind, B=ended, C=alive)
    for desk in (behind, ended):
        desk.take_levels(levels(NOW_NS - 100 * STEP_NS))
    alive.take_levels(levels(NOW_NS))
    bars.tell(NOW_NS)
    assert [one.ins for one in told.bars] == ["B", "C"]


def test_the_turn_of_a_look_is_short() -> None:
    """The factors of 30,000 bars at once would hold orders up."""
    coins = {name: Desk() for name in "ABCDE"}
    bars, told = watched(**coins)
    for desk in coins.values():
        for back in range(60, 0, -1):
            desk.take_levels(levels(NOW_NS - back * STEP_NS))
    bars.tell(NOW_NS)
    assert len(told.bars) == AT_ONCE


def test_a_klines_points_are_those_of_its_explanation() -> None:
    """Of the side that is ahead, in the same order; the sentences are left out because they cost the node."""
    dice = np.random.default_rng(3)
    rows = np.zeros(400, CONFLUENCE_DTYPE)
    for side in ("long", "short"):
        rows[f"score_{side}"] = dice.choice([0.0, 25.0, 60.0], 400)
        rows[f"{side}_htf"] = dice.integers(0, 3, 400)
        for name in FACTORS[1:]:
            rows[f"{side}_{name}"] = dice.integers(0, 2, 400)
    for row in rows:
        told = views.bar_view("X", SECS, scored_bar(levels(NOW_NS), row), SCORING)
        assert list(told.factors.items()) == [(one.factor, one.points) for one in explain(row, SCORING)]


def decision(kind: str, **fields: Any) -> Decision:
    """Return a decision about a signal, as `strategies.signal_records` publishes it."""
    detail = {
        "confidence": 0.35,
        "factor_htf": 25.0,
        "factor_rsi": 0.0,
        "why": "short 35 of 100",
        **fields.pop("detail", {}),
    }
    return Decision(
        kind=kind, strategy_id="C-1", instrument_id="X", ts_ns=NOW_NS, zone_id=3, side="short", price="2.0",
        stop="2.1", target="1.8", detail=detail, **fields,
    )  # fmt: skip


def signal(kind: str, **fields: Any) -> SignalMark:
    """Return what is told of it."""
    found = views.signal_of(decision(kind, **fields))
    assert found is not None
    return found


def test_a_skipped_signal_says_what_was_compared() -> None:
    """The figure, its limit, and the words of the rule, where there are any."""
    detail = {"figure": 0.97, "limit": 0.95, "text": "moves like ETHUSDT"}
    told = signal("signal_skipped", reason="correlated", detail=detail)
    assert (told.skip, told.figure, told.limit, told.said) == ("correlated", 0.97, 0.95, "moves like ETHUSDT")
    assert told.why == "short 35 of 100"
    none = signal("signal_skipped", reason="in_position", detail={"figure": 0.0, "limit": 0.0, "text": ""})
    assert (none.figure, none.limit, none.said) == (None, None, "")


def test_a_signal_says_what_its_model_said() -> None:
    """Probability, threshold and answer; without a model nothing of it."""
    asked = signal("signal_taken", probability=0.58, threshold=0.55, detail={"model": "kept"})
    assert (asked.p, asked.thr, asked.model, asked.taken) == (0.58, 0.55, "kept", True)
    unfit = signal("signal_skipped", reason="model", threshold=0.55, detail={"model": "unfit_row"})
    assert (unfit.p, unfit.thr, unfit.model) == (None, 0.55, "unfit_row")
    rules = signal("signal_taken")
    assert (rules.p, rules.thr, rules.model) == (None, None, None)


def test_the_state_says_what_a_score_is_made_of_and_what_it_must_reach() -> None:
    """The most points of each factor, and the least score of each coin."""
    told = Told()
    weights = ConfluenceWeights(fvg=12.0)
    desk = SimpleNamespace(
        instrument_id=SimpleNamespace(value="X"), is_halted=False, rules=SimpleNamespace(min_confidence=35.0),
        score=ConfluenceConfig(structure=StructureConfig(tick_size=0.1), weights=weights),
    )  # fmt: skip
    strategy = SimpleNamespace(desks=[desk], config=SimpleNamespace())
    cache = SimpleNamespace(instrument=lambda _id: None)
    sources = TelemetrySources(mode="paper", session="S", strategies=lambda: [strategy], equity=lambda: None)
    Looks(sources, told, cache, "T", has_chart=lambda _name: False).state(NOW_NS)
    (state,) = told.states
    assert state.factors == {
        "htf": 25.0,
        "sweep": 20.0,
        "order_block": 20.0,
        "fvg": 12.0,
        "rsi": 10.0,
        "structure": 10.0,
    }
    assert [one.min_score for one in state.instruments] == [35.0]


def test_the_silence_of_coins_on_klines_is_no_dead_feed() -> None:
    """Trades come of coins that are entered; a strategy on trades wants to know that none come."""
    tick = SimpleNamespace(ts_init=NOW_NS - 60 * 10**9)
    cache = SimpleNamespace(trade_tick=lambda _id: tick)
    desk = SimpleNamespace(instrument_id="X")
    on_klines = SimpleNamespace(coins={"X": desk}, desks=[desk])
    on_trades = SimpleNamespace(desks=[desk])

    def age(*strategies: Any) -> float | None:
        sources = TelemetrySources(
            mode="paper", session="S", strategies=lambda: strategies, equity=lambda: None
        )
        return Looks(sources, Told(), cache, "T", has_chart=lambda _name: False).tick_age_ms(NOW_NS)

    assert age(on_klines) is None
    assert age(on_klines, on_trades) == 60_000
