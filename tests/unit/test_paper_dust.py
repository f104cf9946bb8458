"""What fees in coins leave behind is part of a paper position, however small."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.identifiers import AccountId

from runtime.instruments import make_instrument
from runtime.live.paper_reports import position_reports

BITCOIN = make_instrument("binance", "spot", "BTCUSDT", Decimal("0.01"), Decimal("0.00001"))


class OnePosition:
    """A simulated venue that holds so much of one instrument."""

    account_id = AccountId("BINANCE-001")

    def __init__(self, qty: Decimal) -> None:
        position = SimpleNamespace(
            instrument_id=BITCOIN.id, avg_px_open=60_000.0, signed_decimal_qty=lambda: qty
        )
        self.cache = SimpleNamespace(
            positions_open=lambda: [position] if qty else [], instrument=lambda _id: BITCOIN
        )


@pytest.mark.parametrize("qty", ["0.00000371", "0.16299937", "0.5"])
def test_a_position_is_reported_to_the_last_coin(qty: str) -> None:
    """A rounded quantity would be a difference to the node's own, and a refused one no start at all."""
    venue: Any = OnePosition(Decimal(qty))
    (report,) = position_reports(venue, SimpleNamespace(instrument_id=None), 1)
    assert report.quantity.as_decimal() == Decimal(qty)
