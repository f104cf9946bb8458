"""What is known of a setup: its state, what can be asked about it, and the record of its trade."""

import math
from decimal import Decimal
from typing import Literal

from strategies.protection import VenueCapabilities, protected_qty
from strategies.trade_manager.client_ids import client_order_id
from strategies.trade_manager.increments import floor_to
from strategies.trade_manager.ledger import Ledger
from strategies.trade_manager.lifecycle import IN_POSITION, TRANSITIONS, Signal, Stage, advance
from strategies.trade_manager.orders import ZERO, Finished, Leg, Note, OrderKind, OrderStage, OwnOrder
from strategies.trade_manager.plan import EntryPlan, Market
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup_rules import NANOS, NEVER_NS, ExitRules, Identity
from strategies.trade_manager.shortfall import Shortfall
from strategies.trade_manager.stops import stop_limit


class SetupFacts:
    """The state of one setup; what changes it is in `Setup`.

    Parameters
    ----------
    identity
        Ids.
    plan
        The intended trade.
    market, venue, rules
        Instrument, venue and settings.
    bucket_seq
        Last closed bucket.
    carried_qty, carried_value
        Dust of an earlier trade (spot).
    """

    def __init__(
        self,
        identity: Identity,
        plan: EntryPlan,
        market: Market,
        venue: VenueCapabilities,
        rules: ExitRules,
        *,
        bucket_seq: int = -1,
        carried_qty: Decimal = ZERO,
        carried_value: Decimal = ZERO,
    ) -> None:
        self.identity = identity
        self.plan = plan
        self.stop_price = plan.stop_price
        self.stage = Stage.PLANNED
        self.orders: dict[str, OwnOrder] = {}
        self.ledger = Ledger(plan.direction, plan.risk_per_unit, carried_qty, carried_value)
        self._entered_at, self._left_at = Shortfall(plan.direction), Shortfall(-plan.direction)
        self._exit_decided_price: Decimal | None = None
        self.last_price = math.nan
        # Fast path of `on_price`: nothing happens strictly between the alarms and before the deadline.
        self.low_alarm = -math.inf
        self.high_alarm = math.inf
        self.deadline_ns = NEVER_NS
        self.is_watching = False
        self.highest = -math.inf
        self.lowest = math.inf

        self._market = market
        self._venue = venue
        self._rules = rules
        self._entry: OwnOrder | None = None
        self._next_plan: EntryPlan | None = None
        self._rest_plan: EntryPlan | None = None
        self._entry_unwanted = False
        self._cancel_reason = ""
        self._post_only_rejects = 0
        self._attempts: dict[Leg, int] = dict.fromkeys(Leg, 0)
        self._seen_fills: set[tuple[str, str]] = set()
        self._bucket_seq = bucket_seq
        self._entry_bucket_seq = bucket_seq
        self._exit_bucket_seq = bucket_seq
        self._is_tainted = False
        self._is_reported = False
        self._stop_limit_of: tuple[Decimal, Decimal] | None = None

        self._stop_reason = "stop"
        self._exit_reason = ""
        self._exit_at_market = False
        # What the venue refused to do in one order at market, halved; None while it has refused none.
        self._learnt_most: Decimal | None = None
        # Exits denied in a row because the node had not heard yet that their coins are free.
        self._denials = 0
        self._watch_target = not venue.target_rests
        self._refusals = 0
        self._wait_until_ns: dict[Leg, int] = {}
        self._ttl_ns = NEVER_NS
        self._market_exit_ns = NEVER_NS
        # Only a price that is not believed was beyond the stop so far: the next believed one decides.
        self._exit_in_doubt = False
        self._retry_cancel_ns = NEVER_NS
        # Until when the entry fill may come without which more was closed than was held.
        self._surplus_due_ns = NEVER_NS
        self._is_away = False
        # Where orders are real: an entry, or a spot sale at once, is asked about until there is an answer.
        self.asks_about_entry = False

    # -- what can be asked ----------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Tell whether it is over."""
        return self.stage is Stage.CLOSED

    @property
    def is_in_position(self) -> bool:
        """Tell whether it holds a position."""
        return self.stage in IN_POSITION

    @property
    def is_manageable(self) -> bool:
        """Tell whether it holds a position that is not being left: its stop may move."""
        return Signal.STOP_MOVED in TRANSITIONS[self.stage]

    @property
    def entry_price(self) -> Decimal | None:
        """Return the limit of the entry that rests unfilled, None when there is none."""
        if self.stage is Stage.RESTING and self._entry is not None:
            return self._entry.price
        return None

    @property
    def entry_id(self) -> str:
        """Return the client order id of the newest entry, empty before the first."""
        return "" if self._entry is None else self._entry.client_id

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, at which `on_price` has nothing to do or note.

        Alarms stand half a tick before the prices they watch, so no trade is exactly on one.
        """
        if self.stage not in IN_POSITION:
            return -math.inf, math.inf
        return max(self.lowest, self.low_alarm), min(self.highest, self.high_alarm)

    @property
    def is_unfilled(self) -> bool:
        """Tell whether its entry is on its way or rests, and may be given another price."""
        return self.stage in (Stage.SUBMITTED, Stage.RESTING, Stage.REPRICING)

    @property
    def is_entering(self) -> bool:
        """Tell whether its entry, or the rest of it, is alive and wanted as it is."""
        return self._entry is not None and self._entry.is_alive and not self._entry_unwanted

    @property
    def entering_qty(self) -> Decimal:
        """Return what entries can still fill, base currency."""
        entries = (order for order in self.orders.values() if order.leg is Leg.ENTRY)
        return sum((order.leaves_qty for order in entries), ZERO)

    @property
    def intended_entry_price(self) -> Decimal:
        """Return the limit of the entry, the next one when it is being replaced."""
        return (self._next_plan or self.plan).entry_price

    @property
    def next_plan(self) -> EntryPlan | None:
        """Return the plan that is sent as soon as the present entry is gone, None where none is."""
        return self._next_plan

    @property
    def position_qty(self) -> Decimal:
        """Return the position's size, base currency, >= 0, dust included."""
        return self.ledger.position_qty

    @property
    def exitable_qty(self) -> Decimal:
        """Return the part of the position that the venue lets us close: whole lots above its minimum."""
        qty = floor_to(self.ledger.position_qty, self._market.lot_size)
        if qty <= 0:
            return ZERO
        if any(order.leaves_qty >= qty for order in self._exits()):
            return qty  # minimums are for new orders: the rest of one at the venue may be small
        if qty < self._market.min_qty:
            return ZERO
        if self._market.exits_need_notional:
            lowest_price = min(self._stop_limit() or self.stop_price, self.stop_price)
            if qty * lowest_price < self._market.min_notional:
                return ZERO
        return qty

    @property
    def protected_qty(self) -> Decimal:
        """Return how much of the position stops and market exits cover, see `protection.protected_qty`."""
        return protected_qty(self._exits())

    @property
    def has_living_exit(self) -> bool:
        """Whether an exit is at the venue or may be, as far as is known."""
        return any(order.is_alive for order in self._exits())

    def knows_fill(self, client_id: str, trade_id: str) -> bool:
        """Tell whether a fill of an order was counted already."""
        return (client_id, trade_id) in self._seen_fills

    def _stop_limit(self) -> Decimal | None:
        if self._venue.stop_kind is not OrderKind.STOP_LIMIT:
            return None
        plan, offset_pct = self.plan, self._rules.stop_limit_offset_pct
        if self._stop_limit_of is None or self._stop_limit_of[0] != self.stop_price:
            limit = stop_limit(plan.direction, self.stop_price, offset_pct, self._market.tick_size)
            self._stop_limit_of = self.stop_price, limit
        return self._stop_limit_of[1]

    # -- the record -----------------------------------------------------------------------------------------

    def _finished(self) -> Finished:
        ledger = self.ledger
        trade = self._closed_trade() if ledger.exit_qty else None
        return Finished(trade, ledger.position_qty, ledger.dust_value)

    def _closed_trade(self) -> ClosedTrade:
        ledger, plan = self.ledger, self.plan
        entry_price = float(ledger.entry_price)
        risk_per_unit = float(ledger.risk / ledger.entry_qty)
        best, worst = (self.highest, self.lowest) if plan.direction > 0 else (self.lowest, self.highest)
        scale = plan.direction / risk_per_unit if risk_per_unit else math.nan
        return ClosedTrade(
            setup_id=self.identity.setup_id,
            strategy_id=self.identity.strategy_id,
            instrument_id=self.identity.instrument_id,
            side="long" if plan.direction > 0 else "short",
            entry_ts_ns=ledger.entry_ts_ns,
            exit_ts_ns=ledger.exit_ts_ns,
            entry_price=_text(ledger.entry_price),
            exit_price=_text(ledger.exit_price),
            qty=_text(ledger.entry_qty),
            pnl=_text(ledger.pnl),
            fees=_text(ledger.fees),
            dust_qty=_text(ledger.position_qty),
            r_multiple=float(ledger.pnl / ledger.risk) if ledger.risk else math.nan,
            mae_r=min(0.0, (worst - entry_price) * scale),
            mfe_r=max(0.0, (best - entry_price) * scale),
            mae_price=min(0.0, (worst - entry_price) * plan.direction),
            mfe_price=max(0.0, (best - entry_price) * plan.direction),
            exit_reason=self._exit_reason,
            stop_price=_text(plan.stop_price),
            last_stop_price=_text(self.stop_price),
            target_price=_text(plan.target_price),
            zone_id=plan.zone_id,
            zone_low=plan.zone_low,
            zone_high=plan.zone_high,
            tainted=self._is_tainted,
            entry_bucket_seq=self._entry_bucket_seq,
            exit_bucket_seq=self._exit_bucket_seq,
            funding=_text(ledger.funding),
            held_secs=(ledger.exit_ts_ns - ledger.entry_ts_ns) / NANOS,
            entry_decision_price=_text_or_empty(self._entered_at.decision_price),
            exit_decision_price=_text_or_empty(self._left_at.decision_price),
            entry_slippage=_text_or_empty(self._entered_at.slippage_quote),
            exit_slippage=_text_or_empty(self._left_at.slippage_quote),
            entry_slippage_bps=self._entered_at.slippage_bps,
            exit_slippage_bps=self._left_at.slippage_bps,
            market_exit_value=_text(self._left_at.market_value),
        )

    # -- small things ---------------------------------------------------------------------------------------

    def _signal(self, signal: Signal) -> None:
        self.stage = advance(self.stage, signal)

    def _exits(self) -> list[OwnOrder]:
        return [order for order in self.orders.values() if order.leg is not Leg.ENTRY]

    def _awaited(self) -> list[OwnOrder]:
        orders = self.orders.values() if self.asks_about_entry else self._exits()
        return [one for one in orders if one.stage is OrderStage.SENT]

    def _may_sell_twice(self, order: OwnOrder) -> bool:
        """Tell whether another exit beside this one, were it alive, could sell the same coins again.

        Reduce-only ones cannot. A waiting stop locks the coins; what trades at once has sold them by then.
        """
        return not self._venue.reduce_only and order.leg in (Leg.EXIT, Leg.TARGET)

    def _new_order(
        self,
        leg: Leg,
        kind: OrderKind,
        qty: Decimal,
        *,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> OwnOrder:
        self._attempts[leg] += 1
        client_id = client_order_id(
            self.identity.tag, self.identity.symbol, self.identity.setup_id, leg.value, self._attempts[leg]
        )
        order = OwnOrder(client_id, leg, kind, qty, price, trigger_price)
        self.orders[client_id] = order
        return order

    def _note(
        self,
        kind: Literal[
            "entry_submitted",
            "entry_repriced",
            "entry_cancelled",
            "entry_rejected",
            "entry_filled",
            "entry_unknown",
            "protection",
            "exit_submitted",
            "external",
        ],
        reason: str = "",
        *,
        price: Decimal | None = None,
        qty: Decimal | None = None,
        detail: dict[str, str | int | float] | None = None,
    ) -> Note:
        plan = self.plan
        return Note(kind, reason, price, self.stop_price, plan.target_price, qty, detail or {})

    @staticmethod
    def _secs(secs: float) -> int:
        return round(secs * NANOS)


def _text(value: Decimal) -> str:
    """Return a decimal without exponent, rounded to 12 places."""
    return format(round(value, 12).normalize(), "f")


def _text_or_empty(value: Decimal | None) -> str:
    return "" if value is None else _text(value)
