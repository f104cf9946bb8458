"""How a setup leaves its position: at market or at the target, and when the venue refuses an exit."""

import math
from decimal import Decimal
from typing import Final

from strategies.protection import protected_qty, too_large, too_vague
from strategies.trade_manager.entering_setup import EnteringSetup
from strategies.trade_manager.increments import floor_to
from strategies.trade_manager.lifecycle import IN_POSITION, Signal
from strategies.trade_manager.orders import (
    Action,
    AskBalance,
    Halt,
    Leg,
    OrderKind,
    OrderStage,
    OwnOrder,
)
from strategies.trade_manager.setup_rules import NEVER_NS

# Nautilus' risk engine denies by the balance that it was told last, and a venue may tell the end of an order
# before its coins are free, or lose the message: so it is asked with the first denial. Waits before another
# try, half of the two seconds that a position may be naked: the exit at market of the refusal that follows
# has its way yet to go.
STALE_BALANCE: Final = "EXCEEDS_FREE_BALANCE"
STALE_SECS: Final = (0.02, 0.04, 0.08, 0.16, 0.3, 0.4)
# The fewest parts of a position that a vague refusal may make of it.
VAGUE_PARTS: Final = 8
STOP_REASONS: Final = frozenset({"stop", "break_even", "trailing"})


class LeavingSetup(EnteringSetup):
    """A setup that leaves: its entry is taken back, and the exits that fail are replaced by surer ones."""

    # -- exits ---------------------------------------------------------------------------------------------

    def _exit_market(self, actions: list[Action], reason: str) -> None:
        if self._exit_at_market:
            return
        self._signal(Signal.EXIT_ORDERED)
        self._exit_at_market = True
        self._exit_decided_price = self._market_decision(reason)
        if not (self.ledger.exit_qty and reason == "late_fill"):
            self._exit_reason = reason  # a straggler does not rename the exit that closed the rest
        self._market_exit_ns = NEVER_NS
        self._exit_in_doubt = False
        actions.append(self._note("exit_submitted", reason, qty=self.exitable_qty))

    def _market_decision(self, reason: str) -> Decimal | None:
        """Return the price a market exit is measured against, see `trade_manager.shortfall`."""
        if reason in STOP_REASONS:
            return self.stop_price
        if reason == "target":
            return self.plan.target_price
        return Decimal(repr(self.last_price)) if math.isfinite(self.last_price) else None

    def _decided_price(self, order: OwnOrder) -> Decimal | None:
        if order.leg is Leg.EXIT:
            return self._exit_decided_price
        return order.trigger_price or order.price or self.plan.entry_price

    def _exit_limit(self, actions: list[Action], ts_ns: int) -> None:
        self._signal(Signal.EXIT_ORDERED)
        self._exit_reason = "target"
        self._exit_in_doubt = False
        self._market_exit_ns = ts_ns + self._secs(self._rules.exit_market_after_secs)
        actions.append(
            self._note("exit_submitted", "target", price=self.plan.target_price, qty=self.exitable_qty)
        )

    # -- refusals ------------------------------------------------------------------------------------------

    def _exit_refused(self, actions: list[Action], order: OwnOrder, reason: str, ts_ns: int) -> None:
        """Try again, find another way, or call for help: a position must not stay naked."""
        if self.ledger.position_qty <= 0 or self.stage not in IN_POSITION:
            return  # the venue was right: there is nothing left to protect
        # Where orders are real; a backtest's account knows what its orders do at once.
        is_stale = self.asks_about_entry and STALE_BALANCE in reason and not self._venue.reduce_only
        if is_stale and self._denials in (0, len(STALE_SECS)):
            actions.append(AskBalance())  # once per series of waits, then with every other try
        if is_stale and self._denials < len(STALE_SECS):
            self._wait_until_ns[order.leg] = ts_ns + self._secs(STALE_SECS[self._denials])
            self._denials += 1
            return
        if order.kind is OrderKind.MARKET and self._takes_less(order, reason):
            actions.append(self._note("protection", "exit_too_large", qty=order.qty, detail={"text": reason}))
            return
        if self._keep_old_stop(order):
            actions.append(self._note("protection", "stop_move_refused", detail={"text": reason}))
            return
        self._refusals += 1
        actions.append(self._note("protection", f"{order.leg.name.lower()}_refused", detail={"text": reason}))
        if order.leg is Leg.TARGET and self._venue.target_rests:
            self._watch_target = True
        if self._refusals > self._rules.max_refusals:
            actions.append(Halt(f"exits refused {self._refusals} times, last: {reason}"))
        covered = protected_qty([one for one in self._exits() if one.stage is OrderStage.WORKING])
        if order.leg is Leg.STOP and covered < self.exitable_qty and not self._exit_at_market:
            self._unwant_entry(actions, "protection_refused")
            self._exit_market(actions, "protection_refused")
        else:
            self._wait_until_ns[order.leg] = ts_ns + self._secs(self._rules.retry_secs)

    def _takes_less(self, refused: OwnOrder, reason: str) -> bool:
        """Halve the largest order at market after the venue said that one may not have so much.

        What is refused for another reason, or would have to be too small to be an order, forgets what was
        learnt: the limit may never have been one, and pieces of nothing would keep the position naked.
        """
        half = floor_to(refused.qty / 2, self._market.lot_size)
        if too_large(self._venue, reason) and self._is_sane_piece(half, is_vague=too_vague(reason)):
            self._learnt_most = half
            return True
        self._learnt_most = None
        return False

    def _is_sane_piece(self, qty: Decimal, *, is_vague: bool) -> bool:
        if qty < self._market.min_qty:
            return False
        # A word that also stands for a changed step or minimum is believed down to a part of the position.
        if is_vague and qty * VAGUE_PARTS < self.exitable_qty:
            return False
        price = self.last_price if math.isfinite(self.last_price) else float(self.stop_price)
        return float(qty) * min(price, float(self.stop_price)) >= self._market.min_notional

    def _keep_old_stop(self, refused: OwnOrder) -> bool:
        """Go back to the stop that still works when the venue refuses a closer one: price may be there.

        Who moved it asks again at the next closed bar, or leaves at market.
        """
        if refused.leg is not Leg.STOP or refused.trigger_price != self.stop_price:
            return False
        working = [one for one in self._exits() if one.leg is Leg.STOP and one.stage is OrderStage.WORKING]
        old = working[-1] if working else None
        if old is None or old.trigger_price is None or old.trigger_price == refused.trigger_price:
            return False
        self.stop_price, self._stop_reason = old.trigger_price, old.reason
        return True
