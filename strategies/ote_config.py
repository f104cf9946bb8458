"""Settings of the OTE strategy, and what its parts are told of them."""

import inspect
from decimal import Decimal
from typing import Final, Literal

import msgspec
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId

from indicators.engine import StructureConfig
from ml.features import NAMES, schema_hash, state_dtype_sha256
from ml.gate import GateRules
from ml.model import Wanted
from ml.model_fit import decimals_of
from ml.passport import Setting, kernel_sha256
from ml.shadow import ShadowRules
from packet_builder.builder import BucketConfig
from strategies.config_checks import Ranges, check_choices, check_ranges
from strategies.dynamic_cancel import KEEP
from strategies.guarded_config import GuardedConfig
from strategies.model_policy import ModelPolicy, load_model_policy
from strategies.registry import StrategySpec
from strategies.trade_manager.plan import EntryRules, Market, SideKind
from strategies.trade_manager.setup_rules import ExitRules, PostOnlyReject
from strategies.trade_manager.targets import TargetKind

_RANGES: Final[Ranges] = {
    "retracement_min": (0.01, 0.99),
    "retracement_max": (0.01, 0.99),
    "sweet_spot": (0.01, 0.99),
    "range_expiry_buckets": (1, 1_000_000),
    "stop_buffer_pct": (0, 50),
    "min_reward_risk": (0, 100),
    "risk_per_trade_pct": (0.0001, 100),
    "max_notional_pct": (0.0001, 10_000),
    "reprice_min_ticks": (0, 1_000_000),
    "reprice_min_leg_pct": (0, 1_000),
    "entry_ttl_secs": (0, 1e9),
    "stop_limit_offset_pct": (0, 50),
    "exit_market_after_secs": (0, 86_400),
    "approach_band_pct": (0, 100),
    "model_hysteresis": (0, 0.5),
    "model_min_interval_ms": (0, 1e9),
    "rearm_max": (0, 1_000),
    "rearm_after_secs": (0, 1e9),
    "ledger_latency_ms": (0, 1e9),
    "ledger_slippage_ticks": (0, 1_000_000),
    "ledger_slippage_bps": (0, 10_000),
    "max_data_age_secs": (0, 86_400),
    "max_bucket_move_pct": (0.0001, 10_000),
    "price_band_pct": (0, 99),
    "trade_from_ns": (0, 1 << 62),
}


