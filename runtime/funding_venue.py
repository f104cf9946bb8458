"""Funding of linear perpetuals at the simulated venue: Nautilus settles none in backtests.

At each funding time every open position pays or receives signed quantity x price x rate. A venue takes its
mark price; here it is the last trade, on bars the last close.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from nautilus_trader.backtest.config import SimulationModuleConfig
from nautilus_trader.backtest.modules import SimulationModule
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Money

from runtime.bar_venue import BarLookup, BarVenue
from runtime.funding_schedule import rates_of
from runtime.settings import FundingSettings, FundingSource
from strategies.trade_manager.funding import FundingPayment, funding_amount, funding_topic

ALERT: Final = "funding"


class FundingVenueConfig(SimulationModuleConfig, frozen=True, kw_only=True):
    """Which rates are settled, see `runtime.funding_schedule.plan_funding`.

    Parameters
    ----------
    source, rate_pct, interval_hours
        As in `FundingSettings`.
    catalog
        Folder of the catalog with the rates.
    instruments
        Ids of the perpetuals; those of other venues are left to the module there.
    span_ns
        First and last funding time that may be settled, both included, UNIX nanoseconds.
    """

    source: FundingSource = "none"
    rate_pct: Decimal | None = None
    interval_hours: int = 8
    catalog: str = ""
    instruments: tuple[str, ...] = ()
    span_ns: tuple[int, int] = (0, 0)


class FundingVenue(SimulationModule):
    """Settles funding in a run on trades: before anything that happens at the funding time or later.

    Parameters
    ----------
    config
        See `FundingVenueConfig`.

    Notes
    -----
    The settlement hangs on the venue's clock, not on data, so it does not depend on which data arrive, or in
    which chunks. Each payment is published as `FundingPayment` after the account was adjusted.
    """

    # A nanosecond early: the clock serves trades of a time before alerts of the same time.
    _lead_ns = 1

    def __init__(self, config: FundingVenueConfig | None = None) -> None:
        super().__init__(config or FundingVenueConfig())
        self.payments = 0
        self._due: dict[int, dict[InstrumentId, Decimal]] = {}
        self._times: list[int] = []
        self._next_ns: int | None = None

    def register_venue(self, exchange: Any) -> None:
        """Take the venue, read the rates and wait for the first funding time; the engine calls it."""
        super().register_venue(exchange)
        settings = FundingSettings(
            source=self.config.source,
            rate_pct=self.config.rate_pct,
            interval_hours=self.config.interval_hours,
        )
        for name in self.config.instruments:
            instrument_id = InstrumentId.from_str(name)
            if instrument_id.venue == exchange.id:
                rates = rates_of(settings, Path(self.config.catalog), name, self.config.span_ns)
                self.expect(instrument_id, rates)

    def expect(self, instrument_id: InstrumentId, rates: Mapping[int, Decimal]) -> None:
        """Settle an instrument at further funding times.

        Parameters
        ----------
        instrument_id
            A linear perpetual of this venue.
        rates
            Rates by funding time, UNIX nanoseconds; times that have passed are left out.
        """
        now_ns = self.clock.timestamp_ns()
        for ts_ns, rate in rates.items():
            if ts_ns >= now_ns:
                self._due.setdefault(ts_ns, {})[instrument_id] = rate
        self._arm()

    def process(self, ts_now: int) -> None:
        """Run after the venue settled: the clock does the work, see `FundingVenue`."""

    def log_diagnostics(self, logger: Any) -> None:
        """Run at the end: nothing to say."""

    def reset(self) -> None:
        """Forget the run; funding times that were settled are not settled again."""
        self.payments = 0

    # -- times ---------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Wait for the earliest funding time that is due."""
        self._times = sorted(self._due)
        next_ns = self._times[0] if self._times else None
        if next_ns == self._next_ns:
            return
        self._next_ns = next_ns
        if ALERT in self.clock.timer_names:
            self.clock.cancel_timer(ALERT)
        if next_ns is not None:
            self.clock.set_time_alert_ns(ALERT, next_ns - self._lead_ns, self._on_alert)

    def _on_alert(self, event: Any) -> None:
        self.settle(event.ts_event + self._lead_ns)

    def settle(self, until_ns: int) -> None:
        """Settle what is due at or before a time, UNIX nanoseconds, each funding time once."""
        for ts_ns in self._times[: bisect_left(self._times, until_ns + 1)]:
            self._settle_at(ts_ns, self._due.pop(ts_ns))
        self._arm()

    def _settle_at(self, ts_ns: int, rates: Mapping[InstrumentId, Decimal]) -> None:
        positions = self.exchange.cache.positions_open(venue=self.exchange.id)
        for position in sorted(positions, key=lambda one: one.id.value):
            rate = rates.get(position.instrument_id)
            price = None if rate is None else self._price(position.instrument_id, ts_ns)
            if rate is not None and price is not None:
                held = position.strategy_id.value, position.signed_decimal_qty()
                self._pay(position.instrument_id, *held, ts_ns, price, rate)

    def _pay(
        self,
        instrument_id: InstrumentId,
        strategy_id: str,
        signed_qty: Decimal,
        ts_ns: int,
        price: Decimal,
        rate: Decimal,
    ) -> None:
        currency = self.exchange.cache.instrument(instrument_id).get_cost_currency()
        amount = funding_amount(signed_qty, price, rate, currency.precision)
        if amount:
            # As text: from a decimal Nautilus makes a float first.
            self.exchange.adjust_account(Money.from_str(f"{amount:f} {currency.code}"))
        self.payments += 1
        payment = FundingPayment(
            ts_ns=ts_ns,
            instrument_id=instrument_id.value,
            strategy_id=strategy_id,
            rate=rate,
            price=price,
            signed_qty=signed_qty,
            amount=amount,
        )
        self.msgbus.publish(topic=funding_topic(instrument_id.value), msg=payment)

    def _price(self, instrument_id: InstrumentId, ts_ns: int) -> Decimal | None:
        """Return the price at which a position is valued, quote currency."""
        del ts_ns  # the clock stands at the funding time: the last trade is older
        trade = self.exchange.cache.trade_tick(instrument_id)
        return None if trade is None else Decimal(trade.price.as_decimal())


class BarFundingVenue(FundingVenue):
    """Settles funding in a run on bars: after the walk of the bars that close at the funding time.

    It must come after `runtime.bar_venue.BarVenue` in the venue's modules. Where no bar closes at the funding
    time, the clock settles, before the next bars are walked.
    """

    _lead_ns = 0

    def pre_process(self, data: Any) -> None:
        """Run after the bars of a close time were walked, before anybody hears of them."""
        if self._next_ns is not None and data.ts_init >= self._next_ns:
            self.settle(data.ts_init)

    def _price(self, instrument_id: InstrumentId, ts_ns: int) -> Decimal | None:
        last, _following = self._store().around(instrument_id, ts_ns)
        return None if last is None else Decimal(last.close.as_decimal())

    def _store(self) -> BarLookup:
        stores: Iterable[BarLookup] = (
            one.store for one in self.exchange.modules if isinstance(one, BarVenue)
        )
        return next(iter(stores))
