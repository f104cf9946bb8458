"""Trades that no message told: one order that the venue does not tell keeps no other back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, TradeId, VenueOrderId

from runtime.errors import VenueError
from runtime.live import untold_trades
from runtime.live.order_lookup import Lookup

IID = InstrumentId.from_str("BTCUSDT.BINANCE")
OURS, SILENT, THEIRS = VenueOrderId("7"), VenueOrderId("1"), VenueOrderId("2")


def fill(order_id: VenueOrderId) -> Any:
    """Return a fill of an order."""
    return SimpleNamespace(venue_order_id=order_id, trade_id=TradeId(f"T{order_id}"), ts_event=5)


def test_ours_are_told_first_and_the_others_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue lists theirs first and is silent about one of them: the caller hears of it at the end."""
    told: list[VenueOrderId] = []

    async def newest_fills(_client: Any, _instrument_id: InstrumentId) -> list[Any]:
        return [fill(SILENT), fill(THEIRS), fill(OURS)]

    async def report(command: Any) -> Any:
        return None if command.venue_order_id == SILENT else SimpleNamespace(id=command.venue_order_id)

    def hand_over(_cache: Any, found: Lookup, _send: Any) -> None:
        told.append(found.fills[0].venue_order_id)

    monkeypatch.setattr(untold_trades, "newest_fills", newest_fills)
    monkeypatch.setattr(untold_trades, "hand_over", hand_over)
    cache = SimpleNamespace(
        client_order_id=lambda one: ClientOrderId("OTE-1") if one == OURS else None,
        order=lambda _name: SimpleNamespace(trade_ids=[]),
    )
    client: Any = SimpleNamespace(
        _http_account=None,
        _cache=cache,
        _clock=SimpleNamespace(timestamp_ns=lambda: 9),
        _log=SimpleNamespace(warning=lambda _text: None),
        generate_order_status_report=report,
    )
    with pytest.raises(VenueError, match="order 1 "):
        asyncio.run(untold_trades.tell_trades(client, IID, 0))
    assert told == [OURS, THEIRS]
