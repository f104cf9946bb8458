"""What the account made today, and lost from its top."""

from decimal import Decimal
from pathlib import Path

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
