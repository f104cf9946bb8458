"""Fixtures of the local exchange, for `tests/conftest.py`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.venue_simulator.process import VenueProcess

FIRST_PRICE = "60000"

type StartVenue = Callable[..., VenueProcess]


@pytest.fixture
def spot_venue() -> Iterator[VenueProcess]:
    """Give Binance spot with one quiet market: BTCUSDT has traded once, at 60,000."""
    with VenueProcess("--venues", "binance_spot", "--market", f"BTCUSDT:0.01:0.00001:{FIRST_PRICE}") as venue:
        venue.trade("BTCUSDT", "BUY", "0.10000", FIRST_PRICE)
        yield venue


@pytest.fixture
def start_venue() -> Iterator[StartVenue]:
    """Give a function that starts a simulator with these arguments; it ends with the test."""
    with ExitStack() as running:
        yield lambda *arguments: running.enter_context(VenueProcess(*arguments))


@pytest.fixture
def bybit_venue() -> Iterator[VenueProcess]:
    """Give Bybit with one quiet symbol: BTCUSDT has traded once on spot and on linear, at 60,000."""
    with VenueProcess("--venues", "bybit", "--market", f"BTCUSDT:0.10:0.001:{FIRST_PRICE}") as venue:
        for product in ("SPOT", "LINEAR"):
            venue.trade(f"BTCUSDT-{product}", "BUY", "0.100", FIRST_PRICE)
        yield venue
