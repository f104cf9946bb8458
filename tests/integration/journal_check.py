"""The journal against the engine's own records, in every test that trades."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine

from runtime.journal.actor import JournalActor, JournalActorConfig
from runtime.journal.framing import Frame, frame_of, frames_in
from runtime.journal.records import FillRecord, OrderRecord
from runtime.journal.rows import SHAPES
from strategies.trade_manager.record import ClosedTrade


class JournalInMemory:
    """Takes records as a spool does: what is kept has been encoded and read back."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def append(self, record: Any) -> None:
        self._frames.append(frame_of(record, len(self._frames)))

    def refusal(self) -> None:
        """Return no refusal: memory takes everything."""

    def trouble(self) -> None:
        """Return no trouble."""

    def records(self, struct: type[Any]) -> list[Any]:
        """Return the records of one stream."""
        found = (item for _behind, item in frames_in(b"".join(self._frames)) if isinstance(item, Frame))
        return [record for frame in found if type(record := frame.record()) is struct]

    def rows(self, struct: type[Any]) -> list[dict[str, Any]]:
        """Return the rows of one stream as they would go into SQL, without keys."""
        shape = SHAPES[struct]
        return [
            dict(zip(shape.names[3:], shape.values(record), strict=True)) for record in self.records(struct)
        ]


def journal_of(engine: BacktestEngine) -> JournalInMemory:
    """Add the journal's actor to an engine that has its strategies."""
    journal = JournalInMemory()
    engine.add_actor(JournalActor(JournalActorConfig(), journal))
    return journal


def check_journal(journal: JournalInMemory, cache: Any, trades: Sequence[ClosedTrade] | None = None) -> None:
    """Compare fills and order events with the engine's orders, and trades with the strategy's, exactly."""
    events = [event for order in cache.orders() for event in order.events]
    fills = [event for event in events if type(event).__name__ == "OrderFilled"]
    assert Counter(
        (
            row["client_order_id"], row["trade_id"], Decimal(row["qty"]), Decimal(row["price"]),
            Decimal(row["commission"]), row["ts_ns"],
        )
        for row in journal.rows(FillRecord)
    ) == Counter(
        (
            fill.client_order_id.value, fill.trade_id.value, fill.last_qty.as_decimal(),
            fill.last_px.as_decimal(), fill.commission.as_decimal(), fill.ts_event,
        )
        for fill in fills
    )  # fmt: skip
    heard = Counter((one.client_order_id, one.event) for one in journal.records(OrderRecord))
    # Nautilus keeps some of its own OrderPendingCancel off the bus; it is an intent, not a venue's report.
    known = Counter(
        (event.client_order_id.value, name)
        for event in events
        if (name := type(event).__name__) != "OrderPendingCancel"
    )
    missing = known - heard
    assert not missing, f"order events that the journal has not: {dict(missing)}"
    if trades is not None:
        assert journal.records(ClosedTrade) == list(trades)
        for row, trade in zip(journal.rows(ClosedTrade), trades, strict=True):
            for name in ("pnl", "fees", "funding", "market_exit_value"):
                assert Decimal(row[name]) == Decimal(getattr(trade, name)), name
            for name in ("held_secs", "entry_slippage_bps", "exit_slippage_bps"):
                assert row[name] == getattr(trade, name), name
