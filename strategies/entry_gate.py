"""What surrounds a cancel policy: the band it is asked in, what its cancels led to, and when to try again.

Pure bookkeeping without Nautilus: the strategy reports prices, orders and zones, and reads what to do.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ml.decisions import approach_distance
from ml.drift import Markouts
from ml.ledger import ledger
from ml.scores import reliability
from ml.shadow import Followed, ShadowBook, ShadowEnd, ShadowPlan
from strategies.entry_judge import EntryJudge, RestingEntry
from strategies.trade_manager.plan import EntryPlan
from strategies.trade_manager.record import ClosedTrade

CANCELLED_IN_TIME: Final = "cancelled_in_time"
FILLED_FIRST: Final = "filled_first"
CANCEL_REJECTED: Final = "cancel_rejected"
LEAST_IN_BIN: Final = 10
"""Fewer entries in a bin of the reliability curve say nothing."""
_ENDS: Final[dict[str, ShadowEnd]] = {"target": "target", "stop": "stop"}


@dataclass(frozen=True, slots=True)
class RearmRules:
    """When a zone may be entered again after the policy took its entry back.

    Parameters
    ----------
    most
        How often per zone; 0: the zone is spent.
    after_ns
        Time that must pass first, nanoseconds.
    """

    most: int = 0
    after_ns: int = 60_000_000_000


@dataclass(slots=True)
class _Asked:
    """A cancel that was asked for, and what the venue has said about it so far."""

    ts_ns: int
    said: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Cancelled:
    ts_ns: int
    distance: float


class EntryGate:
    """Bookkeeping around the policy of one strategy.

    Parameters
    ----------
    judge
        Decides: the model, or a user's own policy.
    band_pct
        Widest approach band, percent of the entry.
    rearm
        See `RearmRules`.
    tick_size
        Price increment.
    """

    def __init__(self, judge: EntryJudge, band_pct: float, rearm: RearmRules, *, tick_size: float) -> None:
        # A price that is on the edge is within it, however the edge was rounded; so do the datasets.
        self._tolerance = tick_size * 1e-6
        self.judge = judge
        self.shadows = ShadowBook()
        self.markouts = Markouts()
        self.outcomes: dict[str, int] = dict.fromkeys((CANCELLED_IN_TIME, FILLED_FIRST, CANCEL_REJECTED), 0)
        self.sent_again: dict[int, int] = {}
        """How often a zone's entry was sent again, by zone id."""
        self._placed = (0, -1)
        self._held: EntryPlan | None = None
        self._band_pct = band_pct
        self._rearm = rearm
        self._kept: list[Followed] = []
        self._asked: dict[str, _Asked] = {}
        self._setup_id = ""  # of the setup whose probability the judge has
        self._probability: dict[str, float] = {}  # last one of earlier setups
        self._scored: list[tuple[float, bool]] = []  # last probability of kept entries, and whether it won
        self._cancelled: dict[int, _Cancelled] = {}

    # -- asking --------------------------------------------------------------------------------------------

    def band(self, entry: float, direction: int, zone_low: float, zone_high: float) -> tuple[float, float]:
        """Return lowest and highest price at which the policy is asked about an entry, both included."""
        distance = approach_distance(entry, direction, zone_low, zone_high, self._band_pct)
        distance += self._tolerance
        return entry - distance, entry + distance

    def order_sent(self, setup_id: str, zone_id: int, ts_ns: int, bucket_seq: int) -> None:
        """Take note of an entry on its way to the venue: decisions are about this one from now on."""
        self._placed, self._held = (ts_ns, bucket_seq), None
        self.shadows.drop_unfilled(zone_id)  # it rests again: its absence cost nothing
        if setup_id != self._setup_id:
            if self.judge.probability is not None:
                self._probability[self._setup_id] = self.judge.probability
            self._setup_id, self.judge.probability = setup_id, None
        self.judge.open_order(is_again=self.sent_again.get(zone_id, 0) > 0)

    def hold(self, plan: EntryPlan) -> None:
        """Tell the judge what the resting entry wants, unless it knows."""
        if plan is self._held:
            return
        self._held = plan
        self.judge.hold(
            RestingEntry(
                plan.direction,
                float(plan.entry_price),
                float(plan.stop_price),
                float(plan.target_price),
                plan.zone_low,
                plan.zone_high,
                *self._placed,
            )
        )

    # -- following -----------------------------------------------------------------------------------------

    @property
    def is_following(self) -> bool:
        """Tell whether prices are of interest: after a cancel, or shortly after a fill."""
        return len(self.shadows) > 0 or self.markouts.is_waiting

    @property
    def quiet_band(self) -> tuple[float, float]:
        """Return lowest and highest price, both included, that `on_price` need not be told."""
        return (math.inf, -math.inf) if self.markouts.is_waiting else self.shadows.quiet_band

    def on_price(self, ts_ns: int, price: float) -> bool:
        """Take a trade, UNIX nanoseconds and quote currency; tell whether `quiet_band` changed."""
        changed = self.shadows.on_price(ts_ns, price)
        if self.markouts.is_waiting:
            self.markouts.on_price(ts_ns, price)
            changed |= not self.markouts.is_waiting
        return changed

    def filled(self, ts_ns: int, price: float, direction: int, last_price: float) -> None:
        """Take the first fill of an entry, to see what the price does right after it.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price, last_price
            Of the fill and of the newest trade, quote currency.
        direction
            +1 bought, -1 sold.
        """
        self.markouts.on_price(ts_ns, last_price)
        self.markouts.add(ts_ns, price, direction)

    def cancelled(self, plan: ShadowPlan) -> None:
        """Take note that the policy takes an entry back, and follow what it would have become."""
        self._asked[plan.order_id] = _Asked(plan.cancelled_ns)
        self._cancelled[plan.zone_id] = _Cancelled(plan.cancelled_ns, plan.entry * self._band_pct / 100)
        self.shadows.add(plan)

    # -- what came of it -----------------------------------------------------------------------------------

    def outcome(self, order_id: str, outcome: str, ts_ns: int) -> int | None:
        """Take what the venue said about an entry; return the ns since the decision, None if it is no news.

        A venue may refuse a cancel and then report the fill, or accept the cancel when it is asked again:
        such an order counts once in both outcomes. Whatever was said before, any fill makes it a real trade.

        Parameters
        ----------
        order_id
            Client order id.
        outcome
            ``cancelled_in_time``, ``filled_first`` or ``cancel_rejected``.
        ts_ns
            UNIX nanoseconds.
        """
        asked = self._asked.get(order_id)
        if asked is None or outcome in asked.said or FILLED_FIRST in asked.said:
            return None
        asked.said.add(outcome)
        self.outcomes[outcome] += 1
        if outcome == FILLED_FIRST:
            self.shadows.drop(order_id)
        return ts_ns - asked.ts_ns

    def take_news(self, *, is_over: bool = False) -> list[Followed]:
        """Return how cancelled entries ended, each once: when the venue has confirmed the cancel, too.

        Parameters
        ----------
        is_over
            The tape is over: also those about which the venue said nothing.
        """
        news, waiting = self.shadows.news, list[Followed]()
        if news and not is_over:
            waiting = [one for one in news if CANCELLED_IN_TIME not in self._asked[one.order_id].said]
            news = [one for one in news if one not in waiting]
        self.shadows.news = waiting
        return news

    def closed(self, trade: ClosedTrade) -> None:
        """Take a real trade: an entry that was kept, or that filled before its cancellation."""
        probability = self._probability.pop(trade.setup_id, None)
        if trade.setup_id == self._setup_id:
            probability, self.judge.probability = self.judge.probability, None
        if probability is not None:
            self.judge.outcome(probability, reached=trade.r_multiple > 0)
            self._scored.append((probability, trade.r_multiple > 0))
        self._kept.append(
            Followed(
                order_id=trade.setup_id,
                decided_ns=trade.entry_ts_ns,
                is_cancelled=False,
                end=_ENDS.get(trade.exit_reason, "other"),
                fill_ns=trade.entry_ts_ns,
                exit_ns=trade.exit_ts_ns,
                net_r=trade.r_multiple,
                money=float(trade.pnl),
            )
        )

    def end_zone(self, zone_id: int, ts_ns: int) -> None:
        """Forget a zone that is over; its unfilled cancelled entry would have been taken back now."""
        self._cancelled.pop(zone_id, None)
        self.shadows.end_zone(zone_id, ts_ns)

    # -- again ---------------------------------------------------------------------------------------------

    @property
    def has_cancelled(self) -> bool:
        """Tell whether `zones_to_send_again` could return anything."""
        return bool(self._cancelled) and self._rearm.most > 0

    def zones_to_send_again(self, ts_ns: int, price: float, sweets: dict[int, float]) -> list[int]:
        """Return the zones whose entry may be sent again, and take note that it is.

        Price has left the widest approach band, enough time has passed, and the zone was not tried too often.

        Parameters
        ----------
        ts_ns, price
            Of the trade that closed the bucket, UNIX nanoseconds and quote currency.
        sweets
            Sweet spots of the zones that live and were not touched, by zone id.
        """
        found = []
        for zone_id, one in list(self._cancelled.items()):
            sweet = sweets.get(zone_id)
            is_early = ts_ns < one.ts_ns + self._rearm.after_ns
            if sweet is None or is_early or abs(price - sweet) <= one.distance:
                continue
            del self._cancelled[zone_id]
            if self.sent_again.get(zone_id, 0) < self._rearm.most:
                self.sent_again[zone_id] = self.sent_again.get(zone_id, 0) + 1
                found.append(zone_id)
        return found

    # -- report --------------------------------------------------------------------------------------------

    def as_plain(self) -> dict[str, Any]:
        """Return what a summary says: policy, latency, outcomes of the cancels and the ledger."""
        return {
            **self.judge.as_plain(),
            "cancels": dict(self.outcomes),
            "sent_again": sum(self.sent_again.values()),
            "markouts": self.markouts.as_plain(),
            "reliability": self._reliability(),
            "ledger": ledger([*self._kept, *self.shadows.results]),
        }

    def _reliability(self) -> list[dict[str, float]]:
        """Return what the model last said of the entries that stayed against how many of them won."""
        said = np.array([probability for probability, _won in self._scored], np.float64)
        won = np.array([won for _probability, won in self._scored], np.int8)
        bins = min(10, len(said) // LEAST_IN_BIN)
        if not bins:
            return []
        found = reliability(said, won, np.ones(len(said)), bins)
        return [{"promised": one.predicted, "came": one.observed, "orders": one.n} for one in found]
