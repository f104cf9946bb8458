"""Optimal trade entry (OTE) on equal-dollar volume buckets.

Trades become buckets, buckets become structure, a break of structure leaves a dealing range, and a post-only
limit waits at the sweet spot of its retracement before price is there.

The entry follows the range as it extends, is taken back when the zone ends, and from the first fill on stop
and target follow the position. When a zone ends after the fill, the position keeps its stop and target: the
zone was a reason to enter, the plan says how to leave.
"""

from collections.abc import Callable
from typing import Final

from nautilus_trader.model.data import MarkPriceUpdate, TradeTick
from nautilus_trader.model.enums import AggressorSide

from indicators.events import EventTable
from packet_builder.packet import PACKET_DTYPE
from strategies.deadline_watch import live_call_soon
from strategies.dynamic_cancel import KEEP, load_policy
from strategies.entry_gate import RearmRules
from strategies.entry_judge import ApproachJudge, EntryJudge
from strategies.ote_config import OteConfig, exit_rules, model_policy, perception, shadow_rules
from strategies.perceiving_strategy import PerceivingStrategy
from strategies.perception_state import PerceptionState
from strategies.price_band import BandRules, PriceBand
from strategies.registry import StrategySpec
from strategies.row_struct import row_struct
from strategies.trade_manager.setup import Setup
from strategies.zone_entries import ZoneEntries

SPEC: Final = StrategySpec(
    name="ote",
    version="1",
    summary="Post-only limit at the sweet spot of the retracement after a break of structure",
    strategy_path="strategies.ote:OteStrategy",
    config_path="strategies.ote:OteConfig",
)
TAG: Final = "OTE"

CLOSED_BUCKET: Final = row_struct(
    PACKET_DTYPE,
    "seq",
    "ts_open_ns",
    "ts_close_ns",
    "open",
    "high",
    "low",
    "close",
    "total_qty",
    "buy_qty",
    "is_tainted",
)
type TradeHandler = Callable[[TradeTick], None]
type TradeGate = Callable[["OteStrategy", TradeHandler], TradeHandler]
"""Called at the start with the strategy and its hot path; returns what is put on the message bus instead."""


