"""Funding in a paper node: as in a backtest, with rates that the venue announces while the node runs."""

from collections.abc import Mapping
from decimal import Decimal

from nautilus_trader.model.identifiers import InstrumentId

from runtime.funding_schedule import minute_of
from runtime.funding_venue import FundingVenue


class LiveFundingVenue(FundingVenue):
    """Settles what was announced last before each funding time; `expect` takes the rates."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[InstrumentId, Decimal] = {}
        """Mark prices, quote currency; without one the last trade values a position."""

    def settle_past(
        self,
        ts_ns: int,
        instrument_id: InstrumentId,
        rate: Decimal,
        price: Decimal,
        held: Mapping[str, Decimal],
    ) -> None:
        """Settle a funding time that has passed.

        Parameters
        ----------
        ts_ns
            The funding time, UNIX nanoseconds.
        instrument_id
            A linear perpetual of this venue.
        rate
            Of that time, as a share.
        price
            Of then, quote currency.
        held
            Signed quantity by strategy, as it was then.
        """
        for strategy_id, signed_qty in sorted(held.items()):
            self._pay(instrument_id, strategy_id, signed_qty, ts_ns, price, rate)

    def announce(self, instrument_id: InstrumentId, rate: Decimal, next_ns: int) -> None:
        """Take the rate of the next funding time, UNIX nanoseconds; later announcements replace it."""
        self.expect(instrument_id, {minute_of(next_ns): rate})

    def expect_all(self, rates: Mapping[int, Decimal], instrument_id: InstrumentId) -> None:
        """Take rates by funding time, UNIX nanoseconds."""
        self.expect(instrument_id, rates)

    def _price(self, instrument_id: InstrumentId, ts_ns: int) -> Decimal | None:
        mark = self.marks.get(instrument_id)
        return super()._price(instrument_id, ts_ns) if mark is None else mark
