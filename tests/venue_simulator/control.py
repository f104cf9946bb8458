"""The control interface: ``/ctl/*`` scripts faults and trades, and shows the venue's own records.

=====================  =======================================================================================
``GET /ctl/state``     `?venue=`; everything that the venue knows (`tests.venue_simulator.state`)
``GET /ctl/told``      `?venue=`; the private messages of its streams, and when each was written
``POST /ctl/fault``    ``{"venue", "kind", "args"}``; kinds in `FAULTS`
``POST /ctl/trade``    ``{"venue", "market", "side", "qty", "price"}``: print a public trade
``POST /ctl/order``    ``{"venue", "market", "side", "type", "qty", ...}``: an order of somebody else
``POST /ctl/cancel``   ``{"venue", "order_id"}``: a cancellation likewise
``POST /ctl/balance``  ``{"venue", "asset", "amount"}``: a deposit, or with a minus a withdrawal
``POST /ctl/account``  ``{"venue", "name", "api_key", "api_secret", "balances", ...}``: add or change one
``POST /ctl/tape``     ``{"action": "start" | "pause" | "seek" | "speed" | "state", "value"}``
=====================  =======================================================================================
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from aiohttp import web

from tests.venue_simulator.core import Account, Market, OrderRequest, VenueRefusal
from tests.venue_simulator.faults import EndpointFault, StreamFault
from tests.venue_simulator.state import fill_state, order_state, state_of
from tests.venue_simulator.tape_runner import TapeRunner
from tests.venue_simulator.venue import Venue

type Json = dict[str, Any]

DECIMALS: Final = {"qty", "price", "stop_price", "quote_qty", "take_profit", "stop_loss"}
MARKET_DECIMALS: Final = {name for name, kind in Market.__annotations__.items() if "Decimal" in str(kind)}


class Control:
    """The handlers of ``/ctl``.

    Parameters
    ----------
    venues
        By name.
    tape
        What plays; None without one.
    """

    def __init__(self, venues: Mapping[str, Venue], tape: TapeRunner | None) -> None:
        self._venues = venues
        self._tape = tape

    def add_to(self, app: web.Application) -> None:
        """Register the endpoints."""
        app.router.add_get("/ctl/state", self.state)
        app.router.add_get("/ctl/told", self.told)
        for name, handler in (
            ("fault", self.fault),
            ("trade", self.trade),
            ("order", self.order),
            ("cancel", self.cancel),
            ("balance", self.balance),
            ("account", self.account),
            ("tape", self.tape),
        ):
            app.router.add_post(f"/ctl/{name}", _answering(handler))

    async def state(self, request: web.Request) -> web.Response:
        """Return a venue's records."""
        name = request.query.get("venue", "")
        if name not in self._venues:
            return web.json_response({"error": f"venue {name!r}: one of {sorted(self._venues)}"}, status=400)
        return web.json_response(state_of(self._venues[name]))

    async def told(self, request: web.Request) -> web.Response:
        """Return the private messages of a venue's streams and when each was written."""
        venue = self._venue(request.query)
        return web.json_response({"told": [one._asdict() for one in venue.told]})

    async def fault(self, body: Json) -> Json:
        """Begin a fault, or end one."""
        args = body.get("args") or {}
        apply_fault(self._venue(body), body["kind"], args)
        return {"ok": True}

    async def trade(self, body: Json) -> Json:
        """Print a public trade and return the fills that it made."""
        exchange = self._venue(body).exchange
        before = len(exchange.fills)
        trade = exchange.print_trade(
            body["market"], body["side"], Decimal(str(body["qty"])), Decimal(str(body["price"]))
        )
        fills = [fill_state(fill) for fill in exchange.fills[before:]]
        return {"trade_id": trade.trade_id, "ts_ns": trade.ts_ns, "fills": fills}

    async def order(self, body: Json) -> Json:
        """Place an order as another client of the same account does."""
        venue = self._venue(body)
        fields = {name: value for name, value in body.items() if name not in {"venue", "market"}}
        for name in DECIMALS & fields.keys():
            fields[name] = Decimal(str(fields[name]))
        return order_state(venue.exchange.place(OrderRequest(symbol=body["market"], **fields)))

    async def cancel(self, body: Json) -> Json:
        """Cancel an order likewise."""
        exchange = self._venue(body).exchange
        return order_state(exchange.cancel(body.get("account", "main"), order_id=int(body["order_id"])))

    async def balance(self, body: Json) -> Json:
        """Deposit or withdraw."""
        account = body.get("account", "main")
        self._venue(body).exchange.change_balance(
            account, body["asset"], Decimal(str(body["amount"])), "DEPOSIT"
        )
        return {"ok": True}

    async def account(self, body: Json) -> Json:
        """Add an account, or change the key and the permissions of one."""
        venue, name = self._venue(body), body.get("name", "main")
        account = venue.exchange.accounts.setdefault(name, Account(name))
        for field in ("api_key", "api_secret", "can_trade", "can_withdraw", "ip_restricted"):
            if field in body:
                setattr(account, field, body[field])
        for asset, amount in (body.get("balances") or {}).items():
            account.balance(asset).free = Decimal(str(amount))
        return {"ok": True}

    async def tape(self, body: Json) -> Json:
        """Start, hold, move or pace the tape."""
        if self._tape is None:
            raise ValueError("there is no tape: start the simulator with --tape")
        match body["action"]:
            case "start":
                self._tape.start()
            case "pause":
                self._tape.pause()
            case "seek":
                self._tape.seek(float(body["value"]))
            case "speed":
                self._tape.set_speed(float(body["value"]))
            case "state":
                pass
            case unknown:
                raise ValueError(f"action {unknown!r}: start, pause, seek, speed or state")
        return self._tape.state()

    def _venue(self, body: Mapping[str, Any]) -> Venue:
        name = str(body.get("venue"))
        if name not in self._venues:
            raise ValueError(f"venue {name!r}: one of {sorted(self._venues)}")
        return self._venues[name]


