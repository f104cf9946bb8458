"""Settings of the confluence strategy, and what its parts are told of them."""

from typing import Any, Final, Literal, get_args

import msgspec
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId

from indicators.confluence.config import ConfluenceConfig as ScoreConfig
from indicators.confluence.config import ConfluenceWeights
from indicators.structure_config import StructureConfig
from ml.passport import Setting
from strategies.config_checks import Ranges, check_choices, check_ranges
from strategies.guarded_config import loss_rules as loss_rules
from strategies.portfolio import CorrelationSides, PortfolioRules
from strategies.signal_config import SignalConfig
from strategies.signal_filter import FilterRules
from strategies.trade_manager.management import ManagementRules, RuleSetName, rules_of
from strategies.trade_manager.plan import SideKind
from strategies.trade_manager.setup_rules import ExitRules
from strategies.trade_manager.sizing import RiskRules
from strategies.universe_rule import UniverseDays

_UNITS: Final = ((604_800, "WEEK"), (86_400, "DAY"), (3600, "HOUR"), (60, "MINUTE"), (1, "SECOND"))


class CoinSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one instrument has of its own; None takes the strategy's setting.

    Parameters
    ----------
    category
        A word for reports, such as ``large`` or ``meme``.
    min_confidence, ml_min_confidence, stop_atr, target_atr, max_leverage, min_turnover, mtf_secs, htf_secs,
    time_exit_mins
        See `ConfluenceConfig`.
    """

    category: str = ""
    min_confidence: float | None = None
    ml_min_confidence: float | None = None
    stop_atr: float | None = None
    target_atr: float | None = None
    max_leverage: int | None = None
    min_turnover: float | None = None
    mtf_secs: int | None = None
    htf_secs: int | None = None
    time_exit_mins: float | None = None


_RANGES: Final[Ranges] = {
    "min_confidence": (0, 100),
    "record_from": (0, 100),
    "stop_atr": (0.01, 100),
    "target_atr": (0.01, 100),
    "min_reward_risk": (0, 100),
    "min_turnover": (0, 1e15),
    "risk_per_trade_pct": (0.0001, 100),
    "max_notional_pct": (0.0001, 10_000),
    "leverage_goal_pct": (0.0001, 10_000),
    "max_leverage": (1, 200),
    "hybrid_better_pct": (0, 50),
    "hybrid_wait_secs": (0, 86_400),
    "stop_limit_offset_pct": (0, 50),
    "bar_wait_ms": (1, 600_000),
    "trade_from_ns": (0, 1 << 62),
}


class ConfluenceConfig(SignalConfig, frozen=True, kw_only=True):
    """Settings of `strategies.confluence.ConfluenceStrategy`, besides those of `SignalConfig`.

    Parameters
    ----------
    instrument_ids
        What to trade: one strategy instance for all of them.
    coins
        Settings of single instruments by Nautilus id, see `CoinSettings`; they come from ``symbols``.
    ltf_secs, mtf_secs, htf_secs
        Timeframes in seconds: the closed bars that are read (scores, ATR, exits), and the two joined from
        them (RSI; bias).
    htf_warm_up_bars
        Complete bars of the highest timeframe before its bias is known.
    points_htf_aligned, points_htf_neutral
        Points of a bias in the direction of the side, and of one in neither direction.
    points_sweep, points_order_block, points_fvg, points_rsi, points_structure
        Points of each factor that holds; a score is the sum of all, at most 100.
    rsi_oversold, rsi_overbought
        RSI below which a long, above which a short gets its points.
    sweep_kind, sweep_max_age_bars
        Sweeps that count (``swing``, ``extreme``, ``any``), and for how many bars.
    structure_role, structure_scope
        Whose trend is the structure factor: of the ``ltf`` or ``mtf``, ``internal`` or ``external`` swings.
    side
        ``both``, ``long`` or ``short``; a spot account is long only whatever this says.
    min_confidence
        Score from which a signal is traded, 0 to 100.
    record_from
        Score from which a signal is put on record, traded or not, 0 to 100; a coin's ``min_confidence`` where
        that is lower.
    stop_atr, target_atr
        Distance of stop and target from the entry, multiples of the ATR 14 of the lowest timeframe.
    min_reward_risk
        Signals below this reward over risk are skipped.
    min_turnover
        Signals of coins that turned over less within 24 hours are skipped, quote currency, 0 for off.
    risk_per_trade_pct
        Share of the equity lost when the stop is hit, percent, before fees.
    max_notional_pct
        Largest notional of one position, percent of the equity.
    leverage_goal_pct, max_leverage
        Leverage at which reaching the target earns this percentage of the margin, and the most allowed.
    max_positions
        Positions and entries at the same time.
    max_correlation, correlation_sides, correlation_bars, correlation_min_bars
        Signals that move like something held are skipped: limit, which sides count (``same``, ``any``,
        ``off``), window, and bars that both must have in it.
    entry
        ``market``, or ``hybrid``: a limit at a better price, which becomes a market order or is taken back.
    hybrid_better_pct, hybrid_wait_secs
        How much better than the close the limit is, percent, and how long it waits; looked at when a bar
        closes.
    rules
        Rule set that manages positions: ``s0``, ``s1`` or ``off``.
    break_even_from_pct, trail_from_pct, trail_giveback_pct
        Replace those of the rule set, percent, see `ManagementRules`.
    time_exit_mins, time_exit_above_pct
        Replace those of the rule set: minutes, and percent of the way.
    momentum_from_pct, momentum_rsi, momentum_giveback_pct
        Replace those of the rule set.
    stop_limit_offset_pct
        Spot: how far beyond the stop the limit of the stop-limit order stands, percent.
    model
        Folder of a trained model of signals (``model.json``, ``passport.json``) that filters them by their
        probability to win; empty for none.
    ml_min_confidence
        Smallest probability to win that is taken, 0 to 100 like ``min_confidence``; None asks each signal for
        its own break-even after fees, and the margin of the model's passport.
    model_unfit
        What happens to a signal when a feature is missing or absurd, or the model has expired: ``skip`` or
        ``keep``.
    model_missing
        Unknown features: ``refuse`` to score, or ``as_trained``: score where the training had them too.
    model_without_skill
        A model whose validation found no skill: ``ignore`` its decisions, or ``obey`` them.
    bar_wait_ms
        How long after a close bars of all coins are waited for, milliseconds; who is late is not traded.
    context_instrument_id
        Whose moves every signal is put on record with, one of the instruments; None takes the Bitcoin among
        them.
    universe_days
        Who may be entered on which day, set by the program from section ``universe``; None for all.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    """

    RANGES = _RANGES

    instrument_ids: tuple[InstrumentId, ...]
    coins: dict[str, CoinSettings] | None = None
    ltf_secs: int = 300
    mtf_secs: int = 900
    htf_secs: int = 14_400
    htf_warm_up_bars: int = 150
    points_htf_aligned: float = 25.0
    points_htf_neutral: float = 10.0
    points_sweep: float = 20.0
    points_order_block: float = 20.0
    points_fvg: float = 15.0
    points_rsi: float = 10.0
    points_structure: float = 10.0
    rsi_oversold: float = 30.0
    rsi_overbought: float = 70.0
    sweep_kind: Literal["swing", "extreme", "any"] = "swing"
    sweep_max_age_bars: int = 5
    structure_role: Literal["ltf", "mtf"] = "ltf"
    structure_scope: Literal["internal", "external"] = "internal"
    side: SideKind = "both"
    min_confidence: float = 90.0
    record_from: float = 70.0
    stop_atr: float = 1.0
    target_atr: float = 1.5
    min_reward_risk: float = 1.0
    min_turnover: float = 0.0
    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 100.0
    leverage_goal_pct: float = 10.0
    max_leverage: int = 10
    max_positions: int = 2
    max_correlation: float = 0.8
    correlation_sides: CorrelationSides = "same"
    correlation_bars: int = 288
    correlation_min_bars: int = 144
    entry: Literal["market", "hybrid"] = "market"
    hybrid_better_pct: float = 0.1
    hybrid_wait_secs: float = 120.0
    rules: RuleSetName = "s0"
    break_even_from_pct: float | None = None
    trail_from_pct: float | None = None
    trail_giveback_pct: float | None = None
    time_exit_mins: float | None = None
    time_exit_above_pct: float | None = None
    momentum_from_pct: float | None = None
    momentum_rsi: float | None = None
    momentum_giveback_pct: float | None = None
    stop_limit_offset_pct: float = 0.2
    model: str = ""
    ml_min_confidence: float | None = None
    model_unfit: Literal["skip", "keep"] = "skip"
    model_missing: Literal["refuse", "as_trained"] = "refuse"
    model_without_skill: Literal["ignore", "obey"] = "ignore"
    bar_wait_ms: float = 2000.0
    context_instrument_id: InstrumentId | None = None
    universe_days: UniverseDays | None = None
    trade_from_ns: int = 0

    def __post_init__(self) -> None:  # msgspec checks fields when it decodes only; this runs always
        super().__post_init__()
        if not self.instrument_ids:
            raise ValueError("instrument_ids is empty: there is nothing to trade")
        venues = sorted({one.venue.value for one in self.instrument_ids})
        if len(venues) > 1:
            raise ValueError(f"instrument_ids are on {' and '.join(venues)}: one instance has one account")
        check_choices(self, _CHOICES)
        check_ranges(self, _RANGES)
        known = {one.value for one in self.instrument_ids}
        if self.context_instrument_id is not None and self.context_instrument_id.value not in known:
            raise ValueError(
                f"context_instrument_id ({self.context_instrument_id}) is not among the instruments of the "
                "run: its bars are read as theirs are, so add it to them or leave the setting out"
            )
        for instrument_id in self.coins or {}:
            if instrument_id not in known:
                raise ValueError(f"coins names {instrument_id}, which is not among the instruments")
        if not 2 <= self.correlation_min_bars <= self.correlation_bars:
            raise ValueError(
                f"correlation_min_bars ({self.correlation_min_bars}) must be between 2 and correlation_bars "
                f"({self.correlation_bars})"
            )
        portfolio_rules(self)
        if self.model and self.entry != "market":
            raise ValueError(
                f"entry ({self.entry!r}) and model ({self.model!r}): a model of signals knows entries at "
                "market only, set entry to market or leave out the model"
            )
        for one in self.instrument_ids:
            coin = coin_of(self, one)
            check_ranges(coin, {name: _RANGES[name] for name in _COIN_RANGES})
            if coin.ml_min_confidence is not None and not 0 <= coin.ml_min_confidence <= 100:
                raise ValueError(f"ml_min_confidence ({coin.ml_min_confidence}) must be between 0 and 100")
            score_config(self, coin, 0.01)
            management_rules(self, coin)

    def rules_of_coins(self) -> dict[str, "CoinRules"]:
        """Return the settings that hold for each coin that has some of its own, all of them."""
        own = self.coins or {}
        return {one.value: coin_of(self, one) for one in self.instrument_ids if one.value in own}


_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "sweep_kind": ("swing", "extreme", "any"),
    "structure_role": ("ltf", "mtf"),
    "structure_scope": ("internal", "external"),
    "side": ("both", "long", "short"),
    "correlation_sides": get_args(CorrelationSides.__value__),
    "entry": ("market", "hybrid"),
    "rules": get_args(RuleSetName.__value__),
    "model_unfit": ("skip", "keep"),
    "model_missing": ("refuse", "as_trained"),
    "model_without_skill": ("ignore", "obey"),
}
_COIN_RANGES: Final = ("min_confidence", "stop_atr", "target_atr", "max_leverage", "min_turnover")


class CoinRules(msgspec.Struct, frozen=True):
    """The settings of one instrument, its own merged over the strategy's; see `ConfluenceConfig`."""

    category: str
    min_confidence: float
    ml_min_confidence: float | None
    stop_atr: float
    target_atr: float
    max_leverage: int
    min_turnover: float
    mtf_secs: int
    htf_secs: int
    time_exit_mins: float | None


