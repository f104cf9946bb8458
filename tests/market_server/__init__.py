"""The venues' public archives and REST interfaces on loopback, with scripted faults."""

from tests.market_server.archive import MarketArchive
from tests.market_server.server import MarketServer, Reply, Responder, market_server

__all__ = ["MarketArchive", "MarketServer", "Reply", "Responder", "market_server"]