def apply_fault(venue: Venue, kind: str, args: Mapping[str, Any]) -> None:
    """Begin a fault.

    Parameters
    ----------
    venue
        Where.
    kind
        A key of `FAULTS`.
    args
        What its entry says.

    Raises
    ------
    ValueError
        On a kind that does not exist.
    """
    if kind not in FAULTS:
        raise ValueError(f"fault {kind!r}: one of {', '.join(sorted(FAULTS))}")
    FAULTS[kind](venue, args)


def _stream_fault(action: Any) -> Callable[[Venue, Mapping[str, Any]], None]:
    def add(venue: Venue, args: Mapping[str, Any]) -> None:
        fault = StreamFault(action, args.get("kind", "*"), int(args.get("count", 1)), args.get("secs", 0.0))
        venue.faults.stream_faults.append(fault)

    return add


def _error(venue: Venue, args: Mapping[str, Any]) -> None:
    venue.faults.endpoint_faults.append(EndpointFault(**{"count": 1, **args}))


def _instrument(venue: Venue, args: Mapping[str, Any]) -> None:
    terms = {name: _market_value(name, value) for name, value in args.items() if name != "market"}
    venue.exchange.change_market(args["market"], **terms)


def _market_value(name: str, value: Any) -> Any:
    return Decimal(str(value)) if name in MARKET_DECIMALS and value is not None else value


def _skew(venue: Venue, args: Mapping[str, Any]) -> None:
    venue.clock.skew_ns = int(float(args["secs"]) * 1e9)


def _spend(venue: Venue, args: Mapping[str, Any]) -> None:
    venue.limiter.windows[args["window"]].spend(int(args["units"]), venue.clock.now_ns())


def _latency(venue: Venue, args: Mapping[str, Any]) -> None:
    venue.latency_secs = float(args["ms"]) / 1000


def _delay(venue: Venue, args: Mapping[str, Any]) -> None:
    venue.faults.delay_secs = float(args["secs"])


def _forced(reason: str) -> Callable[[Venue, Mapping[str, Any]], None]:
    def close(venue: Venue, args: Mapping[str, Any]) -> None:
        venue.exchange.close_by_force(args.get("account", "main"), args["market"], reason)

    return close


FAULTS: Final[Mapping[str, Callable[[Venue, Mapping[str, Any]], None]]] = {
    "clear": lambda venue, _: venue.faults.clear(),
    "cut": lambda venue, args: venue.faults.cut(float(args["secs"])),  # every connection, and new ones
    # Once, clients may come back at once; name: only these ("market", "user", ...).
    "disconnect": lambda venue, args: venue.drop_connections(args.get("name", "")),
    "freeze": lambda venue, args: venue.faults.freeze(float(args["secs"])),
    "delay": _delay,  # secs, on top of the latency, until 0
    "latency": _latency,  # ms
    "drop": _stream_fault("drop"),  # kind, count
    "duplicate": _stream_fault("duplicate"),
    "reorder": _stream_fault("reorder"),
    "late": _stream_fault("delay"),  # kind, count, secs
    "error": _error,  # endpoint, count, status, code, text, when
    "skew": _skew,  # secs
    "ban": lambda venue, args: venue.limiter.ban(float(args["secs"])),
    "rate_limit": lambda venue, args: venue.limiter.limit(float(args["secs"])),
    "spend": _spend,  # window, units: what another program at the same address, or of the account, sent
    "liquidation": _forced("liquidation"),  # market, account
    "adl": _forced("adl"),
    "listen_key_expiry": lambda venue, args: venue.protocol.expire_user_stream(args.get("account", "main")),
    "funding": lambda venue, args: venue.protocol.settle_funding(args["market"], Decimal(str(args["rate"]))),
    "dcp": lambda venue, args: venue.protocol.enable_disconnect_cancel(args["product"], int(args["secs"])),
    "instrument": _instrument,  # market, and any term of it: tick, lot, status, min_notional, ...
}


def _answering(
    handler: Callable[[Json], Awaitable[Json]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Turn what goes wrong into one line and status 400."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(await request.json()))
        except VenueRefusal as refusal:
            return web.json_response({"error": str(refusal), "kind": refusal.kind}, status=400)
        except (ValueError, TypeError, KeyError, InvalidOperation) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    return answer
