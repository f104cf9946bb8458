"""From the core's events to the user stream of Binance USD-M: which message when.

Sources: "Event: Order Update", "Event: Algo Order Update", "Event: Balance and Position Update" of
developers.binance.com, and the recorded messages under `data/wire/binance/futures/user_data_json`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tests.venue_simulator import binance_usdm_private as wire
from tests.venue_simulator.binance_usdm_account import account_update
from tests.venue_simulator.binance_usdm_views import (
    MILLION,
    algo_status,
    algo_view,
    fill_view,
    has_worked,
    money,
    order_view,
    position_view,
    price_text,
)
from tests.venue_simulator.core import (
    Account,
    BalanceReason,
    Exchange,
    Execution,
    Fill,
    Listener,
    Order,
    Position,
)
from tests.venue_simulator.core.terms import ZERO

type Payload = dict[str, Any]
FORCED_STATUS = {"liquidation": "FILLED", "adl": "NEW_ADL"}  # X of the recorded CALCULATED messages
EXECUTIONS = {"REPLACED": "AMENDMENT", "NEW": "NEW", "CANCELED": "CANCELED", "EXPIRED": "EXPIRED"}


class UserEvents(Listener):
    """Writes the user streams.

    Parameters
    ----------
    exchange
        Whose events these are.
    now_ms
        Returns exchange time.
    push
        Sends a message to all user streams of an account.
    """

    def __init__(
        self, exchange: Exchange, now_ms: Callable[[], int], push: Callable[[str, Payload], None]
    ) -> None:
        self.exchange = exchange
        self.now_ms = now_ms
        self.push = push
        self._finished: list[Order] = []  # triggered algo orders whose end is still to be told
        self._wallets = {
            (account.name, asset): balance.total
            for account in exchange.accounts.values()
            for asset, balance in account.balances.items()
        }

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Tell the owner: conditional orders by ALGO_UPDATE until they trigger, all others as orders."""
        if "origin" in order.extra:
            self._tell_forced(order, execution, fill)
            return
        if order.is_algo:
            self._tell_algo(order, execution)
        if execution == "TRIGGERED" or (order.is_algo and not has_worked(order)):
            return
        if fill is not None:
            self._tell_fill(order, fill)
        elif execution in EXECUTIONS:
            self._tell_order(order, EXECUTIONS[execution])
        if order.is_algo and not order.is_open:
            self._finished.append(order)

    def on_tick(self) -> None:
        """Tell that algo orders are FINISHED: another service says so, a little after the fill."""
        while self._finished:
            self._push_algo(self._finished.pop(0))

    def on_balance(self, account: Account, assets: Sequence[str], reason: BalanceReason) -> None:
        """Tell of deposits and funding at once; what a fill changes is told with the position."""
        if reason == "ORDER":
            return
        for asset in assets:
            wallet = account.balance(asset).total
            change = wallet - self._wallets.get((account.name, asset), ZERO)
            self._wallets[account.name, asset] = wallet
            message = account_update(reason, asset, money(wallet), money(change), [], self.now_ms())
            self.push(account.name, message)

    def on_position(self, account: Account, position: Position) -> None:
        """Tell wallet and position after a fill."""
        asset = position.market.quote
        wallet = account.balance(asset).total
        self._wallets[account.name, asset] = wallet
        mark = self.exchange.last_price(position.market.key) or position.entry_price
        view = position_view(position, mark, wallet)
        message = account_update("ORDER", asset, money(wallet), money(ZERO), [view], self.now_ms())
        self.push(account.name, message)

    def _tell_order(self, order: Order, execution: str) -> None:
        self.push(order.account, wire.order_update(order_view(order), execution, self.now_ms()))

    def _tell_fill(self, order: Order, fill: Fill) -> None:
        view, now_ms = order_view(order), self.now_ms()
        self.push(order.account, wire.trade_lite(view, fill_view(fill), now_ms))
        self.push(order.account, wire.order_update(view, "TRADE", now_ms, fill_view(fill)))

    def _tell_algo(self, order: Order, execution: Execution) -> None:
        """Say NEW, TRIGGERING, TRIGGERED (with the order that enters the book), or how it ended unworked."""
        if execution == "TRIGGERED":
            self._push_algo(order, "TRIGGERING", is_actual=False)
            if self._may_work(order):
                self._push_algo(order, "TRIGGERED")
                self._tell_order(order, "NEW")
        elif not has_worked(order):
            self._push_algo(order, reason="Reduce Only reject" if order.reason == "reduce_only" else "")

    def _may_work(self, order: Order) -> bool:
        if not (order.reduce_only or order.close_position):
            return True
        return self.exchange.accounts[order.account].position(order.market).closes(order.side)

    def _push_algo(self, order: Order, status: str = "", *, reason: str = "", is_actual: bool = True) -> None:
        actual = order_view(order) if is_actual and has_worked(order) else None
        message = wire.algo_update(
            algo_view(order),
            order.order_id,
            status or algo_status(order),
            self.now_ms(),
            actual,
            order.triggered_ns // MILLION,
            reason,
        )
        self.push(order.account, message)

    def _tell_forced(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Tell a liquidation or ADL: an IOC limit order that is CALCULATED instead of traded."""
        if fill is None:
            if execution != "NEW":
                return
            view = order_view(order)
        else:
            view = order_view(order)
            if view.status == "FILLED":
                view.status = FORCED_STATUS[order.extra["origin"]]
            view.price = price_text(order.market, fill.price)
        view.kind = view.original_kind = "LIMIT"
        view.time_in_force = "IOC"
        name = "NEW" if fill is None else "CALCULATED"
        self.push(
            order.account,
            wire.order_update(view, name, self.now_ms(), fill_view(fill) if fill else None),
        )