def coin_of(config: ConfluenceConfig, instrument_id: InstrumentId) -> CoinRules:
    """Return the settings of one instrument."""
    own = (config.coins or {}).get(instrument_id.value, CoinSettings())
    values: dict[str, Any] = {"category": own.category}
    for name in CoinRules.__struct_fields__[1:]:
        value = getattr(own, name)
        values[name] = getattr(config, name) if value is None else value
    return CoinRules(**values)


# Settings that give other signals or outcomes. Size, portfolio, guards and the trade manager do not: the
# outcome of a signal is that of its stop and target (`ml.signal_outcomes`).
_TERMS: Final = (
    "ltf_secs",
    "htf_warm_up_bars",
    "rsi_oversold",
    "rsi_overbought",
    "sweep_kind",
    "sweep_max_age_bars",
    "structure_role",
    "structure_scope",
    "record_from",
    "entry",
)
_COIN_TERMS: Final = ("stop_atr", "target_atr", "mtf_secs", "htf_secs")


def signal_terms(config: ConfluenceConfig, instrument_id: InstrumentId) -> dict[str, Setting]:
    """Return what a model of signals is bound to: settings that shape an instrument's signals, by name."""
    points = [one for one in config.__struct_fields__ if one.startswith("points_")]
    coin = coin_of(config, instrument_id)
    return {
        **{name: getattr(config, name) for name in (*points, *_TERMS)},
        **{name: getattr(coin, name) for name in _COIN_TERMS},
    }