class OteConfig(GuardedConfig, frozen=True, kw_only=True):
    """Settings of `strategies.ote.OteStrategy`, besides those of `GuardedConfig`.

    Parameters
    ----------
    instrument_id
        What to trade: one strategy instance per instrument.
    bucket_usd
        Quote currency that fills a volume bucket, a multiple of tick x lot.
    structure
        Which breaks count: ``external`` (swings of 50 buckets to either side) or ``internal`` (5).
    side
        ``both``, ``long`` or ``short``; a spot account is long only whatever this says.
    retracement_min, retracement_max
        The OTE zone, share of the leg retraced.
    sweet_spot
        Where in the zone the entry waits, share of the leg retraced.
    range_expiry_buckets
        A zone that was touched expires after this many buckets.
    opposite_break_ends_zone
        A break in the other direction ends the zone.
    stop_buffer_pct
        Stop beyond the origin of the leg, percent of its price.
    target
        ``range_high`` (the end of the leg; its low for a short), ``extension_1.27`` or ``extension_1.618``.
    min_reward_risk
        Zones below this gross reward over gross risk are skipped.
    risk_per_trade_pct
        Share of the equity lost when the stop is hit, percent, before fees.
    max_notional_pct
        Largest position, percent of the equity.
    reprice_min_ticks, reprice_min_leg_pct
        The entry follows an extended range when the sweet spot moved by the larger of these, in price
        increments and in percent of the leg.
    entry_ttl_secs
        An entry older than this (since its first submission) is taken back; 0 for never.
    post_only_reject
        When the entry would have taken liquidity: ``reprice`` once behind the market, or ``drop`` the setup.
    stop_limit_offset_pct
        Spot: how far beyond the stop the limit of the stop-limit order stands, percent.
    exit_market_after_secs
        An exit that should have filled (the target's limit on spot, a stop jumped over) goes to market.
    approach_band_pct
        The cancel policy is asked while price is within this distance of the entry, percent, and within
        half the way from the end of the range to the entry.
    cancel_policy
        ``module:Class`` of a `CancelPolicy`; the default keeps every entry and costs nothing.
    model
        Folder of a trained model (``model.json``, ``passport.json``) that decides instead; empty for none.
    model_margin
        Added to the break-even probability of the order; None takes the passport's.
    model_hysteresis
        An order that was kept is cancelled this far below the threshold, one that was sent again must start
        this far above it; a probability.
    model_min_interval_ms
        Least time between two decisions about an order; 0 decides on every trade.
    model_unfit
        What happens to the entry when a feature is missing, infinite or absurd, or the model has expired:
        ``cancel`` or ``keep``.
    model_missing
        ``refuse``: a missing feature makes a row unfit; ``as_trained``: it is scored where training had it.
    model_without_skill
        A model whose validation found no skill: ``ignore`` its decisions, or ``obey`` them.
    model_stream
        What the feed reports, ``trades`` or ``aggtrades``; empty takes what catalog or subscription say, and
        one that contradicts them is refused, as is a model trained on the other.
    rearm_max
        How often a zone is entered again after the policy took its entry back; 0: the zone is spent.
    rearm_after_secs
        Least time before that; and price must have left the approach band.
    ledger_latency_ms, ledger_slippage_ticks, ledger_slippage_bps
        With which the ledger follows cancelled entries; a backtest puts its own ``fills`` there.
    htf_bar_type
        Higher-timeframe bars for a bias filter: entries only in the direction of EMA20/EMA50. None for no
        filter. Until 150 bars have closed the bias is unknown and nothing is entered.
    max_data_age_secs
        No entry on trades older than this by the node's clock: in a burst that the node has not caught up
        with, the newest state is not known yet. Clocks may differ by a part of it.
    max_bucket_move_pct
        No entry on a bucket whose high is this far above its low, percent: a bad print or a crash.
    price_band_pct
        A trade farther than this from the median of the last 21, or from the mark price where one is known,
        is not believed, percent: its bucket is tainted, the setup and its model do not see it. Fifty in a row
        that agree are the new price. 0 believes all.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    """

    RANGES = _RANGES

    instrument_id: InstrumentId
    bucket_usd: Decimal = Decimal(10_000)
    structure: Literal["external", "internal"] = "external"
    side: SideKind = "both"
    retracement_min: float = 0.618
    retracement_max: float = 0.79
    sweet_spot: float = 0.705
    range_expiry_buckets: int = 200
    opposite_break_ends_zone: bool = True
    stop_buffer_pct: float = 0.1
    target: TargetKind = "range_high"
    min_reward_risk: float = 1.0
    risk_per_trade_pct: float = 1.0
    max_notional_pct: float = 100.0
    reprice_min_ticks: int = 2
    reprice_min_leg_pct: float = 5.0
    entry_ttl_secs: float = 0.0
    post_only_reject: PostOnlyReject = "reprice"
    stop_limit_offset_pct: float = 0.2
    exit_market_after_secs: float = 5.0
    approach_band_pct: float = 1.0
    cancel_policy: str = KEEP
    model: str = ""
    model_margin: float | None = None
    model_hysteresis: float = 0.01
    model_min_interval_ms: float = 0.0
    model_unfit: Literal["cancel", "keep"] = "cancel"
    model_missing: Literal["refuse", "as_trained"] = "refuse"
    model_without_skill: Literal["ignore", "obey"] = "ignore"
    model_stream: Literal["", "trades", "aggtrades"] = ""
    rearm_max: int = 0
    rearm_after_secs: float = 60.0
    ledger_latency_ms: float = 50.0
    ledger_slippage_ticks: int = 0
    ledger_slippage_bps: float = 0.0
    htf_bar_type: BarType | None = None
    max_data_age_secs: float = 2.0
    max_bucket_move_pct: float = 20.0
    price_band_pct: float = 10.0
    trade_from_ns: int = 0

    def __post_init__(self) -> None:  # msgspec checks fields when it decodes only; this runs always
        super().__post_init__()
        # A whole number in Python code is as exact as the text that a file gives.
        msgspec.structs.force_setattr(self, "bucket_usd", Decimal(self.bucket_usd))
        if not self.bucket_usd > 0:
            raise ValueError(f"bucket_usd ({self.bucket_usd}) must be above 0")
        check_choices(self, _CHOICES)
        check_ranges(self, _RANGES)
        if not self.retracement_min < self.sweet_spot <= self.retracement_max:
            raise ValueError(
                f"sweet_spot ({self.sweet_spot}) must be above retracement_min ({self.retracement_min}) "
                f"and at most retracement_max ({self.retracement_max})"
            )
        module_name, _, class_name = self.cancel_policy.partition(":")
        if not module_name or not class_name:
            raise ValueError(f"cancel_policy ({self.cancel_policy!r}) must be module:Class")
        if self.model and self.cancel_policy != KEEP:
            raise ValueError(f"cancel_policy ({self.cancel_policy!r}) and model ({self.model!r}): set one")
        gate_rules(self)

    def terms(self) -> dict[str, Setting]:
        """Return what a model is bound to: every setting that can give other entries or exits, by name.

        The guards' are none: a pause changes when there is an entry, not what becomes of it.
        """
        plain = msgspec.json.decode(self.json())
        return {name: plain[name] for name in inspect.get_annotations(OteConfig) if name not in _FREE}


