"""A strategy on one instrument: it decides when to open a setup and inherits the order life."""

from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from strategies.setup_desk import COUNTED_FROM_ZERO, SetupDesk, market_of, side_name
from strategies.trade_manager.setup import ExitRules


class SetupStrategy(SetupDesk, Strategy):
    """A strategy on one instrument that trades one setup at a time.

    It is its own desk, so that nothing stands between a trade and the setup.

    Parameters
    ----------
    config
        Its configuration.
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


__all__ = ["COUNTED_FROM_ZERO", "SetupStrategy", "market_of", "side_name"]
