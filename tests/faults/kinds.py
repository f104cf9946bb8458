"""The four kinds of accounts that the matrix is run on."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tests.paper_demo import demo_hosts
from tests.venue_simulator.process import API_KEY, API_SECRET, VenueProcess

PRICE: Final = "50000"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of account.

    Parameters
    ----------
    name
        As in the matrix.
    simulator
        Name of the venue of the local exchange.
    venue, market_kind
        As `live.venues` takes them.
    instrument_id
        Nautilus id of what is traded.
    market
        Its key at the local exchange.
    lot
        Least step of a quantity there.
    """

    name: str
    simulator: str
    venue: str
    market_kind: str
    instrument_id: str
    market: str
    lot: str

    @property
    def is_spot(self) -> bool:
        """Tell whether what is bought is held as coins."""
        return self.market_kind == "spot"

    @property
    def dust(self) -> Decimal:
        """Return what cannot be sold any more: less than a lot, spot alone."""
        return Decimal(self.lot) if self.is_spot else Decimal(0)

    def arguments(self) -> tuple[str, ...]:
        """Return the command line of a local exchange with one quiet market."""
        return ("--venues", self.simulator, "--market", f"BTCUSDT:0.01:{self.lot}:{PRICE}")

    def environment(self) -> dict[str, str]:
        """Return the keys of the local exchange's account, as the node takes them."""
        prefix = self.venue.upper()
        names = {f"{prefix}_API_KEY": API_KEY, f"{prefix}_API_SECRET": API_SECRET}
        if self.market_kind == "usdm":
            names |= {"BINANCE_USDM_API_KEY": API_KEY, "BINANCE_USDM_API_SECRET": API_SECRET}
        return names

    def account(self, venue: VenueProcess) -> dict[str, Any]:
        """Return an entry of `live.venues`."""
        return {
            "venue": self.venue,
            "market": self.market_kind,
            "hosts": demo_hosts(venue, self.simulator),
        }


KINDS: Final = {
    one.name: one
    for one in (
        Kind("binance_spot", "binance_spot", "binance", "spot", "BTCUSDT.BINANCE", "BTCUSDT", "0.00001"),
        Kind("binance_usdm", "binance_usdm", "binance", "usdm", "BTCUSDT-PERP.BINANCE", "BTCUSDT", "0.001"),
        Kind("bybit_spot", "bybit", "bybit", "spot", "BTCUSDT-SPOT.BYBIT", "BTCUSDT-SPOT", "0.00001"),
        Kind("bybit_linear", "bybit", "bybit", "linear", "BTCUSDT-LINEAR.BYBIT", "BTCUSDT-LINEAR", "0.001"),
    )
}
