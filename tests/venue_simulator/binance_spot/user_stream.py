"""The WS API of Binance spot, as far as the user data stream needs it (web-socket-api.md).

`session.logon` signs the parameters in alphabetical order; events come inline on the same connection.
"""

import hmac
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.venue_simulator.binance_common import check_time, need, sign
from tests.venue_simulator.binance_spot import order_payloads, payloads
from tests.venue_simulator.core import Account, Execution, Fill, Order
from tests.venue_simulator.protocol import RequestError
from tests.venue_simulator.streams import Connection
from tests.venue_simulator.venue import Venue

type Json = dict[str, Any]


class UserStreams:
    """The sessions of the WS API and what they are told.

    Parameters
    ----------
    venue
        Accounts, clock and faults.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._sessions: set[Connection] = set()
        self._execution_id = 8_000_000
        self.cancel_ids: dict[int, str] = {}  # by order id, of cancellations under way

    async def serve(self, _request: web.Request, connection: Connection) -> None:
        """Serve one session until it closes."""
        connection.state |= {"account": None, "subscribed": False, "since": self._now_ms()}
        self._sessions.add(connection)
        try:
            async for text in connection.texts():
                await self._venue.travel()
                await self._take(connection, json.loads(text))
        finally:
            self._sessions.discard(connection)

    def on_order(self, order: Order, execution: Execution, fill: Fill | None) -> None:
        """Report a change of an order to its account's sessions."""
        self._execution_id += 1
        report = order_payloads.execution_report(
            order,
            execution,
            fill,
            execution_id=self._execution_id,
            cancel_id=self.cancel_ids.pop(order.order_id, f"simcancel{self._execution_id}"),
            now_ms=self._now_ms(),
        ) if execution != "REPLACED" else None  # fmt: skip
        if report is not None:
            self._send(order.account, "private.order", report)

    def on_balance(self, account: Account, assets: Sequence[str]) -> None:
        """Report changed balances."""
        self._send(
            account.name, "private.balance", payloads.account_position(account, assets, self._now_ms())
        )

    def terminate(self, account: str) -> None:
        """End the subscriptions of an account, as the venue does when a session expires."""
        self._send(account, "private.stream", {"e": "eventStreamTerminated", "E": self._now_ms()})
        for connection in self._sessions:
            if connection.state["account"] == account:
                connection.state["subscribed"] = False

    def _send(self, account: str, kind: str, event: Json) -> None:
        for connection in self._sessions:
            if connection.state["subscribed"] and connection.state["account"] == account:
                connection.send(kind, json.dumps({"subscriptionId": 0, "event": event}))

    async def _take(self, connection: Connection, message: Json) -> None:
        method, params = str(message.get("method")), message.get("params") or {}
        texts = {name: str(value) for name, value in params.items()}
        fault = self._venue.faults.take_endpoint_fault(f"WS {method}")
        answer: Json = {"id": message.get("id"), "status": 200}
        if fault is not None and fault.when == "before":
            answer |= {"status": fault.status, "error": {"code": fault.code, "msg": fault.text}}
        else:
            try:
                answer["result"] = self._result(connection, method, texts)
            except RequestError as error:
                answer |= {"status": error.response.status, "error": json.loads(error.response.text or "{}")}
        self._venue.note(f"WS {method}", texts, answer["status"], fault.when if fault else "")
        if fault is None or fault.when != "lost":
            connection.send("reply", json.dumps(answer))

    def _result(self, connection: Connection, method: str, params: dict[str, str]) -> Json:
        state = connection.state
        match method:
            case "session.logon":
                state["account"] = self._log_on(params).name
                return self._session(connection)
            case "session.status":
                return self._session(connection)
            case "session.logout":
                state |= {"account": None, "subscribed": False}
                return self._session(connection)
            case "userDataStream.subscribe":
                if state["account"] is None:
                    raise _refusal(-2015, "Invalid API-key, IP, or permissions for action.")
                state["subscribed"] = True
                return {"subscriptionId": 0}
            case "userDataStream.unsubscribe":
                state["subscribed"] = False
                return {}
            case "ping":
                return {}
            case "time":
                return {"serverTime": self._now_ms()}
            case _:
                raise _refusal(-1020, "This operation is not supported.")

    def _log_on(self, params: dict[str, str]) -> Account:
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")
        key, signature = need(params, "apiKey"), need(params, "signature")
        for account in self._venue.exchange.accounts.values():
            if hmac.compare_digest(account.api_key, key):
                if not hmac.compare_digest(sign(account.api_secret, payload), signature.lower()):
                    raise _refusal(-1022, "Signature for this request is not valid.")
                check_time(params, self._now_ms())
                return account
        raise _refusal(-2015, "Invalid API-key, IP, or permissions for action.")

    def _session(self, connection: Connection) -> Json:
        """Source: web-socket-api.md, "Log in with API key"."""
        account = self._venue.exchange.accounts.get(connection.state["account"] or "")
        return {
            "apiKey": account.api_key if account else None,
            "authorizedSince": self._now_ms() if account else None,
            "connectedSince": connection.state["since"],
            "returnRateLimits": False,
            "serverTime": self._now_ms(),
            "userDataStream": connection.state["subscribed"],
        }

    def _now_ms(self) -> int:
        return self._venue.clock.now_ns() // 1_000_000


def _refusal(code: int, text: str) -> RequestError:
    return RequestError(web.json_response({"code": code, "msg": text}, status=401 if code == -2015 else 400))
