"""Bybit's data client with a public stream at another address: its configuration has no field for it."""

from typing import Any

from nautilus_trader.adapters.bybit.factories import BybitLiveDataClientFactory
from nautilus_trader.core import nautilus_pyo3


def bybit_data_factory(public_address: str | None) -> type[BybitLiveDataClientFactory]:
    """Return the adapter's factory; with an address, one whose public stream is there.

    Parameters
    ----------
    public_address
        ``ws(s)://host[:port]/v5/public/linear``; None returns the adapter's own factory untouched.

    Notes
    -----
    Nautilus 1.231 hands ``base_url_http`` to the public stream as its address, which refuses to begin with
    http; so the HTTP address is withheld until the streams are made.
    """
    if public_address is None:
        return BybitLiveDataClientFactory

    class BybitDataFactory(BybitLiveDataClientFactory):
        @staticmethod
        def create(**surroundings: Any) -> Any:  # type: ignore[override]
            client = BybitLiveDataClientFactory.create(**surroundings)
            config = surroundings["config"]
            for product in list(client._ws_clients):  # noqa: SLF001
                stream = nautilus_pyo3.BybitWebSocketClient.new_public(
                    product_type=product,
                    environment=config.environment,
                    url=public_address,
                    proxy_url=config.proxy_url,
                )
                stream.set_bars_timestamp_on_close(config.bars_timestamp_on_close)
                client._ws_clients[product] = stream  # noqa: SLF001
            return client

    return BybitDataFactory