BPS: Final = Decimal(10_000)
# What a model need not be trained for. All others are terms, so that a new setting is one until it is listed.
_FREE: Final = frozenset(
    {
        "instrument_id",
        "bucket_usd",  # has a refusal of its own
        "risk_per_trade_pct",  # sizes change no R
        "max_notional_pct",
        "cancel_policy",
        "model",
        "model_margin",
        "model_hysteresis",
        "model_min_interval_ms",
        "model_unfit",
        "model_missing",
        "model_without_skill",
        "model_stream",  # has one of its own as well
        "ledger_latency_ms",  # what followed orders assume
        "ledger_slippage_ticks",
        "ledger_slippage_bps",
        "rearm_max",  # what comes after a decision
        "rearm_after_secs",
        "max_data_age_secs",  # of the node's clock
        "price_band_pct",  # prints that training's tape should not have had either
        "trade_from_ns",
    }
)
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "structure": ("external", "internal"),
    "side": ("both", "long", "short"),
    "target": ("range_high", "extension_1.27", "extension_1.618"),
    "post_only_reject": ("reprice", "drop"),
    "model_unfit": ("cancel", "keep"),
    "model_missing": ("refuse", "as_trained"),
    "model_without_skill": ("ignore", "obey"),
    "model_stream": ("", "trades", "aggtrades"),
}


def gate_rules(config: OteConfig) -> GateRules:
    """Return the settings that turn a model's probability into a decision."""
    return GateRules(
        margin=config.model_margin,
        hysteresis=config.model_hysteresis,
        min_interval_ns=int(config.model_min_interval_ms * 1e6),
        on_unfit=config.model_unfit,
        missing=config.model_missing,
        gates_without_skill=config.model_without_skill == "obey",
    )