def filter_rules(config: ConfluenceConfig) -> FilterRules:
    """Return how the model's probabilities become decisions."""
    return FilterRules(
        on_unfit=config.model_unfit,
        missing=config.model_missing,
        obeys_without_skill=config.model_without_skill == "obey",
    )


def score_config(config: ConfluenceConfig, coin: CoinRules, tick_size: float) -> ScoreConfig:
    """Return the parameters of an instrument's score.

    Raises
    ------
    ValueError
        When timeframes or points do not fit together.
    """
    return ScoreConfig(
        structure=StructureConfig(tick_size=tick_size),
        weights=ConfluenceWeights(
            **{
                name.removeprefix("points_"): getattr(config, name)
                for name in config.__struct_fields__
                if name.startswith("points_")
            }
        ),
        ltf_secs=config.ltf_secs,
        mtf_secs=coin.mtf_secs,
        htf_secs=coin.htf_secs,
        htf_warm_up_bars=config.htf_warm_up_bars,
        rsi_oversold=config.rsi_oversold,
        rsi_overbought=config.rsi_overbought,
        sweep_kind=config.sweep_kind,
        sweep_max_age_bars=config.sweep_max_age_bars,
        structure_role=config.structure_role,
        structure_scope=config.structure_scope,
    )


def management_rules(config: ConfluenceConfig, coin: CoinRules) -> ManagementRules:
    """Return the rules for positions in an instrument."""
    changes = {name: getattr(config, name) for name in _MANAGED}
    return rules_of(config.rules, **changes | {"time_exit_mins": coin.time_exit_mins})


