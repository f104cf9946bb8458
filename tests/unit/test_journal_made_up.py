"""Orders that Nautilus' reconciliation invents belong into no journal; those of people do."""

from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.enums import LiquiditySide

from runtime.journal.actor import is_made_up


class OrderFilled:
    """A fill, as far as it is looked at."""

    def __init__(self, liquidity: LiquiditySide) -> None:
        self.liquidity_side = liquidity


@pytest.mark.parametrize(
    ("client_id", "liquidity", "expected"),
    [
        ("44af44b2-fb52-4f9a-af9b-927cd043f04e", LiquiditySide.NO_LIQUIDITY_SIDE, True),
        ("web_7f3a", LiquiditySide.TAKER, False),
        ("SCR-BTCUSDT-LIwc-Lmwqrw1bp01-T1", LiquiditySide.NO_LIQUIDITY_SIDE, False),
    ],
)
def test_an_order_that_nobody_sent_and_nobody_filled_is_made_up(
    client_id: str, liquidity: LiquiditySide, *, expected: bool
) -> None:
    """A stranger's order has fills with a side; ours may be told of as a sum."""
    order: Any = SimpleNamespace(
        client_order_id=SimpleNamespace(value=client_id), events=[OrderFilled(liquidity)]
    )
    assert is_made_up(order) is expected


def test_an_order_that_rests_is_not_made_up() -> None:
    """It has no fills at all."""
    order: Any = SimpleNamespace(client_order_id=SimpleNamespace(value="web_1"), events=[])
    assert not is_made_up(order)
