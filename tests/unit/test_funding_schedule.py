"""Amounts and times of funding with a pencil, and what the settings refuse."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from runtime.download.venue_rows import FundingRate
from runtime.errors import ConfigurationError
from runtime.funding import write_funding
from runtime.funding_schedule import (
    FundingPlan,
    funding_text,
    minute_of,
    missing_times,
    plan_funding,
    rates_of,
)
from runtime.funding_venue import FundingVenueConfig
from runtime.instruments import make_instrument
from runtime.settings import FundingSettings, parse_settings
from strategies.trade_manager.funding import funding_amount
from strategies.trade_manager.ledger import Ledger
from strategies.trade_manager.orders import Fill

D = Decimal
HOUR_NS = 3600 * 10**9
MS = 1_000_000
PERPETUAL = make_instrument("binance", "usdm", "XRPUSDT", D("0.0001"), D("0.1"))
SPOT = make_instrument("binance", "spot", "XRPUSDT", D("0.0001"), D("0.1"))
NAME = PERPETUAL.id.value


@pytest.mark.parametrize(
    ("signed_qty", "price", "rate", "amount"),
    [
        ("100", "1.5", "0.0001", "-0.01500000"),
        ("-100", "1.5", "0.0001", "0.01500000"),
        ("100", "1.5", "-0.0001", "0.01500000"),
        ("-100", "1.5", "-0.0001", "-0.01500000"),
        ("0.1", "0.0001", "0.0005", "0E-8"),  # half of the last unit: to even
        ("0.3", "0.0001", "0.0005", "-2E-8"),
        ("123456789.1", "98765.4321", "0.00012345", "-1505258332.30474166"),
    ],
)
def test_amounts(signed_qty: str, price: str, rate: str, amount: str) -> None:
    """Longs pay a positive rate; the amount is exact and rounded once, to the currency's precision."""
    found = funding_amount(D(signed_qty), D(price), D(rate), 8)
    assert str(found) == str(D(amount))


def test_a_ledger_keeps_funding_apart_and_counts_it_into_the_profit() -> None:
    """A long of 100 from 1.50 to 1.60 with 0.05 of fees that paid 0.03 and received 0.01."""
    ledger = Ledger(1, D("0.1"))
    ledger.enter(Fill(1, "1", D(100), D("1.5"), D("0.02"), D(0)))
    ledger.fund(D("-0.03"))
    ledger.fund(D("0.01"))
    ledger.leave(Fill(2, "2", D(100), D("1.6"), D("0.03"), D(0)))
    assert (ledger.funding, ledger.fees, ledger.pnl) == (D("-0.02"), D("0.05"), D("9.93"))


def test_stamps_some_milliseconds_off_count_as_their_minute() -> None:
    """Both ways."""
    assert minute_of(8 * HOUR_NS + 14 * MS) == minute_of(8 * HOUR_NS - 3 * MS) == 8 * HOUR_NS


def test_rates_of_the_catalog_within_the_span(tmp_path: Path) -> None:
    """Both ends are included, by the minute and not by the stamp."""
    stored = [FundingRate(n * 8 * HOUR_NS + 9 * MS, D(n) / 10_000) for n in range(1, 6)]
    write_funding(tmp_path, NAME, stored)
    rates = rates_of(FundingSettings(), tmp_path, NAME, (16 * HOUR_NS, 32 * HOUR_NS))
    assert rates == {16 * HOUR_NS: D("0.0002"), 24 * HOUR_NS: D("0.0003"), 32 * HOUR_NS: D("0.0004")}


def test_a_constant_rate_has_every_time_of_its_interval(tmp_path: Path) -> None:
    """From 00:00 UTC on, both ends included."""
    settings = FundingSettings(source="constant", rate_pct=D("0.01"), interval_hours=4)
    rates = rates_of(settings, tmp_path, NAME, (4 * HOUR_NS, 13 * HOUR_NS))
    assert rates == dict.fromkeys((4 * HOUR_NS, 8 * HOUR_NS, 12 * HOUR_NS), D("0.0001"))


MISSING = {
    "all": ([], (1, 24 * HOUR_NS), 3),
    "none": ([8, 16, 24], (1, 24 * HOUR_NS), 0),
    "one in between": ([8, 24], (1, 24 * HOUR_NS), 1),
    "more often than eight hours": ([4, 8, 12, 16, 20, 24], (1, 24 * HOUR_NS), 0),
    "the ends count": ([], (8 * HOUR_NS, 16 * HOUR_NS), 2),
    "a span without a funding time": ([], (1, 7 * HOUR_NS), 0),
}


@pytest.mark.parametrize(("hours", "span_ns", "count"), MISSING.values(), ids=MISSING.keys())
def test_missing_times(hours: list[int], span_ns: tuple[int, int], count: int) -> None:
    """Counted on the eight-hour grid that every interval shares."""
    assert missing_times([hour * HOUR_NS for hour in hours], span_ns) == count


def test_a_plan_names_times_and_gaps(tmp_path: Path) -> None:
    """Perpetuals alone; a module only where something can be settled."""
    write_funding(tmp_path, NAME, [FundingRate(8 * HOUR_NS, D("0.0001"))])
    span_ns = (1, 24 * HOUR_NS)
    plan = plan_funding(FundingSettings(), tmp_path, [PERPETUAL], span_ns)
    assert (plan.times, plan.missing) == ({NAME: 1}, {NAME: 2})
    assert plan.module is not None
    assert plan_funding(FundingSettings(), tmp_path / "empty", [PERPETUAL], span_ns).module is None
    assert plan_funding(FundingSettings(), tmp_path, [SPOT], span_ns) == FundingPlan()
    constant = FundingSettings(source="constant", rate_pct=D("0.01"), interval_hours=4)
    plan = plan_funding(constant, tmp_path, [PERPETUAL], span_ns)
    assert (plan.times, plan.missing) == ({NAME: 6}, {})
    assert FundingVenueConfig.parse(msgspec.json.encode(plan.module)).rate_pct == D("0.01")
    assert plan_funding(FundingSettings(source="none"), tmp_path, [PERPETUAL], span_ns) == FundingPlan()


def test_words_of_the_report() -> None:
    """What was settled, and at which price."""
    constant = FundingSettings(source="constant", rate_pct=D("0.010"))
    assert funding_text(constant, on_bars=True) == "0.010 % every 8 h, at the last close"
    assert funding_text(FundingSettings(), on_bars=False) == "rates of the catalog, at the last trade"
    assert funding_text(FundingSettings(source="none"), on_bars=False) == "not settled"


REFUSED = {
    "{source: constant}": "source constant needs rate_pct",
    "{rate_pct: 0.01}": "rate_pct 0.01 is set, but source is catalog: set constant",
    "{source: constant, rate_pct: 21}": "rate_pct 21 must be between -20 and 20 percent",
    "{source: constant, rate_pct: .nan}": "rate_pct NaN must be between -20 and 20 percent",
    "{source: market}": "Invalid enum value 'market'",
    "{source: constant, rate_pct: 0.01, interval_hours: 3}": "Invalid enum value 3",
    "{rate: 0.01}": "unknown setting $.backtest.funding.rate, did you mean rate_pct",
}


@pytest.mark.parametrize(("text", "words"), REFUSED.items(), ids=REFUSED.keys())
def test_settings_that_are_refused(text: str, words: str) -> None:
    """With the path and what to do."""
    with pytest.raises(ConfigurationError) as error:
        parse_settings(f"backtest: {{funding: {text}}}")
    assert words in str(error.value)
    assert "$.backtest.funding" in str(error.value)
