"""The engine of a replay: the cache as the session found it, and venues that say nothing by themselves."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.backtest.data_client import BacktestMarketDataClient
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import CacheConfig, LoggingConfig, MessageBusConfig, RiskEngineConfig
from nautilus_trader.execution.client import ExecutionClient
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import AccountId, ClientId, TraderId, Venue
from nautilus_trader.model.orders.unpacker import OrderUnpacker
from nautilus_trader.model.position import Position

from runtime.live.paper_world import new_account
from runtime.live.recorded_values import decoded_text

CACHE_CAPACITY: Final = 1_000


class SilentClient(ExecutionClient):
    """Takes every command and does nothing: what the venue answered is in the recording."""

    def submit_order(self, command: Any) -> None:
        """Take an order."""

    def submit_order_list(self, command: Any) -> None:
        """Take orders."""

    def modify_order(self, command: Any) -> None:
        """Take a change."""

    def cancel_order(self, command: Any) -> None:
        """Take a cancel."""

    def cancel_all_orders(self, command: Any) -> None:
        """Take a cancel of all orders."""

    def batch_cancel_orders(self, command: Any) -> None:
        """Take several cancels."""

    def query_account(self, command: Any) -> None:
        """Take a question."""

    def query_order(self, command: Any) -> None:
        """Take a question."""


def make_engine(trader_id: str) -> BacktestEngine:
    """Return an engine without venues and strategies."""
    return BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId(trader_id),
            logging=LoggingConfig(bypass_logging=True),
            # Refusals of the node's own risk engine are answers too, and recorded.
            risk_engine=RiskEngineConfig(bypass=True),
            cache=CacheConfig(tick_capacity=CACHE_CAPACITY, bar_capacity=CACHE_CAPACITY),
            message_bus=MessageBusConfig(),
            run_analysis=False,
        )
    )


def engine_parts(kernel: Any) -> tuple[Any, ...]:
    """Return what is started before the first row and stopped after the last, in this order."""
    return kernel.data_engine, kernel.risk_engine, kernel.exec_engine, kernel.emulator


def restore_cache(kernel: Any, start: Mapping[str, Any]) -> None:
    """Fill the cache of a kernel from the checkpoint of a session's start, and register its venues."""
    cache = kernel.cache
    for text in start["instruments"]:
        cache.add_instrument(decoded_text(text))
    for venue in sorted({one.id.venue.value for one in cache.instruments()}):
        _add_venue(kernel, venue, start)
    for account in start["accounts"]:
        state = decoded_text(account["state"])
        leverage = Decimal(account["leverage"])
        cache.add_account(new_account(state, leverage, is_calculated=False))
    for events in start["orders"]:
        order = OrderUnpacker.from_init(decoded_text(events[0]))
        for event in events[1:]:
            order.apply(decoded_text(event))
        cache.add_order(order, None)
        cache.update_order(order)
    for fills in start["positions"]:
        _restore_position(cache, [decoded_text(one) for one in fills])


def _restore_position(cache: Any, fills: list[Any]) -> None:
    first, *others = fills
    position = Position(cache.instrument(first.instrument_id), fill=first)
    for fill in others:
        position.apply(fill)
    cache.add_position(position, OmsType.NETTING)
    for fill in fills:
        cache.add_position_id(
            position.id, first.instrument_id.venue, fill.client_order_id, position.strategy_id
        )


def _add_venue(kernel: Any, venue: str, start: Mapping[str, Any]) -> None:
    parts = {"msgbus": kernel.msgbus, "cache": kernel.cache, "clock": kernel.clock}
    kernel.data_engine.register_client(BacktestMarketDataClient(client_id=ClientId(venue), **parts))
    issuers = {account["state"] for account in start["accounts"]}
    states = [decoded_text(one) for one in issuers]
    mine = next((one for one in states if one.account_id.get_issuer() == venue), None)
    client = SilentClient(
        client_id=ClientId(venue),
        venue=Venue(venue),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN if mine is None else mine.account_type,
        base_currency=None,
        **parts,
    )
    client._set_account_id(AccountId(f"{venue}-001") if mine is None else mine.account_id)  # noqa: SLF001
    kernel.exec_engine.register_client(client)
