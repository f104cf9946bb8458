"""Binance spot's execution client with the repairs of its user stream; nothing else differs."""

from typing import Any, Final

from nautilus_trader.adapters.binance import factories
from nautilus_trader.adapters.binance.spot.execution import BinanceSpotExecutionClient

from runtime.live.binance_repairs import StreamRepairs

CLIENT_NAME: Final = "BinanceSpotExecutionClient"


class SpotExecutionClient(StreamRepairs, BinanceSpotExecutionClient):
    """The adapter's client, repaired; made by `SpotExecClientFactory`."""


class SpotExecClientFactory(factories.BinanceLiveExecClientFactory):
    """The adapter's factory, which makes our client; see `UsdmExecClientFactory`."""

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        names = vars(factories)
        names[CLIENT_NAME] = SpotExecutionClient
        try:
            return factories.BinanceLiveExecClientFactory.create(*arguments, **surroundings)
        finally:
            names[CLIENT_NAME] = BinanceSpotExecutionClient


__all__ = ["SpotExecClientFactory", "SpotExecutionClient"]
