"""Books what the venues of a live node paid or charged for funding into the trades that it concerns.

The adapters report what an account has, not why it changed. So the venues are asked: after each full hour a
few times, for they book late, and whenever an account changed; only while a trade may be concerned. What was
booked stands in the trade's own state, so funding of a time in which the node was down is booked once, too.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec
from nautilus_trader.model.enums import AccountType

from runtime.download.venue_rows import understood
from runtime.errors import ConfigurationError, DataError, VenueError
from runtime.live.addresses import addresses_of
from runtime.live.bybit_funding import FundingFilter
from runtime.live.bybit_rest import BybitRest
from runtime.live.context import LiveContext
from runtime.live.freshness import ClockOffset
from runtime.live.holding_actor import HoldingActor
from runtime.live.keys import require_keys
from runtime.live.settings import LiveVenue
from runtime.live.signed import SignedRest
from runtime.notify.events import Severity
from strategies.trade_manager.funding import FundingPayment, funding_topic
from strategies.trade_manager.orders import ZERO

NANOS: Final = 1_000_000_000
MS: Final = 1_000_000
HOUR_SECS: Final = 3600
# After a full hour: Binance books within seconds, sometimes within a minute.
AFTER_HOUR_SECS: Final = (5.0, 15.0, 45.0, 120.0, 300.0)
# After the start, when recovery knows the positions, and after an account has changed.
START_SECS, CHANGED_SECS = 5.0, 1.0
# Weight of a question to Binance: 30 of 2400 a minute.
LEAST_PAUSE_SECS: Final = 5.0
INCOME: Final = "/fapi/v1/income"
INCOME_ROWS: Final = 1000
# A trade that closed longer ago is not asked about.
LATE_SECS: Final = 600


class VenuePayment(msgspec.Struct, frozen=True, kw_only=True):
    """One funding payment in a venue's own record.

    Parameters
    ----------
    symbol
        The venue's own.
    ts_ns
        UNIX nanoseconds.
    amount
        What came into the account, negative was paid, quote currency.
    rate, price, qty
        Where the venue tells them; the quantity has no sign.
    """

    symbol: str
    ts_ns: int
    amount: Decimal
    rate: Decimal | None = None
    price: Decimal | None = None
    qty: Decimal | None = None


class FundingRecord(Protocol):
    """A venue's record of funding."""

    async def payments(self, since_ms: int, until_ms: int) -> list[VenuePayment]:
        """Return the account's payments of a span, UNIX milliseconds, both included, oldest first."""
        ...


class BinanceIncome:
    """Funding of a USD-M account.

    Parameters
    ----------
    rest
        Signed questions; it sends none while the host asks for silence.

    References
    ----------
    Binance, "Get Income History": weight 30, at most 1000 rows, oldest first.
    """

    def __init__(self, rest: SignedRest) -> None:
        self._rest = rest

    async def payments(self, since_ms: int, until_ms: int) -> list[VenuePayment]:
        """Return the account's payments of a span; raises VenueError, ConfigurationError or DataError."""
        found: list[VenuePayment] = []
        cursor = since_ms
        while True:
            asked = {"incomeType": "FUNDING_FEE", "startTime": str(cursor), "endTime": str(until_ms)}
            rows = await self._rest.binance(INCOME, asked | {"limit": str(INCOME_ROWS)})
            with understood(INCOME):
                page = [
                    VenuePayment(
                        symbol=row["symbol"], ts_ns=int(row["time"]) * MS, amount=Decimal(row["income"])
                    )
                    for row in rows
                    if row["incomeType"] == "FUNDING_FEE"
                ]
            found += [one for one in page if one not in found]
            if len(rows) < INCOME_ROWS or not page or page[-1].ts_ns // MS <= cursor:
                return found
            cursor = page[-1].ts_ns // MS  # more of that moment may be on the next page


class BybitFundings:
    """Funding of Bybit's linear contracts: executions of type Funding, whose fee is paid when positive.

    Parameters
    ----------
    filter
        Asks for them.
    """

    def __init__(self, rows: FundingFilter) -> None:
        self._rows = rows

    async def payments(self, since_ms: int, until_ms: int) -> list[VenuePayment]:
        """Return the account's payments of a span; raises VenueError or DataError."""
        rows = await self._rows.rows(since_ms, until_ms)
        with understood("execution/list"):
            found = [
                VenuePayment(
                    symbol=row["symbol"],
                    ts_ns=int(row["execTime"]) * MS,
                    amount=-Decimal(row["execFee"]),
                    rate=Decimal(row["feeRate"]),
                    price=Decimal(row["execPrice"]),
                    qty=Decimal(row["execQty"]),
                )
                for row in rows
            ]
        return sorted(found, key=lambda one: one.ts_ns)


