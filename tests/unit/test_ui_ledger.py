"""What the account made today, and lost from its top."""

from decimal import Decimal
from pathlib import Path

from ui.protocol import ClosedTrades, Trade
from ui.telemetry.ledger import DayLedger, spread

DAY_NS = 86_400_000_000_000
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2


def test_a_day_begins_at_midnight_and_the_top_stays() -> None:
    """Fees are those of the day as well."""
    ledger = DayLedger()
    ledger.take(Decimal(100), NOON_NS)
    ledger.pay(Decimal("0.5"))
    ledger.take(Decimal(120), NOON_NS + 1)
    ledger.take(Decimal(90), NOON_NS + 2)
    assert (ledger.pnl, ledger.drawdown_pct, ledger.fees) == (Decimal(-10), 25.0, Decimal("0.5"))
    ledger.take(Decimal(96), NOON_NS + DAY_NS)
    assert (ledger.pnl, ledger.drawdown_pct, ledger.fees) == (Decimal(0), 20.0, Decimal(0))


def test_a_restart_forgets_neither_day_nor_top(tmp_path: Path) -> None:
    """The session of before has begun the day."""
    file = tmp_path / "day.json"
    before = DayLedger(file)
    before.take(Decimal(100), NOON_NS)
    before.pay(Decimal("0.5"))
    before.save()
    after = DayLedger(file)
    after.take(Decimal(99), NOON_NS + DAY_NS // 4)
    assert (after.pnl, after.drawdown_pct, after.fees) == (Decimal(-1), 1.0, Decimal("0.5"))


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    """Only figures on a screen depend on it."""
    file = tmp_path / "day.json"
    file.write_text('{"day": 7}')
    ledger = DayLedger(file)
    ledger.take(Decimal(99), NOON_NS)
    assert ledger.pnl == 0


def test_a_spread_of_nothing_is_unknown() -> None:
    """No figure is better than zero."""
    assert spread([]) == (None, None)
    assert spread(range(101)) == (50, 99)


def trade(setup: str, pnl: str, at_ns: int, r: float | None = None, ccy: str = "USDT") -> Trade:
    """Return a trade that closed."""
    moment = at_ns // 1_000_000
    figures = {"qty": "1", "entry": "1", "exit": "1", "pnl": pnl, "fees": "0", "reason": "stop"}
    return Trade(setup=setup, ins="X", side="long", ts=moment, since=moment, r=r, ccy=ccy, **figures)


def test_a_restart_forgets_no_closed_trade(tmp_path: Path) -> None:
    """Also of a node that was killed, and however many there were; one that is told again counts once."""
    file = tmp_path / "day.json"
    before = DayLedger(file)
    before.take(Decimal(100), NOON_NS)
    for number in range(600):
        before.close(trade(f"S{number}", "-0.1", NOON_NS + 1, r=-1.0))
    after = DayLedger(file)
    after.take(Decimal(40), NOON_NS + 2)
    after.close(trade("S599", "-0.1", NOON_NS + 1, r=-1.0))
    assert after.closed == {"USDT": ClosedTrades(n=600, pnl="-60.0", r=-600.0)}


def test_closed_trades_are_those_of_the_day() -> None:
    """One that is told after midnight but closed before is none of the new day."""
    ledger = DayLedger()
    ledger.take(Decimal(100), NOON_NS)
    ledger.close(trade("A", "5", NOON_NS, r=1.0))
    ledger.take(Decimal(100), NOON_NS + DAY_NS)
    ledger.close(trade("B", "5", NOON_NS, r=1.0))
    assert ledger.closed == {}


def test_currencies_are_not_added_up() -> None:
    """A trade without a known risk adds nothing to the multiples of it."""
    ledger = DayLedger()
    ledger.take(Decimal(100), NOON_NS)
    for number, (ccy, pnl, r) in enumerate(
        [("USDT", "5", 1.0), ("BTC", "-0.001", None), ("USDT", "-2", None)]
    ):
        ledger.close(trade(f"S{number}", pnl, NOON_NS, r=r, ccy=ccy))
    assert ledger.closed == {
        "USDT": ClosedTrades(n=2, pnl="3", r=1.0),
        "BTC": ClosedTrades(n=1, pnl="-0.001", r=None),
    }


def test_a_file_of_before_closed_trades_is_read(tmp_path: Path) -> None:
    """A node that is updated goes on with its day."""
    file = tmp_path / "day.json"
    file.write_text('{"day":"2024-10-04","begun_with":"100","top":"120","fees":"1"}')
    ledger = DayLedger(file)
    ledger.take(Decimal(90), NOON_NS)
    assert (ledger.pnl, ledger.closed) == (Decimal(-10), {})