def model_policy(
    config: OteConfig,
    spec: StrategySpec,
    *,
    now_ns: int,
    tick_size: Decimal,
    lot_size: Decimal,
    maker_fee: Decimal,
    taker_fee: Decimal,
    target_rests: bool,
) -> ModelPolicy:
    """Load the model that the settings name.

    Parameters
    ----------
    config
        With ``model`` set.
    spec
        Name and version of the strategy.
    now_ns
        When the first decision could be due, UNIX nanoseconds.
    tick_size, lot_size
        Price and quantity increments of the instrument.
    maker_fee, taker_fee
        Shares of the notional.
    target_rests
        The target fills as maker.

    Raises
    ------
    ModelRefused
        When it must not decide here; the text says why.
    """
    buckets, _ = perception(config, tick_size, lot_size)
    wanted = Wanted(
        feature_names=NAMES,
        feature_schema=schema_hash,
        kernel_sha256=kernel_sha256(),
        state_dtype_sha256=state_dtype_sha256(),
        instrument_id=config.instrument_id.value,
        stream=config.model_stream,
        bucket_usd=float(config.bucket_usd),
        now_ns=now_ns,
        price_decimals=decimals_of(tick_size),
        size_decimals=decimals_of(lot_size),
        vpin_window=buckets.vpin_window,
        strategy=spec.name,
        strategy_version=spec.version,
        parameters=config.terms(),
        maker_fee_bps=float(maker_fee * BPS),
        taker_fee_bps=float(taker_fee * BPS),
    )
    return load_model_policy(
        config.model,
        gate_rules(config),
        wanted,
        entry_fee=float(maker_fee),
        stop_fee=float(taker_fee),
        target_fee=float(maker_fee if target_rests else taker_fee),
    )


def entry_rules(config: OteConfig) -> EntryRules:
    """Return the settings that turn a zone into a plan."""
    return EntryRules(
        side=config.side,
        stop_buffer_pct=config.stop_buffer_pct,
        target=config.target,
        min_reward_risk=config.min_reward_risk,
        risk_per_trade_pct=config.risk_per_trade_pct,
        max_notional_pct=config.max_notional_pct,
        reprice_min_ticks=config.reprice_min_ticks,
        reprice_min_leg_pct=config.reprice_min_leg_pct,
    )


def exit_rules(config: OteConfig) -> ExitRules:
    """Return the settings that handle orders at the venue."""
    return ExitRules(
        entry_ttl_secs=config.entry_ttl_secs,
        post_only_reject=config.post_only_reject,
        stop_limit_offset_pct=config.stop_limit_offset_pct,
        exit_market_after_secs=config.exit_market_after_secs,
    )


def shadow_rules(config: OteConfig, market: Market) -> ShadowRules:
    """Return how the ledger lets cancelled entries live on, from settings and instrument."""
    return ShadowRules(
        maker_fee=float(market.maker_fee),
        taker_fee=float(market.taker_fee),
        target_rests=market.target_rests,
        latency_ns=round(config.ledger_latency_ms * 1e6),
        tick_size=float(market.tick_size),
        slippage_ticks=config.ledger_slippage_ticks,
        slippage_bps=config.ledger_slippage_bps,
        stop_limit_offset=config.stop_limit_offset_pct / 100,
        market_after_ns=round(config.exit_market_after_secs * 1e9),
    )


def perception(
    config: OteConfig, tick_size: Decimal, lot_size: Decimal
) -> tuple[BucketConfig, StructureConfig]:
    """Return the parameters of buckets and structure that the settings name.

    Parameters
    ----------
    config
        Settings of the strategy.
    tick_size, lot_size
        Price and quantity increments of the instrument.
    """
    buckets = BucketConfig(bucket_usd=config.bucket_usd, tick_size=tick_size, lot_size=lot_size)
    structure = StructureConfig(
        tick_size=float(tick_size),
        ote_low=config.retracement_min,
        ote_sweet=config.sweet_spot,
        ote_high=config.retracement_max,
        range_opposed=config.opposite_break_ends_zone,
        range_expiry=config.range_expiry_buckets,
    )
    return buckets, structure


__all__ = [
    "OteConfig",
    "entry_rules",
    "exit_rules",
    "gate_rules",
    "model_policy",
    "perception",
    "shadow_rules",
]
