"""What venues say of funding, and who is told of it."""

import asyncio
import time
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import MessageBus, TestClock
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.portfolio.portfolio import Portfolio

from runtime.download.budget import HostBudget
from runtime.errors import VenueError
from runtime.live.bybit_funding import FundingFilter
from runtime.live.freshness import ClockOffset
from runtime.live.funding import (
    INCOME_ROWS,
    BinanceIncome,
    BybitFundings,
    FundingActor,
    VenuePayment,
    record_of,
)
from runtime.live.keys import Keys
from runtime.live.settings import LiveVenue
from runtime.live.signed import SignedRest
from strategies.setup_desk import SetupDesk
from strategies.setup_keeper import DeskMemory
from strategies.trade_manager.funding import FundingPayment
from strategies.trade_manager.setup_rules import ExitRules

D = Decimal
MS = 1_000_000
NOW_NS = 1_700_000_000_000 * MS
NAME = "BTCUSDT-PERP.BINANCE"


class Income:
    """Binance's record: one payment a minute, two of them at once."""

    def __init__(self, count: int) -> None:
        self.rows: list[dict[str, Any]] = [
            {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": f"{n}.5", "time": max(n, 2) * 60_000}
            for n in range(1, count + 1)
        ]
        self.asked: list[int] = []

    async def binance(self, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
        """Answer a page, as the venue limits it."""
        assert (path, params["incomeType"]) == ("/fapi/v1/income", "FUNDING_FEE")
        start, end = int(params["startTime"]), int(params["endTime"])
        self.asked.append(start)
        return [one for one in self.rows if start <= one["time"] <= end][: int(params["limit"])]


@pytest.mark.parametrize("count", [0, 3, INCOME_ROWS, 2 * INCOME_ROWS + 7])
def test_binances_income_comes_in_pages_each_payment_once(count: int) -> None:
    """Also where two of the same moment lie on both sides of a page's end."""
    rest = Income(count)
    record = BinanceIncome(rest)  # type: ignore[arg-type]
    found = asyncio.run(record.payments(0, 10**12))
    assert [one.amount for one in found] == [D(f"{n}.5") for n in range(1, count + 1)]
    assert {one.ts_ns % (60_000 * MS) for one in found} <= {0}


def test_a_banned_host_is_not_asked() -> None:
    """Nor is it asked again: the ban would grow. What this question meets, the others of the host know."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(429, headers={"Retry-After": "30"}, json={"code": -1003, "msg": "too many"})

    budget = HostBudget(time.monotonic)
    keys, transport = Keys(key="key", secret="secret"), httpx.MockTransport(answer)
    record = BinanceIncome(SignedRest("http://venue", keys, budget=budget, transport=transport))
    for words in ("again in 30 s", "not asked"):
        with pytest.raises(VenueError, match=words):
            asyncio.run(record.payments(0, 10**12))
    assert asked == ["/fapi/v1/income"]
    assert 0 < budget.silence_secs <= 30


class Executions:
    """Bybit's record of executions; a venue that is busy for the first questions."""

    def __init__(self, *rows: dict[str, str], busy: int = 0) -> None:
        self.rows, self.busy = rows, busy
        self.asked: list[dict[str, str]] = []

    async def get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        """Answer in pages of two."""
        assert path == "/v5/execution/list"
        self.asked.append(params)
        if len(self.asked) <= self.busy:
            raise VenueError("busy")
        wanted = params.get("execType", "")
        end = int(params.get("endTime", 10**15))
        found = [
            one
            for one in self.rows
            if wanted in ("", one["execType"]) and int(params["startTime"]) <= int(one["execTime"]) <= end
        ]
        first = int(params.get("cursor", 0))
        return {
            "list": found[first : first + 2],
            "nextPageCursor": str(first + 2) if found[first + 2 :] else "",
        }


def execution(number: int, kind: str, fee: str = "0") -> dict[str, str]:
    """Return a row."""
    return {
        "execId": f"e{number}", "execType": kind, "execFee": fee, "symbol": "BTCUSDT", "feeRate": "0.0001",
        "execPrice": "50000", "execQty": "0.5", "execTime": str(number * 86_400_000),
    }  # fmt: skip


def test_bybits_funding_is_what_the_fee_is_not() -> None:
    """A positive fee was paid. Spans of more than a week are asked for in parts."""
    rows = [
        execution(9, "Funding", "-1.25"),
        execution(8, "Trade"),
        *(execution(n, "Funding", "2.5") for n in (3, 2, 1)),
    ]
    rest = Executions(*rows)
    found = asyncio.run(BybitFundings(FundingFilter(rest, print)).payments(0, 10 * 86_400_000))  # type: ignore[arg-type]
    assert [one.amount for one in found] == [D("-2.5")] * 3 + [D("1.25")]
    assert (found[0].rate, found[0].price, found[0].qty) == (D("0.0001"), D(50000), D("0.5"))
    assert {int(one["endTime"]) - int(one["startTime"]) < 7 * 86_400_000 for one in rest.asked} == {True}


@pytest.mark.parametrize(("number", "is_funding"), [(2, True), (8, False)])
def test_an_execution_of_nobody_waits_until_the_venue_says_what_it_is(number: int, is_funding: bool) -> None:
    """It is never taken for a fill on the mere hope that it is one."""
    rest = Executions(execution(8, "Trade"), execution(2, "Funding"), busy=2)
    said: list[str] = []
    one = FundingFilter(rest, said.append)  # type: ignore[arg-type]
    assert asyncio.run(one.is_funding(f"e{number}", number * 86_400_000 * MS)) is is_funding
    assert len(said) == 1


def test_each_trade_is_told_of_its_own_payments_alone() -> None:
    """Not of those that it has booked; what belongs to none is told once; a desk without one asks nobody."""

    class Record:
        def __init__(self) -> None:
            self.asked: list[int] = []

        async def payments(self, since_ms: int, until_ms: int) -> list[VenuePayment]:
            self.asked.append(since_ms)
            made = [("BTCUSDT", 1, "-1"), ("ETHUSDT", 2, "-9"), ("BTCUSDT", 3, "2"), ("BTCUSDT", 5, "7")]
            made.append(("BTCUSDT", 2, "4"))  # booked by another way meanwhile
            return [
                VenuePayment(symbol=symbol, ts_ns=NOW_NS + n * MS, amount=D(text)) for symbol, n, text in made
            ]

    ledger = SimpleNamespace(funded_ns=NOW_NS + 2 * MS)
    setup = SimpleNamespace(position_qty=D("0.5"), plan=SimpleNamespace(direction=-1), ledger=ledger)
    booked: dict[str, int | None] = {"BTCUSDT": NOW_NS + MS, "XRPUSDT": None}
    desks = [
        SimpleNamespace(
            instrument=SimpleNamespace(raw_symbol=SimpleNamespace(value=symbol)),
            instrument_id=InstrumentId.from_str(f"{symbol}-PERP.BINANCE"),
            strategy_id="S-1",
            setup=setup,
            funded_until_ns=lambda _since, until=until: until,
            trade_of_funding=lambda ts_ns: setup if ts_ns < NOW_NS + 4 * MS else None,
            stray_funding_ns=0,
        )
        for symbol, until in booked.items()
    ]
    clock, record = TestClock(), Record()
    told: list[Any] = []
    clock.set_time(NOW_NS + 10 * MS)

    async def main() -> None:
        bus, cache = MessageBus(TraderId("T-001"), clock), Cache()
        actor = FundingActor(
            {"BINANCE": record},
            strategies=lambda: [SimpleNamespace(desks=desks)],
            call_soon=lambda call: call(),
        )
        actor.register_base(Portfolio(bus, cache, clock), bus, cache, clock)
        bus.subscribe(topic="funding.*", handler=told.append)
        await actor.look()
        ledger.funded_ns = NOW_NS + 3 * MS
        desks[0].stray_funding_ns = NOW_NS + 5 * MS
        await actor.look()

    asyncio.run(main())
    assert record.asked == [NOW_NS // MS + 1] * 2
    words = {"instrument_id": NAME, "strategy_id": "S-1", "rate": None, "price": None}
    assert told == [
        FundingPayment(ts_ns=NOW_NS + 3 * MS, signed_qty=D("-0.5"), amount=D(2), **words),
        FundingPayment(ts_ns=NOW_NS + 5 * MS, signed_qty=D(0), amount=D(7), **words),
    ]


@pytest.mark.parametrize(("venue", "market"), [("binance", "usdm"), ("bybit", "linear")])
def test_questions_are_stamped_by_the_venues_clock(
    venue: str, market: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is a minute behind, and the venue would refuse every question."""
    for prefix in ("BINANCE_USDM", "BINANCE", "BYBIT"):
        monkeypatch.setenv(f"{prefix}_API_KEY", "key")
        monkeypatch.setenv(f"{prefix}_API_SECRET", "secret")
    account = LiveVenue(venue=venue, market=market)  # type: ignore[arg-type]
    stamps: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        stamp = request.url.params.get("timestamp") or request.headers["X-BAPI-TIMESTAMP"]
        stamps.append(int(stamp) - time.time_ns() // MS)
        rows: Any = [] if venue == "binance" else {"retCode": 0, "result": {"list": []}}
        return httpx.Response(200, json=rows)

    whole, transport = httpx.AsyncClient.__init__, httpx.MockTransport(answer)
    monkeypatch.setattr(
        httpx.AsyncClient, "__init__", lambda self, **given: whole(self, **{**given, "transport": transport})
    )
    context: Any = SimpleNamespace(
        clock_offsets={account.venue_name: ClockOffset(60_000 * MS, MS)},
        rest=SimpleNamespace(http=SimpleNamespace(budget=lambda _address: HostBudget(time.monotonic))),
    )
    assert asyncio.run(record_of(context, account).payments(0, 1000)) == []
    assert all(59_000 < one < 61_000 for one in stamps)
    assert len(stamps) == 1


def traded(entry: int, ended: int | None, funded: int = 0) -> Any:
    """Return a trade by its times, milliseconds; None while it is open."""
    ledger = SimpleNamespace(entry_ts_ns=entry * MS, exit_ts_ns=(ended or 0) * MS, funded_ns=funded * MS)
    return SimpleNamespace(ledger=ledger, is_closed=ended is not None)


def test_funding_of_the_trade_before_is_not_lost_with_the_next_entry() -> None:
    """The venue's record comes minutes later: what it says of a time goes to the trade of that time, once."""
    host = SimpleNamespace(id=SimpleNamespace(value="S-1"))
    desk = SetupDesk(host, InstrumentId.from_str(NAME), "T", ExitRules(), {})
    before, now = traded(10, 50), traded(60, None)
    for one in (before, now):
        desk.remember(one)
    assert desk.funded_until_ns(0) == 10 * MS
    assert desk.funded_until_ns(55 * MS) == 60 * MS  # over for the venue as well
    assert desk.trade_of_funding(40 * MS) is before
    assert desk.trade_of_funding(55 * MS) is None
    assert desk.trade_of_funding(70 * MS) is now
    before.ledger.funded_ns = 40 * MS
    assert desk.funded_until_ns(0) == 40 * MS


def test_funding_of_no_trade_is_journaled_and_booked_nowhere() -> None:
    """Somebody else's position on our contract paid it: a line, a count, a decision, once over restarts."""
    said: list[str] = []
    host = SimpleNamespace(
        id=SimpleNamespace(value="S-1"), log=SimpleNamespace(warning=said.append), counters={}
    )
    counters: dict[str, int] = {}
    desk: Any = SetupDesk(host, InstrumentId.from_str(NAME), "T", ExitRules(), counters)
    kept: list[DeskMemory] = []
    desk.keeper = SimpleNamespace(
        keep=lambda *_words, **_named: True, keep_memory=lambda one: kept.append(one.memory())
    )
    decided: list[dict[str, Any]] = []
    desk.decide = lambda kind, **words: decided.append({"kind": kind, **words})
    words = {"instrument_id": NAME, "strategy_id": "S-1", "rate": None, "price": None}
    desk.on_funding(FundingPayment(ts_ns=40 * MS, signed_qty=D(0), amount=D("-1.5"), **words))
    assert counters["funding_without_a_trade"] == 1
    assert [(one["kind"], one["reason"], one["detail"]["amount"]) for one in decided] == [
        ("funding", "no_trade", "-1.5")
    ]
    assert "-1.5 belongs to no trade" in said[0]
    again: Any = SetupDesk(host, InstrumentId.from_str(NAME), "T", ExitRules(), counters)
    again.keeper = desk.keeper
    again.decide = desk.decide
    again.take_memory(kept[-1])
    for ts_ns in (40 * MS, 41 * MS):
        again.on_funding(FundingPayment(ts_ns=ts_ns, signed_qty=D(0), amount=D("-1.5"), **words))
    assert [one["ts_ns"] for one in decided] == [40 * MS, 41 * MS]