class FundingActor(HoldingActor):
    """Asks for payments, and tells the desks.

    Parameters
    ----------
    records
        By venue name.
    strategies
        Gives the strategies of the node.
    call_soon
        Runs a function in the thread of the node.
    """

    def __init__(
        self,
        records: Mapping[str, FundingRecord],
        *,
        strategies: Callable[[], Iterable[Any]],
        call_soon: Callable[[Callable[[], Any]], Any],
    ) -> None:
        super().__init__()
        self.told = 0
        self._records = records
        self._strategies = strategies
        self._call_soon = call_soon
        self._changed = asyncio.Event()
        self._is_failing = False

    def on_start(self) -> None:
        """Ask from now on."""
        self.msgbus.subscribe(topic="events.account.*", handler=self._on_account)
        self.begin(self._run())

    def on_stop(self) -> None:
        """Ask no more."""
        self.cancel_tasks()

    def _on_account(self, state: Any) -> None:
        if state.account_type == AccountType.MARGIN:
            self._changed.set()

    async def _run(self) -> None:
        await asyncio.sleep(START_SECS)
        while True:
            self._changed.clear()
            began = time.monotonic()
            await self.look()
            await self._pause()
            await asyncio.sleep(max(0.0, LEAST_PAUSE_SECS - (time.monotonic() - began)))

    async def _pause(self) -> None:
        """Wait for the next moment at which venues book funding, or a change of an account."""
        into_hour_secs = self.clock.timestamp_ns() / NANOS % HOUR_SECS
        wait_secs = next(
            (secs - into_hour_secs for secs in AFTER_HOUR_SECS if secs > into_hour_secs),
            HOUR_SECS - into_hour_secs + AFTER_HOUR_SECS[0],
        )
        try:
            await asyncio.wait_for(self._changed.wait(), wait_secs)
        except TimeoutError:
            return
        await asyncio.sleep(CHANGED_SECS)  # what changed it may not stand in the venue's record yet

    async def look(self) -> None:
        """Ask every venue on which a trade may be concerned."""
        now_ns = self.clock.timestamp_ns()
        for venue, record in self._records.items():
            desks = self._concerned(venue, now_ns)
            if not desks:
                continue
            since_ns = min(until_ns for _desk, until_ns in desks.values())
            try:
                found = await record.payments(since_ns // MS, now_ns // MS)
            except (VenueError, ConfigurationError, DataError) as error:
                self._say(f"{venue}: funding is not known: {error}")
                continue
            self._is_failing = False
            for payment in found:
                desk, until_ns = desks.get(payment.symbol, (None, 0))
                if desk is not None and payment.ts_ns > until_ns:
                    self._tell_desk(desk, payment)

    def _concerned(self, venue: str, now_ns: int) -> dict[str, tuple[Any, int]]:
        """Return desk, and until when its funding is booked, by the venue's symbols."""
        found: dict[str, tuple[Any, int]] = {}
        for strategy in self._strategies():
            for desk in getattr(strategy, "desks", ()):
                if desk.instrument is None or desk.instrument_id.venue.value != venue:
                    continue
                until_ns = desk.funded_until_ns(now_ns - LATE_SECS * NANOS)
                if until_ns is not None:
                    found[str(desk.instrument.raw_symbol.value)] = desk, until_ns
        return found

    def _tell_desk(self, desk: Any, payment: VenuePayment) -> None:
        setup = desk.trade_of_funding(payment.ts_ns)
        # What is of no trade of ours has no ledger: the desk itself remembers that it was told of it.
        told_ns = desk.stray_funding_ns if setup is None else setup.ledger.funded_ns
        if payment.ts_ns <= told_ns:
            return
        held = ZERO if setup is None else setup.position_qty
        qty = payment.qty if payment.qty is not None else held
        direction = 1 if setup is None else setup.plan.direction
        instrument_id = desk.instrument_id.value
        self.told += 1
        message = FundingPayment(
            ts_ns=payment.ts_ns,
            instrument_id=instrument_id,
            strategy_id=desk.strategy_id,
            rate=payment.rate,
            price=payment.price,
            signed_qty=qty * direction,
            amount=payment.amount,
        )
        self.log.info(f"{instrument_id}: funding {payment.amount:+f}")
        self.msgbus.publish(topic=funding_topic(instrument_id), msg=message)

    def _say(self, text: str) -> None:
        if not self._is_failing:  # once, until it goes again
            self._is_failing = True
            self.tell(text, Severity.WARNING)


def make_funding(context: LiveContext) -> FundingActor | None:
    """Return the actor of a live node; None on paper, which settles itself, and without perpetuals."""
    if context.mode != "live":
        return None
    records = {
        venue.venue_name: record_of(context, venue)
        for venue in context.settings.live.venues
        if not venue.is_spot
    }
    if not records:
        return None
    return FundingActor(records, strategies=context.strategies, call_soon=context.call_soon)


def record_of(context: LiveContext, venue: LiveVenue) -> FundingRecord:
    """Return who tells the funding of an account; ConfigurationError without keys."""
    address, keys = addresses_of(venue).http, require_keys(venue)
    budget = context.rest.http.budget(address)

    def offset() -> ClockOffset | None:
        return context.clock_offsets.get(venue.venue_name)

    if venue.venue == "binance":
        signed = SignedRest(
            address, keys, budget=budget, now_ms=lambda: time.time_ns() // MS + shift_ms(offset())
        )
        return BinanceIncome(signed)
    rest = BybitRest(address, keys.key, keys.secret)
    rest.follow_clock(offset)
    rest.share(budget)
    return BybitFundings(FundingFilter(rest, lambda text: None))


def shift_ms(offset: ClockOffset | None) -> int:
    """Return what a stamp by our clock must be moved by, 0 before it was measured."""
    return 0 if offset is None else offset.shift_ms


__all__ = ["BinanceIncome", "BybitFundings", "FundingActor", "FundingRecord", "VenuePayment", "make_funding"]
