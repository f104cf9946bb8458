"""Bybit's websockets: public, private and trade sessions, from the first message to the last.

Where the messages come from: Bybit v5 "Connect" (login, heartbeat, subscriptions), "Websocket Trade
Guideline" (orders, batches, codes), "Dcp"; ws_auth_success, ws_auth_failure, ws_subscription_ack,
ws_subscription_failure, ws_order_response of `wire/bybit`.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.venue_simulator import bybit_auth
from tests.venue_simulator.bybit_account import DCP_TOPICS, TOPICS
from tests.venue_simulator.bybit_codes import BybitError
from tests.venue_simulator.bybit_orders import acknowledgement, amend_refusal, batch
from tests.venue_simulator.faults import EndpointFault
from tests.venue_simulator.streams import Connection

if TYPE_CHECKING:
    from tests.venue_simulator.bybit import Bybit

type Message = dict[str, Any]

ACTIONS: Final = {
    "order.create": ("create", "order/create"),
    "order.amend": ("amend", "order/amend"),
    "order.cancel": ("cancel", "order/cancel"),
    "order.create-batch": ("create", "order/create-batch"),
    "order.amend-batch": ("amend", "order/amend-batch"),
    "order.cancel-batch": ("cancel", "order/cancel-batch"),
}


class Sockets:
    """The three kinds of session of one venue."""

    def __init__(self, bybit: "Bybit") -> None:
        self.bybit = bybit
        self.venue = bybit.venue
        self._opened = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def public(self, request: web.Request, connection: Connection) -> None:
        """Serve a public session; the last word of its path is the product."""
        self._open(connection)
        connection.state["category"] = request.path.rpartition("/")[2]
        async for text in connection.texts():
            await self.venue.travel()
            self._take_public(connection, json.loads(text))

    async def private(self, _request: web.Request, connection: Connection) -> None:
        """Serve a private session: login, then topics."""
        self._open(connection)
        try:
            async for text in connection.texts():
                await self.venue.travel()
                self._take_private(connection, json.loads(text))
        finally:
            self.bybit.dcp.session_ended(connection)

    async def trade(self, _request: web.Request, connection: Connection) -> None:
        """Serve an order session; requests under way do not wait for each other."""
        self._open(connection)
        connection.state["seen"] = set()
        async for text in connection.texts():
            task = asyncio.create_task(self._take_trade(connection, json.loads(text)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- public --------------------------------------------------------------------------------------------

    def _take_public(self, connection: Connection, message: Message) -> None:
        identity, category = connection.state["id"], connection.state["category"]
        topics = [str(topic) for topic in message.get("args") or []]
        answer = {"success": True, "ret_msg": "", "conn_id": identity, "req_id": message.get("req_id", "")}
        match message.get("op"):
            case "ping":
                self._reply(connection, answer | {"ret_msg": "pong", "op": "ping"})
            case "subscribe":
                problem = self.bybit.public_stream.refusal(category, topics)
                if problem:
                    self._reply(
                        connection, answer | {"success": False, "ret_msg": problem, "op": "subscribe"}
                    )
                    return
                connection.topics.update(topics)
                self._reply(connection, answer | {"op": "subscribe"})
                now_ms = self.bybit.now_ms()
                for text in self.bybit.public_stream.first_messages(category, topics, now_ms):
                    connection.send("public.snapshot", text)
            case "unsubscribe":
                connection.topics.difference_update(topics)
                self._reply(connection, answer | {"op": "unsubscribe"})
            case other:
                self._reply(
                    connection, answer | {"success": False, "ret_msg": f"unknown op {other}", "op": ""}
                )

    # --- private -------------------------------------------------------------------------------------------

    def _take_private(self, connection: Connection, message: Message) -> None:
        identity = connection.state["id"]
        topics = [str(topic) for topic in message.get("args") or []]
        base = {"success": True, "ret_msg": "", "conn_id": identity}
        if "req_id" in message:
            base["req_id"] = message["req_id"]
        match message.get("op"):
            case "ping":
                pong = {"req_id": message.get("req_id", ""), "op": "pong", "args": [str(self.bybit.now_ms())]}
                self._reply(connection, pong | {"conn_id": identity})
            case "auth":
                self._login(connection, message)
            case "subscribe" if "account" in connection.state:
                unknown = [topic for topic in topics if topic not in TOPICS | DCP_TOPICS.keys()]
                if unknown:
                    words = f"Invalid topic: {unknown[0]}"
                    self._reply(connection, base | {"success": False, "ret_msg": words, "op": "subscribe"})
                    return
                connection.topics.update(topics)
                self.bybit.dcp.subscribed(connection)
                self._reply(connection, base | {"op": "subscribe"})
            case "subscribe":
                words = "Request not authorized"
                self._reply(connection, base | {"success": False, "ret_msg": words, "op": "subscribe"})
            case "unsubscribe":
                connection.topics.difference_update(topics)
                self._reply(connection, base | {"op": "unsubscribe"})
            case other:
                self._reply(connection, base | {"success": False, "ret_msg": f"unknown op {other}", "op": ""})

    def _login(self, connection: Connection, message: Message) -> None:
        answer = {"op": "auth", "connId": connection.state["id"]}
        if message.get("reqId"):
            answer["reqId"] = message["reqId"]
        try:
            key = bybit_auth.check_login(message.get("args"), self.bybit.secrets(), self.bybit.now_ms())
        except BybitError as error:
            self._reply(connection, answer | {"success": False, "retCode": error.code, "retMsg": error.text})
            return
        connection.state["account"] = self.bybit.account_of(key)
        self._reply(connection, answer | {"success": True, "retCode": 0, "retMsg": "OK"})

    # --- trade ---------------------------------------------------------------------------------------------

    async def _take_trade(self, connection: Connection, message: Message) -> None:
        await self.venue.travel()
        match message.get("op"):
            case "ping":
                pong = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(self.bybit.now_ms())]}
                self._reply(connection, pong | {"connId": connection.state["id"]})
            case "auth":
                self._login(connection, message)
            case op:
                self._order(connection, str(op), message)

    def _order(self, connection: Connection, op: str, message: Message) -> None:
        endpoint = f"WS {op}"
        fault = self.venue.faults.take_endpoint_fault(endpoint)
        answer: Message = {"op": op, "connId": connection.state["id"]}
        if "reqId" in message:
            answer["reqId"] = message["reqId"]
        try:
            raise_scripted(fault, "before")
            answer |= self._do(connection, op, message)
            raise_scripted(fault, "after")
        except BybitError as error:
            answer |= {"retCode": error.code, "retMsg": error.text, "data": {}, "retExtInfo": {}}
            answer["header"] = self._header(error.headers)
        args = message.get("args") or [{}]
        params = {name: str(value) for name, value in args[0].items()}
        self.venue.note(
            endpoint, params | {"retCode": str(answer["retCode"])}, 200, fault.when if fault else ""
        )
        if fault is not None and fault.when == "lost":
            connection.abort()
        else:
            self._reply(connection, answer)

    def _do(self, connection: Connection, op: str, message: Message) -> Message:
        if "account" not in connection.state:
            raise BybitError(10007, "User authentication failed.")
        if op not in ACTIONS:
            raise BybitError(10404, "op type is not found")
        self._check_request(connection, message)
        action, path = ACTIONS[op]
        params = message["args"][0]
        is_batch = op.endswith("-batch")
        units = len(params.get("request") or []) if is_batch else 1
        limits = self.bybit.limits.take(path, str(params.get("category")), self.bybit.now_ms(), units)
        orders = self.bybit.orders(connection.state["account"])
        if is_batch:
            data, details = batch(orders, action, params)
        else:
            try:
                data, details = acknowledgement(getattr(orders, action)(params)), {}
            except BybitError as error:
                error.headers = limits
                raise amend_refusal(error) if action == "amend" else error from error
        ok = {"retCode": 0, "retMsg": "OK", "data": data, "retExtInfo": details}
        return ok | {"header": self._header(limits)}

    def _check_request(self, connection: Connection, message: Message) -> None:
        header = message.get("header") or {}
        timestamp, window = header.get("X-BAPI-TIMESTAMP", ""), header.get("X-BAPI-RECV-WINDOW", "")
        bybit_auth.check_time(str(timestamp), str(window), self.bybit.now_ms())
        args = message.get("args")
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise BybitError(10001, "Params Error")
        request_id = message.get("reqId")
        if request_id is not None:
            if request_id in connection.state["seen"]:
                raise BybitError(20006, "reqId is duplicated")
            connection.state["seen"].add(request_id)

    def _header(self, limits: Mapping[str, str]) -> dict[str, str]:
        return {**limits, "Traceid": "", "Timenow": str(self.bybit.now_ms())}

    def _open(self, connection: Connection) -> None:
        self._opened += 1
        connection.state["id"] = f"simulator-{self._opened}"

    @staticmethod
    def _reply(connection: Connection, message: Message) -> None:
        connection.send("reply", json.dumps(message))


def raise_scripted(fault: EndpointFault | None, when: str) -> None:
    """Raise the error of a scripted fault when its moment has come."""
    if fault is not None and fault.when == when:
        raise BybitError(fault.code, fault.text)
