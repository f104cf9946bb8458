"""Public REST of the venues of a node: one client for all, paced by each host's limits."""

from types import TracebackType
from typing import Self

import msgspec

from runtime.download.budget import HostBudget
from runtime.download.http import Http
from runtime.live.addresses import addresses_of
from runtime.live.settings import LiveVenue
from runtime.settings import Settings
from runtime.venue_instruments import VenueRest, venue_rest

# What the settings of downloads call the REST address of a market.
_HOSTS = {
    ("binance", "spot"): "binance_spot",
    ("binance", "usdm"): "binance_usdm",
    ("bybit", "spot"): "bybit",
    ("bybit", "linear"): "bybit",
}


class PublicRest:
    """Gives the REST interface of an account's market, made at its first use; close it when the node ends.

    A testnet's or a local exchange's address replaces the one for downloads.

    Parameters
    ----------
    settings
        The whole settings: limits and pauses are those of ``download``.

    Notes
    -----
    Not before the node's loop exists; all calls belong into that loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.http = Http(settings.download)
        self._made: dict[str, VenueRest] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.__aexit__(kind, error, trace)

    def of(self, venue: LiveVenue) -> VenueRest:
        """Return the interface of an account's market."""
        name = venue.venue_name
        if name not in self._made:
            self._made[name] = venue_rest(
                self.http, settings_for(self._settings, venue), venue.venue, venue.market
            )
        return self._made[name]

    def budget_of(self, venue: LiveVenue) -> HostBudget:
        """Return what the host of that interface allows; who else asks the host shares it."""
        return self.http.budget(self._address_of(venue))

    def of_instrument(self, instrument_id: str) -> VenueRest:
        """Return the interface of the market of a traded instrument; KeyError when no account trades it."""
        venue = self._settings.live.venue_of(instrument_id)
        if venue is None:
            raise KeyError(instrument_id)
        return self.of(venue)

    def source_of(self, instrument_id: str) -> str:
        """Return what tells the market data of an instrument from that of other worlds: environment, host.

        Raises
        ------
        KeyError
            When no account trades it.
        """
        venue = self._settings.live.venue_of(instrument_id)
        if venue is None:
            raise KeyError(instrument_id)
        return f"{venue.environment} {self._address_of(venue)}"

    def _address_of(self, venue: LiveVenue) -> str:
        hosts = settings_for(self._settings, venue).hosts
        return str(getattr(hosts, _HOSTS[venue.venue, venue.market]))


def settings_for(settings: Settings, venue: LiveVenue) -> Settings:
    """Return the settings with the REST address of an account where downloads have theirs."""
    is_real = venue.environment == "live" and venue.hosts.http is None
    if is_real:  # a mirror for downloads serves a node, too
        return settings
    field = _HOSTS[venue.venue, venue.market]
    hosts = msgspec.structs.replace(settings.hosts, **{field: addresses_of(venue).http})
    return msgspec.structs.replace(settings, hosts=hosts)
