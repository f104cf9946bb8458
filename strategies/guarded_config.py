"""The pauses after losses as settings, one definition for every strategy."""

from nautilus_trader.config import StrategyConfig

from strategies.guards import LOSS_RANGES, LossRules, Scope


class GuardedConfig(StrategyConfig, frozen=True, kw_only=True):
    """Settings of the guards, which every strategy has; all are off by default.

    Parameters
    ----------
    stop_cooldown_mins, stop_cooldown_scope
        Pause after each stop, minutes, 0 for off: of its ``symbol``, or of ``all``.
    max_daily_loss_pct, max_drawdown_pct, drawdown_pause_mins
        Loss of the account since midnight UTC that ends the day, and loss from its highest equity that
        pauses, percent, 0 for off; the pause in minutes, 0 until somebody ends it.
    stop_guard_count, stop_guard_hours, stop_guard_scope, stop_guard_pause_mins
        So many stops within so many hours pause for so many minutes; 0 stops for off.
    low_profit_trades, low_profit_min_r, low_profit_pause_mins
        A coin whose last so many trades average below so many R pauses; 0 trades for off.
    loss_streak_count, loss_streak_pause_mins
        So many losing trades in a row pause everything; 0 for off.
    """

    RANGES = LOSS_RANGES

    stop_cooldown_mins: float = 0.0
    stop_cooldown_scope: Scope = "symbol"
    max_daily_loss_pct: float = 0.0
    max_drawdown_pct: float = 0.0
    drawdown_pause_mins: float = 0.0
    stop_guard_count: int = 0
    stop_guard_hours: float = 24.0
    stop_guard_scope: Scope = "all"
    stop_guard_pause_mins: float = 60.0
    low_profit_trades: int = 0
    low_profit_min_r: float = 0.0
    low_profit_pause_mins: float = 1440.0
    loss_streak_count: int = 0
    loss_streak_pause_mins: float = 60.0

    def __post_init__(self) -> None:  # msgspec checks fields when it decodes only; this runs always
        loss_rules(self)


def loss_rules(config: GuardedConfig) -> LossRules:
    """Return the limits after losses.

    Raises
    ------
    ValueError
        When they make no sense, see `LossRules`.
    """
    return LossRules(**{name: getattr(config, name) for name in LossRules.__dataclass_fields__})


__all__ = ["GuardedConfig", "loss_rules"]
