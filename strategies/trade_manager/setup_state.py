"""A setup as plain values and back: what a restarted node needs to go on where the last one ended.

Everything that a setup knows is here. What it was given (instrument, venue, settings) is not: a restart reads
those anew. A restored setup answers every later event exactly as the original would have.
"""

from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec

from strategies.protection import VenueCapabilities
from strategies.trade_manager.ledger import Ledger
from strategies.trade_manager.lifecycle import Stage
from strategies.trade_manager.orders import Leg, OwnOrder
from strategies.trade_manager.plan import EntryPlan, Market
from strategies.trade_manager.setup import Setup
from strategies.trade_manager.setup_rules import ExitRules, Identity
from strategies.trade_manager.shortfall import Shortfall

VERSION: Final = 1


class SetupState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All of a `Setup`, field by field; an underscore in front of a name is left out.

    Parameters
    ----------
    version
        Of this layout.
    entry_id
        Client order id of the newest entry, empty before the first.
    others
        As in `Setup`.
    """

    version: int
    identity: Identity
    plan: EntryPlan
    stop_price: Decimal
    stage: Stage
    orders: list[OwnOrder]
    ledger: Ledger
    entered_at: Shortfall
    left_at: Shortfall
    exit_decided_price: Decimal | None
    last_price: float
    highest: float
    lowest: float
    entry_id: str
    next_plan: EntryPlan | None
    rest_plan: EntryPlan | None
    entry_unwanted: bool
    cancel_reason: str
    post_only_rejects: int
    attempts: dict[Leg, int]
    seen_fills: list[tuple[str, str]]
    bucket_seq: int
    entry_bucket_seq: int
    exit_bucket_seq: int
    is_tainted: bool
    is_reported: bool
    stop_reason: str
    exit_reason: str
    exit_at_market: bool
    watch_target: bool
    refusals: int
    wait_until_ns: dict[Leg, int]
    ttl_ns: int
    market_exit_ns: int
    retry_cancel_ns: int
    denials: int = 0
    exit_in_doubt: bool = False


# Held as they are, under the same name with an underscore in front.
_PRIVATE: Final = (
    "entered_at",
    "left_at",
    "exit_decided_price",
    "next_plan",
    "rest_plan",
    "entry_unwanted",
    "cancel_reason",
    "post_only_rejects",
    "attempts",
    "bucket_seq",
    "entry_bucket_seq",
    "exit_bucket_seq",
    "is_tainted",
    "is_reported",
    "stop_reason",
    "exit_reason",
    "exit_at_market",
    "watch_target",
    "refusals",
    "wait_until_ns",
    "ttl_ns",
    "market_exit_ns",
    "retry_cancel_ns",
    "denials",
    "exit_in_doubt",
)
_PUBLIC: Final = ("identity", "plan", "stop_price", "stage", "ledger", "last_price", "highest", "lowest")
# Given anew, or computed from the rest by `Setup.arm`.
NOT_KEPT: Final = frozenset(
    {
        "_market",
        "_venue",
        "_learnt_most",  # the venue of now may take more
        "_rules",
        "_stop_limit_of",
        "_is_away",
        "asks_about_entry",
        "low_alarm",
        "high_alarm",
        "deadline_ns",
        "is_watching",
        "_surplus_due_ns",  # waited for anew
    }
)
KEPT: Final = frozenset(
    {*_PUBLIC, *(f"_{name}" for name in _PRIVATE), "orders", "_entry", "_seen_fills"},
)
_FIELDS: Final = (*_PUBLIC, *_PRIVATE)
_READ: Final = attrgetter(*_PUBLIC, *(f"_{name}" for name in _PRIVATE))
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(SetupState)


def state_of(setup: Setup) -> SetupState:
    """Return all that a setup knows; it shares the setup's lists, so encode it at once."""
    return SetupState(
        version=VERSION,
        orders=list(setup.orders.values()),
        entry_id=setup.entry_id,
        seen_fills=sorted(setup._seen_fills),  # noqa: SLF001 - this module is the other half of Setup
        **dict(zip(_FIELDS, _READ(setup), strict=True)),
    )


def restored(state: SetupState, market: Market, venue: VenueCapabilities, rules: ExitRules) -> Setup:
    """Return a setup that goes on from a state.

    Parameters
    ----------
    state
        From `state_of`, decoded: nobody else may hold its parts.
    market, venue, rules
        Instrument, venue and settings of now.
    """
    setup = Setup(state.identity, state.plan, market, venue, rules)
    for name in _PUBLIC:
        setattr(setup, name, getattr(state, name))
    for name in _PRIVATE:
        setattr(setup, f"_{name}", getattr(state, name))
    setup.orders = {one.client_id: one for one in state.orders}
    setup._entry = setup.orders.get(state.entry_id)  # noqa: SLF001
    setup._seen_fills = {(order, trade) for order, trade in state.seen_fills}  # noqa: SLF001
    setup.arm()
    return setup


def to_bytes(setup: Setup) -> bytes:
    """Return a setup as bytes (msgpack)."""
    return _ENCODER.encode(state_of(setup))


def from_bytes(data: bytes) -> SetupState:
    """Return the state in bytes.

    Raises
    ------
    ValueError
        When they are damaged or of another version.
    """
    try:
        state = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the state of a setup is damaged or of another version: {error}") from error
    if state.version != VERSION:
        raise ValueError(f"the state of a setup has version {state.version}, this program reads {VERSION}")
    return state


def to_plain(setup: Setup) -> dict[str, Any]:
    """Return a setup as a dict of strings, numbers, lists and dicts."""
    plain: dict[str, Any] = msgspec.to_builtins(state_of(setup))
    return plain


def from_plain(plain: dict[str, Any]) -> SetupState:
    """Return the state in a dict of `to_plain`.

    Raises
    ------
    ValueError
        When it is damaged or of another version.
    """
    try:
        state = msgspec.convert(plain, SetupState)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the state of a setup is damaged or of another version: {error}") from error
    if state.version != VERSION:
        raise ValueError(f"the state of a setup has version {state.version}, this program reads {VERSION}")
    return state


__all__ = [
    "VERSION",
    "SetupState",
    "from_bytes",
    "from_plain",
    "restored",
    "state_of",
    "to_bytes",
    "to_plain",
]