class OteStrategy(PerceivingStrategy):
    """Trade the sweet spot of dealing ranges on one instrument.

    Parameters
    ----------
    config
        See `OteConfig`.
    """

    def __init__(self, config: OteConfig) -> None:
        super().__init__(config, TAG, exit_rules(config))
        self.entries = ZoneEntries(self)
        self._is_guarded = self.guards.rules.watches_equity or self.guards.rules.watches_trades
        self._saw_bad_trade = False
        self.band = PriceBand(BandRules(config.price_band_pct, config.price_band_pct))
        self._trades_topic = ""
        # Stands between the trades and the hot path where trades may be missing: in a live node.
        self.trade_gate: TradeGate | None = None
        self._rebind: Callable[[], None]
        self._mind_band: Callable[[], None]
        self._take_trade: TradeHandler

    # -- life ----------------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Read the instrument, build buckets and structure, and listen to trades."""
        if not self.prepare():
            self.stop()
            return
        self.build_perception()
        judge = self.make_judge()
        if judge is not None:
            rearm = RearmRules(self.config.rearm_max, int(self.config.rearm_after_secs * 1e9))
            self.ask(judge, self.config.approach_band_pct, rearm, shadow_rules(self.config, self.market))
        self._take_trade = self.make_trade_handler()
        if self.trade_gate is not None:
            self._take_trade = self.trade_gate(self, self._take_trade)
        self.on_setup_changed()  # a setup that was taken up again is watched from the first trade on
        call_soon = live_call_soon(self.clock)
        if call_soon is not None:  # a market without trades must not keep a stop waiting for its answer
            self.watch_deadlines(call_soon)
            if self.config.price_band_pct and self.market.shorts:  # spot markets have no mark price
                self.subscribe_mark_prices(self.instrument_id)
        self.start_guards()
        self.listen()
        if self.config.htf_bar_type is not None:
            self.subscribe_bars(self.config.htf_bar_type)

    def on_stop(self) -> None:
        """Take the entry back; a position keeps its exits at the venue (or see ``manage_stop``)."""
        if self._trades_topic:
            self.msgbus.unsubscribe(topic=self._trades_topic, handler=self._take_trade)
        self.stop_guards()
        self.stop_setup()
        # Zero unless trades came out of the order of their ids: then buckets are wrong.
        self.count("trades_dropped", self.builder.counters.dropped_ids)
        for zone in list(self.zones.live.values()):
            self.entries.count_end(zone)
        self.stop_asking()

    def make_judge(self) -> EntryJudge | None:
        """Return who decides by the settings, None where every entry is kept.

        Raises
        ------
        ModelRefused
            When the model must not decide here.
        """
        config = self.config
        if config.model:
            market = self.market
            return model_policy(
                config,
                SPEC,
                now_ns=self.clock.timestamp_ns(),
                tick_size=market.tick_size,
                lot_size=market.lot_size,
                maker_fee=market.maker_fee,
                taker_fee=market.taker_fee,
                target_rests=market.target_rests,
            )
        return None if config.cancel_policy == KEEP else ApproachJudge(load_policy(config.cancel_policy))

    def adopt(self, state: PerceptionState) -> None:
        """Go on from what was perceived before, with the hot path too; raises as `make_perceiver`."""
        super().adopt(state)
        self._rebind()
        self.entries.waiting.clear()

    # -- market data ---------------------------------------------------------------------------------------

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Take one trade; `listen` gives Nautilus the handler itself, which is faster."""
        self._take_trade(tick)

    def listen(self) -> None:
        """Subscribe to the trades and put the hot path directly on the message bus.

        `Actor.handle_trade_tick` costs 0.6 us per trade, a tenth of the whole engine, for a state check that
        unsubscribing at the stop makes unnecessary.
        """
        self.subscribe_trade_ticks(self.instrument_id)
        topic = f"data.trades.{self.instrument_id.venue}.{self.instrument_id.symbol}"
        if self.msgbus.is_subscribed(topic=topic, handler=self.handle_trade_tick):
            self.msgbus.unsubscribe(topic=topic, handler=self.handle_trade_tick)
            self.msgbus.subscribe(topic=topic, handler=self._take_trade)
            self._trades_topic = topic

    def make_trade_handler(self) -> TradeHandler:
        """Return the hot path: a closure, because its cells are read faster than attributes."""
        push, on_packets, on_price = self._push, self._on_packets, self.on_watched_price
        on_unusual = self._on_unusual_trade
        buyer, seller = AggressorSide.BUYER, AggressorSide.SELLER
        band, on_far = self.band, self._on_far_trade
        sure_low, sure_high, remember = band.sure_low, band.sure_high, band.remember
        is_watching = False
        wake_low, wake_high, wake_ns = 0.0, 0.0, 0
        has_ids = True

        def take_trade(tick: TradeTick) -> None:
            nonlocal has_ids, sure_low, sure_high
            ts_ns = tick.ts_event
            price = tick.price.as_double()
            side = tick.aggressor_side
            try:
                is_buyer = side is buyer
                if not is_buyer and side is not seller:
                    raise ValueError("its aggressor side is unknown")  # noqa: TRY301
                trade_id = int(tick.trade_id.value) if has_ids else -1
                closed = push(ts_ns, price, tick.size.as_double(), is_buyer, trade_id)
            except ValueError as error:
                if has_ids and not _is_number(tick.trade_id.value):
                    has_ids = False  # UUIDs (Bybit): gaps cannot be seen
                    take_trade(tick)
                    return
                on_unusual(error)
                closed = 0
            if sure_low <= price <= sure_high:
                remember(price)
            else:
                is_near = band.judge(price)
                sure_low, sure_high = band.sure_low, band.sure_high
                if not is_near:
                    on_far(ts_ns, price, closed)
                    return
            if is_watching and (ts_ns >= wake_ns or not wake_low <= price <= wake_high):
                on_price(ts_ns, price)
            if closed:
                on_packets(ts_ns, price)

        def rebind() -> None:
            nonlocal push
            push = self._push

        def mind_band() -> None:
            nonlocal sure_low, sure_high
            sure_low, sure_high = band.sure_low, band.sure_high

        def take_price(tick: TradeTick) -> None:
            ts_ns, price = tick.ts_event, tick.price.as_double()
            is_near = band.push(price)
            mind_band()
            if not is_near:
                on_far(ts_ns, price, 0)
            elif is_watching and (ts_ns >= wake_ns or not wake_low <= price <= wake_high):
                on_price(ts_ns, price)

        def watch(flag: bool, low: float, high: float, deadline_ns: int) -> None:
            nonlocal is_watching, wake_low, wake_high, wake_ns
            is_watching, wake_low, wake_high, wake_ns = flag, low, high, deadline_ns

        self.set_watch = watch
        self._rebind = rebind
        self._mind_band = mind_band
        self.take_price = take_price
        return take_trade

    take_price: TradeHandler
    """Shows a trade to the setup alone, at once, while buckets wait for trades before it."""

    def taint_bucket(self) -> None:
        """Note that trades are missing of which no id tells: the bucket that forms is tainted."""
        self.builder.taint()

    def take_past_trade(self, tick: TradeTick) -> None:
        """Take a trade that is over: buckets, structure and zones see it, the setup's prices do not."""
        if self.bias_track is not None:
            self.bias = self.bias_track.until(tick.ts_event)
        is_buyer = tick.aggressor_side is AggressorSide.BUYER
        number = tick.trade_id.value
        price, closed = tick.price.as_double(), 0
        try:
            if not is_buyer and tick.aggressor_side is not AggressorSide.SELLER:
                raise ValueError("its aggressor side is unknown")  # noqa: TRY301
            trade_id = int(number) if _is_number(number) else -1
            closed = self._push(tick.ts_event, price, tick.size.as_double(), is_buyer, trade_id)
        except ValueError as error:
            self._on_unusual_trade(error)
        if not self.band.is_near(price):
            self._saw_bad_trade = True
        if closed:
            self._on_packets(tick.ts_event, price)

    def _on_far_trade(self, ts_ns: int, price: float, closed: int) -> None:
        """Believe no price far from the last trades: its bucket is tainted, no model sees it.

        The setup is shown it as such: a crash that jumps over a stop looks like a bad print at first.

        Parameters
        ----------
        ts_ns
            UNIX nanoseconds.
        price
            Quote currency.
        closed
            Buckets that the trade closed; it may reach into the next one, which is tainted as well.
        """
        self.count("trades_far")
        if not self._saw_bad_trade:  # once per bucket
            self.log.warning(
                f"{self.instrument_id} trade at {price:g} is not believed: the last ones were at "
                f"{self.band.reference:g}"
            )
        self._saw_bad_trade = True
        self.on_far_price(ts_ns, price)
        if closed:
            self._on_packets(ts_ns, price)
            self._saw_bad_trade = True

    def forget_prices(self) -> None:
        """Hold no trade against those from before a break: what happened meanwhile, nobody has seen."""
        self.band.reset()
        self._mind_band()

    def on_mark_price(self, mark_price: MarkPriceUpdate) -> None:
        """Hold the next trades against the venue's mark price, too."""
        self.band.set_mark(mark_price.value.as_double())
        self._mind_band()

    def _on_unusual_trade(self, error: ValueError) -> None:
        self.count("trades_refused")
        self._saw_bad_trade = True  # the bucket lacks it: tainted
        self.log.warning(f"{self.instrument_id} trade left out: {error}")

    def before_fill(self, setup: Setup) -> None:
        """Taint the trade if trades are missing in the bucket that is still open."""
        if self._saw_bad_trade or self.builder.is_tainted:
            setup.taint()

    def _on_packets(self, ts_ns: int, price: float) -> None:
        packets = self.builder.closed
        # As bytes: asked for a buffer, numpy spells out the format of all columns first.
        rows = CLOSED_BUCKET.iter_unpack(packets.tobytes())
        for index, row in enumerate(rows):
            seq, ts_open, ts_close, open_, high, low, close, qty, buy_qty, is_tainted = row
            self.bucket_seq = seq
            self.counters["buckets"] += 1
            is_tainted = is_tainted or self._saw_bad_trade
            if self.setup is not None:
                self.setup.on_bucket(seq, is_tainted=is_tainted)
            events = self._update_structure(ts_open, ts_close, open_, high, low, close, qty, buy_qty)
            if self._observer is not None:
                self._observer(packets[index], events)
            if self.recent_packets is not None:
                self.recent_packets.append(packets[index].tobytes())
            if self.gate is not None:
                self.gate.judge.observe(packets[index], self.structure, self.bias)
                if self.gate.has_cancelled:
                    self.entries.send_again(self.gate, ts_ns, price)
            if len(events) and self.zones.concerns(events):
                self.on_structure(events, ts_ns)
            if self._is_guarded:
                self.mind_equity(ts_ns)
            if self.entries.waiting:
                self.entries.consider(ts_ns, price, move_ratio=(high - low) / low, is_tainted=is_tainted)
        self._saw_bad_trade = False

    def on_structure(self, events: EventTable, ts_ns: int) -> None:
        """Take the events of one closed bucket, see `ZoneEntries.take`."""
        self.entries.take(events, ts_ns)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


__all__ = ["SPEC", "OteConfig", "OteStrategy", "model_policy", "perception"]
