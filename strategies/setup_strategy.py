"""A strategy on one instrument: it decides when to open a setup and inherits order life and guards."""

from typing import Final

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.guard_log import GuardLog
from strategies.guarded_config import GuardedConfig, loss_rules
from strategies.guards import LossRules, TradeGuards, result_of
from strategies.setup_desk import COUNTED_FROM_ZERO, SetupDesk
from strategies.trade_manager.record import ClosedTrade
from strategies.trade_manager.setup_rules import ExitRules
from strategies.trade_manager.skips import Skip

TRADES_TOPIC: Final = "trades.*"
GUARDS: Final = "guards"


class SetupStrategy(SetupDesk, Strategy):
    """A strategy on one instrument that trades one setup at a time.

    It is its own desk, so that nothing stands between a trade and the setup.

    Its guards are of the account: they hear of the closed trades of every strategy at the venue over the
    message bus and see the equity of the whole account. Each instance keeps its own, so that an instrument
    may have limits of its own, and a stop of one instrument pauses another one whose scope is ``all``.

    Parameters
    ----------
    config
        Its configuration; one that is no `GuardedConfig` has no guards.
    instrument_id
        What it trades.
    tag
        Short name in client order ids, at most 4 characters.
    exit_rules
        How entries and exits are handled at the venue.
    """

    def __init__(
        self, config: StrategyConfig, instrument_id: InstrumentId, tag: str, exit_rules: ExitRules
    ) -> None:
        Strategy.__init__(self, config)
        SetupDesk.__init__(self, self, instrument_id, tag, exit_rules, dict.fromkeys(COUNTED_FROM_ZERO, 0))
        rules = loss_rules(config) if isinstance(config, GuardedConfig) else LossRules()
        self._guard_by(TradeGuards(rules))

    @property
    def desks(self) -> tuple[SetupDesk, ...]:
        """Return the desks of the strategy: it is its only one."""
        return (self,)

    # -- guards --------------------------------------------------------------------------------------------

    def on_save(self) -> dict[str, bytes]:
        """Return what the guards remember."""
        return {GUARDS: self.guards.to_bytes()}

    def on_load(self, state: dict[str, bytes]) -> None:
        """Go on with the pauses of the session before."""
        if GUARDS in state:
            self._guard_by(TradeGuards.from_bytes(self.guards.rules, state[GUARDS]))

    def start_guards(self) -> None:
        """Listen to the closed trades of the account."""
        if self.guards.rules.watches_trades:
            self.msgbus.subscribe(topic=TRADES_TOPIC, handler=self._on_account_trade)

    def stop_guards(self) -> None:
        """Listen no more."""
        if self.msgbus.is_subscribed(topic=TRADES_TOPIC, handler=self._on_account_trade):
            self.msgbus.unsubscribe(topic=TRADES_TOPIC, handler=self._on_account_trade)

    def paused(self, ts_ns: int) -> Skip | None:
        """Return the pause that forbids an entry now (UNIX nanoseconds), None for none."""
        self._tell_pauses(ts_ns)
        return self.guards.blocked(self.instrument_id.value, ts_ns)

    def mind_equity(self, ts_ns: int) -> None:
        """Show the guards the account's equity, where one of them looks at it."""
        if self.guards.rules.watches_equity:
            equity = self.account_equity()
            if equity is not None:
                self.guards.on_equity(ts_ns, float(equity))
        self._tell_pauses(ts_ns)

    def _guard_by(self, guards: TradeGuards) -> None:
        self.guards = guards
        self._guard_log = GuardLog(guards, self.instrument_id.value)

    def _on_account_trade(self, trade: ClosedTrade) -> None:
        if InstrumentId.from_str(trade.instrument_id).venue == self.instrument_id.venue:
            self.guards.on_trade(result_of(trade))
            self._tell_pauses(trade.exit_ts_ns)

    def _tell_pauses(self, ts_ns: int) -> None:
        """Publish what changed; a pause that begins takes an entry back that waits."""
        for change in self._guard_log.changes(ts_ns):
            self.decide(change.kind, ts_ns=ts_ns, **change.fields())
            self.count(f"{change.kind}_{change.pause.reason}")
            setup = self.setup
            if change.kind == "pause_began" and setup is not None and not setup.is_closed:
                self.carry_out(setup, setup.cancel_entry(change.pause.reason.value, ts_ns))


__all__ = ["SetupStrategy"]
