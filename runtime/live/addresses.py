"""The addresses at which a node meets its venues: the adapters' own, unless the settings name others."""

import msgspec
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.binance.common.urls import (
    get_http_base_url,
    get_usdm_ws_route_base_url,
    get_ws_api_base_url,
    get_ws_base_url,
    get_ws_private_base_url,
)
from nautilus_trader.core.nautilus_pyo3 import (
    BybitEnvironment,
    BybitProductType,
    get_bybit_http_base_url,
    get_bybit_ws_url_private,
    get_bybit_ws_url_public,
    get_bybit_ws_url_trade,
)

from runtime.live.settings import LiveVenue

BINANCE_ACCOUNTS = {"spot": BinanceAccountType.SPOT, "usdm": BinanceAccountType.USDT_FUTURES}
BINANCE_ENVIRONMENTS = {
    "live": BinanceEnvironment.LIVE,
    "testnet": BinanceEnvironment.TESTNET,
    "demo": BinanceEnvironment.DEMO,
}
BYBIT_PRODUCTS = {"spot": BybitProductType.SPOT, "linear": BybitProductType.LINEAR}
BYBIT_ENVIRONMENTS = {
    "live": BybitEnvironment.MAINNET,
    "testnet": BybitEnvironment.TESTNET,
    "demo": BybitEnvironment.DEMO,
}


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where an account's interfaces are, in effect.

    Parameters
    ----------
    http
        REST interface.
    ws
        Public stream.
    ws_user
        Stream of the account's events.
    ws_orders
        Stream by which orders are sent; empty where they go by REST.
    """

    http: str
    ws: str
    ws_user: str
    ws_orders: str = ""


def adapter_addresses(venue: LiveVenue) -> Addresses:
    """Return what the adapter itself would use for this account, asked of the adapter."""
    if venue.venue == "bybit":
        product, environment = BYBIT_PRODUCTS[venue.market], BYBIT_ENVIRONMENTS[venue.environment]
        return Addresses(
            http=get_bybit_http_base_url(environment),
            ws=get_bybit_ws_url_public(product, environment),
            ws_user=get_bybit_ws_url_private(environment),
            ws_orders=get_bybit_ws_url_trade(environment),
        )
    terms = (BINANCE_ACCOUNTS[venue.market], BINANCE_ENVIRONMENTS[venue.environment], False)
    user = get_ws_api_base_url(*terms) if venue.is_spot else get_ws_private_base_url(*terms)
    return Addresses(http=get_http_base_url(*terms), ws=get_ws_base_url(*terms), ws_user=user)


def addresses_of(venue: LiveVenue) -> Addresses:
    """Return the addresses in effect: those of the settings before the adapter's."""
    own, hosts = adapter_addresses(venue), venue.hosts
    ws = hosts.ws
    if ws is not None and venue.venue == "bybit":
        ws = bybit_public_address(venue)
    elif ws is not None and venue.market == "usdm" and venue.environment == "live":
        ws = get_usdm_ws_route_base_url(ws, "market")
    return Addresses(
        http=hosts.http or own.http,
        ws=ws or own.ws,
        ws_user=hosts.ws_user or own.ws_user,
        ws_orders=hosts.ws_orders or own.ws_orders,
    )


def bybit_public_address(venue: LiveVenue) -> str | None:
    """Return Bybit's public stream of the settings, with its path; None leaves the adapter's."""
    return None if venue.hosts.ws is None else f"{venue.hosts.ws}/v5/public/{venue.market}"
