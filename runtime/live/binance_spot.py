"""Binance spot's execution client with the repairs of its user stream; nothing else differs."""

from typing import Any

from nautilus_trader.adapters.binance import factories
from nautilus_trader.adapters.binance.spot.execution import BinanceSpotExecutionClient

from runtime.live.binance_repairs import StreamRepairs
from runtime.live.exchanged_class import exchanged


class SpotExecutionClient(StreamRepairs, BinanceSpotExecutionClient):
    """The adapter's client, repaired; made by `SpotExecClientFactory`."""


class SpotExecClientFactory(factories.BinanceLiveExecClientFactory):
    """The adapter's factory, which makes our client."""

    @staticmethod
    def create(*arguments: Any, **surroundings: Any) -> Any:
        """Make the client; parameters as those of Nautilus' factory."""
        with exchanged(factories, BinanceSpotExecutionClient, SpotExecutionClient):
            return factories.BinanceLiveExecClientFactory.create(*arguments, **surroundings)


__all__ = ["SpotExecClientFactory", "SpotExecutionClient"]