_MANAGED: Final = tuple(one for one in ManagementRules.__dataclass_fields__)


def portfolio_rules(config: ConfluenceConfig) -> PortfolioRules:
    """Return what the account holds at most."""
    return PortfolioRules(**{name: getattr(config, name) for name in PortfolioRules.__dataclass_fields__})


def risk_rules(config: ConfluenceConfig, coin: CoinRules, venue_max_leverage: int) -> RiskRules:
    """Return how much one trade may risk and bind; the venue's largest leverage is 1 on a cash account."""
    return RiskRules(
        risk_per_trade_pct=config.risk_per_trade_pct,
        max_notional_pct=config.max_notional_pct,
        leverage_goal_pct=config.leverage_goal_pct,
        max_leverage=max(1, min(coin.max_leverage, venue_max_leverage)),
        min_stop_pct=config.min_stop_pct,
        min_stop_ticks=config.min_stop_ticks,
        min_stop_fees=config.min_stop_fees,
    )


def exit_rules(config: ConfluenceConfig) -> ExitRules:
    """Return how orders are handled: with bars alone, a stop that was jumped over is left at once."""
    return ExitRules(stop_limit_offset_pct=config.stop_limit_offset_pct, exit_market_after_secs=0.0)


def bar_type_of(instrument_id: InstrumentId, secs: int) -> BarType:
    """Return the type of an instrument's closed bars of a length.

    Examples
    --------
    >>> str(bar_type_of(InstrumentId.from_str("BTCUSDT.BINANCE"), 300))
    'BTCUSDT.BINANCE-5-MINUTE-LAST-EXTERNAL'
    """
    length, unit = next((length, unit) for length, unit in _UNITS if secs % length == 0)
    return BarType.from_str(f"{instrument_id}-{secs // length}-{unit}-LAST-EXTERNAL")


__all__ = ["CoinSettings", "ConfluenceConfig"]
