"""What desks were told is told again, whoever is asked in between; odd bars of adapters become plain ones."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
from nautilus_trader.model.data import Bar

from runtime.live.bar_warmup import bars_needed, highest_secs
from runtime.live.recorded_answers import answer_text, record_answers, tell_answers
from runtime.live.recorded_values import plain_bar
from strategies.entry_limits import EntryIntent, EntryLimits, LimitRules
from strategies.setup_keeper import DeskMemory

SESSION = {"is_limited": True, "is_kept": True}
ZERO = Decimal(0)


class Keeper:
    """Remembers one zone, and cannot store every second setup."""

    def __init__(self) -> None:
        self.kept = 0

    def keep(self, desk: Any, setup: Any, *, is_intent: bool) -> bool:
        """Store a setup."""
        del desk, setup, is_intent
        self.kept += 1
        return self.kept % 2 == 1

    def recall(self, desk: Any) -> tuple[list[Any], DeskMemory]:
        """Return what the desk knew."""
        del desk
        return [], DeskMemory(dust_qty="0.5")

    def was_used(self, desk: Any, setup_id: str) -> bool:
        """Tell whether a zone was traded."""
        del desk
        return setup_id == "L1"


def asked(desk: Any) -> list[Any]:
    """Ask in an order that mixes usual and unusual answers."""
    keeper, limits = desk.keeper, desk.entry_limits
    entries = [EntryIntent(n, "XRPUSDT.BINANCE", Decimal(n), Decimal(1), ZERO, ZERO) for n in (1, 9, 2, 8)]
    return [
        keeper.recall(desk),
        [keeper.was_used(desk, one) for one in ("L2", "L1", "L3")],
        [keeper.keep(desk, None, is_intent=True) for _ in range(4)],
        [limits.check(one) for one in entries],
    ]


def test_a_replayed_desk_hears_the_same_answers() -> None:
    """Refusals, memory and failures come back at the same questions, without limits or state file."""
    noted: dict[str, bytes] = {}
    limits = EntryLimits(LimitRules(max_symbol_notional=Decimal(5)))
    recorded = SimpleNamespace(entry_limits=limits, keeper=Keeper())
    record_answers(recorded, "0:OTE-000", noted.__setitem__)
    heard = asked(recorded)
    assert sum(one is not None for one in heard[3]) == 2
    assert set(noted) == {
        "recall:0:OTE-000#1",
        "was_used:0:OTE-000#2",
        "keep:0:OTE-000#2",
        "keep:0:OTE-000#4",
        "check:0:OTE-000#2",
        "check:0:OTE-000#4",
    }
    replayed = SimpleNamespace(entry_limits=None, keeper=None)
    tell_answers(replayed, "0:OTE-000", lambda name: noted.get(name), SESSION)
    assert asked(replayed) == heard
    text = msgspec.json.decode(answer_text("check:0:OTE-000#2", noted["check:0:OTE-000#2"]))
    assert text["answer"]["reason"] == "risk"


def test_a_session_without_limits_has_none() -> None:
    """Nothing is put where nothing was."""
    desk = SimpleNamespace(entry_limits=None, keeper=None)
    tell_answers(desk, "0:A", lambda _name: None, {"is_limited": False, "is_kept": False})
    assert desk.entry_limits is None
    assert desk.keeper is None


def test_a_bar_of_an_adapter_becomes_a_plain_one() -> None:
    """Binance's adapter sends a type of its own, with turnover and counts."""
    payload = (
        b'{"type":"BinanceBar","bar_type":"AAVEUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL","open":"67.1",'
        b'"high":"67.2","low":"67.1","close":"67.1","volume":"149.618","quote_volume":"10043.1","count":4,'
        b'"ts_event":1795287599999000064,"ts_init":1795287601023418710}'
    )
    bar = plain_bar(payload)
    assert type(bar) is Bar
    assert str(bar.high) == "67.2"
    assert bar.ts_event == 1_795_287_599_999_000_064


def test_the_warm_up_reads_what_the_bias_needs() -> None:
    """The longest bars of any coin, as many as make the bias known, and two that are cut."""
    coins = {"A": SimpleNamespace(htf_secs=None), "B": SimpleNamespace(htf_secs=86_400)}
    config = SimpleNamespace(htf_secs=14_400, htf_warm_up_bars=150, coins=coins)
    assert bars_needed(config) == 152
    assert highest_secs(config) == 86_400
    assert highest_secs(SimpleNamespace(htf_secs=3600, coins=None)) == 3600
