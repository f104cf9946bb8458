"""What Bybit tells an account: its wallet, and every change on the private stream."""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from tests.venue_simulator import bybit_account_payloads as account_payloads
from tests.venue_simulator import bybit_payloads as payloads
from tests.venue_simulator.bybit_ids import trimmed
from tests.venue_simulator.core import Account, Exchange, Execution, Fill, Order, Position
from tests.venue_simulator.core.terms import ZERO, MarketKind
from tests.venue_simulator.streams import Connection

type Payload = dict[str, Any]

TOPICS: Final = frozenset({"order", "execution", "position", "wallet"})
DCP_TOPICS: Final[dict[str, MarketKind]] = {"dcp.future": "linear", "dcp.spot": "spot"}


class Wallet:
    """The unified account's balances in Bybit's form."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def coins(self, account: Account) -> list[Payload]:
        """Return every coin that the account holds or held."""
        return [self._coin(account, coin) for coin in account.balances]

    def totals(self, account: Account) -> Payload:
        """Return the sums in USD; what is no stablecoin counts at the last price against one."""
        equity = wallet = margin = ZERO
        for coin, balance in account.balances.items():
            orders, positions, upnl = self._bound(account, coin)
            rate = self._rate(coin)
            wallet += balance.total * rate
            equity += (balance.total + upnl) * rate
            margin += (orders + positions) * rate
        return account_payloads.wallet_totals(equity, wallet, max(wallet - margin, ZERO), margin)

    def _coin(self, account: Account, coin: str) -> Payload:
        orders, positions, upnl = self._bound(account, coin)
        return account_payloads.coin_fields(coin, account.balances[coin], orders, positions, upnl)

    def _bound(self, account: Account, coin: str) -> tuple[Decimal, Decimal, Decimal]:
        """Return (margin of orders, margin of positions, unrealised profit) in a settlement coin."""
        ledger = self.exchange.ledger
        orders = sum(
            (
                ledger.order_margin(order)
                for order in self.exchange.open_orders(account.name)
                if order.market.kind == "linear" and order.market.quote == coin
            ),
            ZERO,
        )
        margin = profit = ZERO
        for position in account.open_positions():
            if position.market.quote == coin:
                mark = ledger.mark(position.market, position.entry_price)
                margin += position.initial_margin(mark)
                profit += position.unrealized_pnl(mark)
        return orders, margin, profit

    def _rate(self, coin: str) -> Decimal:
        prices = (
            self.exchange.last_price(market.key)
            for market in self.exchange.markets.values()
            if market.base == coin
        )
        return next((price for price in prices if price is not None), Decimal(1))


class PrivateStream:
    """Writes the private topics to the connections that subscribed them.

    Parameters
    ----------
    exchange
        Whose events it tells.
    connections
        The venue's open connections; those of an account know it as `state["account"]`.
    """

    def __init__(self, exchange: Exchange, connections: Iterable[Connection]) -> None:
        self.exchange = exchange
        self.connections = connections
        self.wallet = Wallet(exchange)
        self.fundings: list[tuple[str, Payload]] = []  # by account, oldest first
        self._messages = 0
        self._closing: dict[int, Decimal] = {}  # the last size that a close-position order stood for

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Tell a change of an order, after the execution that made it."""
        if fill is not None:
            row = payloads.execution(fill, fill.trade_id)
            self._send(order.account, "execution", [row])
        if execution == "NEW" and order.type == "MARKET":
            return  # the stream begins with the fill
        self._send(order.account, "order", [payloads.stream_order(order, self.closing_qty(order))])

    def on_funding(self, account: Account, row: Payload) -> None:
        """Tell a funding fee: an execution like those of orders, and of none."""
        self.fundings.append((account.name, row))
        self._send(account.name, "execution", [row])

    def on_balance(self, account: Account, _assets: Sequence[str]) -> None:
        """Tell the wallet."""
        wallet = self.wallet.totals(account) | {"totalPerpUpl": "0", "accountType": "UNIFIED"}
        self._send(account.name, "wallet", [wallet | {"coin": self.wallet.coins(account)}])

    def on_position(self, account: Account, position: Position) -> None:
        """Tell a position."""
        mark = self.exchange.ledger.mark(position.market, position.entry_price)
        row = account_payloads.stream_position(position, mark, self.exchange.clock.now_ns())
        self._send(account.name, "position", [row | self.attached(position)])

    def attached(self, position: Position) -> Payload:
        """Return the stop and target that stand for the whole position."""
        found = {"takeProfit": "0", "stopLoss": "0"}
        for order in self.exchange.open_orders(symbol=position.market.key):
            if order.is_waiting and payloads.is_attached(order) and order.stop_price is not None:
                is_stop = order.type == "STOP_MARKET"
                found["stopLoss" if is_stop else "takeProfit"] = trimmed(order.stop_price)
        return found

    def closing_qty(self, order: Order) -> Decimal:
        """Return the position's size for an order that closes it, the last one when it is flat."""
        if not order.close_position:
            return ZERO
        position = self.exchange.accounts[order.account].position(order.market)
        if position.qty:
            self._closing[order.order_id] = abs(position.qty)
        return self._closing.get(order.order_id, ZERO)

    def _send(self, account: str, topic: str, data: list[Payload]) -> None:
        readers = [
            connection
            for connection in self.connections
            if connection.state.get("account") == account and topic in connection.topics
        ]
        if not readers:
            return
        now_ns = self.exchange.clock.now_ns()
        self._messages += 1
        message = {
            "id": f"{account}-{now_ns}-{self._messages}",
            "topic": topic,
            "creationTime": now_ns // 1_000_000,
        }
        text = json.dumps(message | {"data": data})
        for connection in readers:
            connection.send(f"private.{topic}", text)
