"""Nautilus' own adapters of Binance and Bybit, configured by the settings; no address unless one is set."""

from collections.abc import Sequence
from typing import Any, Final

from nautilus_trader.adapters.binance.config import (
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceInstrumentProviderConfig,
)
from nautilus_trader.adapters.binance.factories import BinanceLiveDataClientFactory
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.config import InstrumentProviderConfig
from nautilus_trader.model.identifiers import InstrumentId, Venue

from runtime.instruments import market_terms
from runtime.live.addresses import (
    BINANCE_ACCOUNTS,
    BINANCE_ENVIRONMENTS,
    BYBIT_ENVIRONMENTS,
    BYBIT_PRODUCTS,
    bybit_public_address,
)
from runtime.live.binance_spot import SpotExecClientFactory
from runtime.live.binance_usdm import UsdmExecClientFactory
from runtime.live.bybit import bybit_data_factory
from runtime.live.bybit_execution import RepairedBybitFactory
from runtime.live.keys import Keys
from runtime.live.settings import LiveVenue
from runtime.nodes import with_fees
from runtime.settings import FeeSettings

# A tick size that changed must be known before the venue refuses an order for it.
RELOAD_MINS: Final = 60


def data_config(venue: LiveVenue, instruments: Sequence[str], keys: Keys | None) -> Any:
    """Return the configuration of an account's data client.

    Parameters
    ----------
    venue
        The account.
    instruments
        Nautilus ids; nothing else is loaded.
    keys
        Data are public; with keys the client shares the connection of the execution client and learns the
        account's own fees.
    """
    key, secret = _pair(keys)
    if venue.venue == "bybit":
        return BybitDataClientConfig(
            api_key=key,
            api_secret=secret,
            product_types=(BYBIT_PRODUCTS[venue.market],),
            environment=BYBIT_ENVIRONMENTS[venue.environment],
            base_url_http=venue.hosts.http,
            update_instruments_interval_mins=RELOAD_MINS,
            instrument_provider=_provider(venue, instruments),
        )
    return BinanceDataClientConfig(
        venue=Venue(venue.venue_name),
        api_key=key,
        api_secret=secret,
        account_type=BINANCE_ACCOUNTS[venue.market],
        environment=BINANCE_ENVIRONMENTS[venue.environment],
        base_url_http=venue.hosts.http,
        base_url_ws=venue.hosts.ws,
        update_instruments_interval_mins=RELOAD_MINS,
        use_agg_trade_ticks=venue.market == "usdm",
        instrument_provider=_provider(venue, instruments),
    )


def exec_config(venue: LiveVenue, instruments: Sequence[str], keys: Keys) -> Any:
    """Return the configuration of an account's execution client."""
    symbols = [name.rpartition(".")[0] for name in instruments]
    if venue.venue == "bybit":
        return BybitExecClientConfig(
            api_key=keys.key,
            api_secret=keys.secret,
            product_types=(BYBIT_PRODUCTS[venue.market],),
            environment=BYBIT_ENVIRONMENTS[venue.environment],
            base_url_http=venue.hosts.http,
            base_url_ws_private=venue.hosts.ws_user,
            base_url_ws_trade=venue.hosts.ws_orders,
            # Else the adapter asks about a debt after every purchase, also during a ban, and pays what
            # somebody else borrowed with the coins that our stop is to sell.
            auto_repay_spot_borrows=False,
            futures_leverages=None if venue.leverage is None else dict.fromkeys(symbols, venue.leverage),
            instrument_provider=_provider(venue, instruments),
        )
    from nautilus_trader.adapters.binance.common.symbol import BinanceSymbol

    leverages = None
    if venue.leverage is not None:
        leverages = {BinanceSymbol(symbol): venue.leverage for symbol in symbols}
    return BinanceExecClientConfig(
        venue=Venue(venue.venue_name),
        api_key=keys.key,
        api_secret=keys.secret,
        account_type=BINANCE_ACCOUNTS[venue.market],
        environment=BINANCE_ENVIRONMENTS[venue.environment],
        base_url_http=venue.hosts.http,
        base_url_ws=venue.hosts.ws_user if venue.is_spot else None,
        base_url_ws_stream=None if venue.is_spot else venue.hosts.ws_user,
        futures_leverages=leverages,
        instrument_provider=_provider(venue, instruments),
    )


def data_factory(venue: LiveVenue) -> type[Any]:
    """Return the factory of an account's data client, whose instruments always have fees."""
    if venue.venue == "bybit":
        return with_known_fees(bybit_data_factory(bybit_public_address(venue)), venue)
    return with_known_fees(BinanceLiveDataClientFactory, venue)


def exec_factory(venue: LiveVenue) -> type[Any]:
    """Return the factory of an account's execution client: the adapter's own with repairs."""
    if venue.venue == "bybit":
        return RepairedBybitFactory
    return UsdmExecClientFactory if venue.market == "usdm" else SpotExecClientFactory


def with_known_fees(factory: type[Any], venue: LiveVenue) -> type[Any]:
    """Return a factory whose instruments have the venue's ordinary rates where the adapter knows none.

    Without keys, on testnets and in demo accounts the adapters give every instrument fees of zero, and plans
    would be made as if trading were free.
    """
    terms = market_terms(venue.venue, venue.market)
    ordinary = FeeSettings(maker=terms.maker_fee, taker=terms.taker_fee)

    class DataFactory(factory):
        @staticmethod
        def create(**surroundings: Any) -> Any:
            client = factory.create(**surroundings)
            provider = client.instrument_provider if hasattr(client, "instrument_provider") else None
            provider = provider or client._instrument_provider  # noqa: SLF001 - Binance has no other name
            add = provider.add

            def add_with_fees(instrument: Any) -> None:
                is_free = not instrument.maker_fee and not instrument.taker_fee
                add(with_fees(instrument, ordinary) if is_free else instrument)

            if provider.__dict__.get("add") is None:  # one provider may serve several clients
                provider.add = add_with_fees
            return client

    DataFactory.__name__ = factory.__name__
    return DataFactory


def _provider(venue: LiveVenue, instruments: Sequence[str]) -> InstrumentProviderConfig:
    wanted = frozenset(InstrumentId.from_str(name) for name in instruments)
    kind = InstrumentProviderConfig if venue.venue == "bybit" else BinanceInstrumentProviderConfig
    return kind(load_ids=wanted)


def _pair(keys: Keys | None) -> tuple[str | None, str | None]:
    return (None, None) if keys is None else (keys.key, keys.secret)
