"""Settings into the parts that a Nautilus node is built from.

:func:`strategy_configs` is the one way from settings to strategies: backtest, paper and live call it, so
the strategy cannot know where it runs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from nautilus_trader.backtest.config import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestRunConfig,
    BacktestVenueConfig,
    ImportableFeeModelConfig,
    ImportableFillModelConfig,
    ImportableLatencyModelConfig,
)
from nautilus_trader.cache.config import CacheConfig
from nautilus_trader.common.config import ImportableActorConfig
from nautilus_trader.config import ImportableStrategyConfig, LoggingConfig
from nautilus_trader.model.data import Bar, TradeTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.instruments import CurrencyPair, Instrument

from runtime.bar_venue import WAIT_BARS
from runtime.coin_settings import coin_settings
from runtime.errors import ConfigurationError
from runtime.funding_schedule import funding_text
from runtime.settings import BacktestSettings, StrategySettings
from runtime.strategy_parameters import check_parameters, merged_parameters
from strategies.registry import StrategySpec

NANOS_PER_MILLI: Final = 1_000_000
# Only the last trade and bar are ever asked for; the default of 10,000 each is memory for nothing.
CACHE_CAPACITY: Final = 16
# The setting in which a strategy is told what its feed reports; a model was trained on one kind only.
FEED: Final = "model_stream"
BAR_MODULE: Final[Mapping[str, Any]] = {
    "actor_path": "runtime.bar_venue:BarVenue",
    "config_path": "runtime.bar_venue:BarVenueConfig",
    "config": {},
}
FUNDING_CONFIG: Final = "runtime.funding_venue:FundingVenueConfig"
FUNDING_MODULES: Final[Mapping[bool, str]] = {
    False: "runtime.funding_venue:FundingVenue",
    True: "runtime.funding_venue:BarFundingVenue",
}
# Below it a chunk is all overhead; above it the whole history is one chunk. Never None: Nautilus then
# orders trades of equal time by another rule than when it streams.
ALL_IN_ONE_CHUNK: Final = 1_000_000_000_000


def strategy_configs(
    spec: StrategySpec,
    entry: StrategySettings,
    instrument_ids: Iterable[str],
    *,
    command_line: Mapping[str, str] | None = None,
    trade_from_ns: int = 0,
    streams: Mapping[str, str] | None = None,
    categories: Mapping[str, str] | None = None,
    entry_path: str = "$.strategies[0]",
    source: str = "config.yaml",
) -> list[ImportableStrategyConfig]:
    """Return one strategy configuration per instrument, sorted by instrument id.

    A strategy for many instruments (its configuration has ``instrument_ids``) gets one for all of them.

    Parameters
    ----------
    spec
        The strategy, from ``strategies.registry``.
    entry
        Its entry in the settings.
    instrument_ids
        Nautilus instrument ids.
    command_line
        ``--set`` values as typed; they win over everything else.
    trade_from_ns
        No entries before this time (warm-up), UNIX nanoseconds.
    streams
        What the feed of each instrument reports, by id: ``trades`` or ``aggtrades``.
    categories
        Category by instrument id where ``symbols`` names none; for strategies for many instruments.
    entry_path, source
        Where the entry stands, for errors.

    Raises
    ------
    ConfigurationError
        Unknown parameter, wrong type or impossible combination, with its path; a feed that is not what the
        settings call it.
    """
    config_class = spec.config_class()
    if is_for_many(spec):
        names = sorted(instrument_ids)
        plain = _config_of_many(spec, entry, names, command_line or {}, entry_path, source, categories)
        plain["trade_from_ns"] = trade_from_ns
        return [
            ImportableStrategyConfig(
                strategy_path=spec.strategy_path, config_path=spec.config_path, config=plain
            )
        ]
    configs = []
    for instrument_id in sorted(instrument_ids):
        parameters = merged_parameters(entry, instrument_id, command_line or {})
        checked = check_parameters(config_class, parameters, instrument_id, entry_path, source)
        # Every field goes in, so that the stored run says what a default was at the time.
        plain = msgspec.json.decode(checked.json())
        plain |= {
            "instrument_id": instrument_id,
            "order_id_tag": order_id_tag(instrument_id),
            "trade_from_ns": trade_from_ns,
        }
        if streams is not None and FEED in plain:
            plain[FEED] = _feed_of(instrument_id, streams[instrument_id], plain[FEED], source)
        configs.append(
            ImportableStrategyConfig(
                strategy_path=spec.strategy_path, config_path=spec.config_path, config=plain
            )
        )
    return configs


def is_for_many(spec: StrategySpec) -> bool:
    """Tell whether one instance of the strategy trades many instruments."""
    return "instrument_ids" in spec.config_class().__struct_fields__


def _config_of_many(
    spec: StrategySpec,
    entry: StrategySettings,
    names: Sequence[str],
    command_line: Mapping[str, str],
    entry_path: str,
    source: str,
    categories: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the configuration of one instance for all: ``symbols`` become the settings of single coins."""
    config_class = spec.config_class()
    coins = coin_settings(
        config_class, entry, names, command_line, entry_path=entry_path, source=source, known=categories
    )
    given: dict[str, Any] = {"instrument_ids": names, "coins": coins or None}
    checked = check_parameters(
        config_class, merged_parameters(entry, "", command_line), "", entry_path, source, given
    )
    plain: dict[str, Any] = msgspec.json.decode(checked.json())
    if coins and hasattr(checked, "rules_of_coins"):  # so that the stored run says what holds for each coin
        plain["coins"] = msgspec.to_builtins(checked.rules_of_coins())
    return plain


def _feed_of(instrument_id: str, fed: str, said: str, source: str) -> str:
    """Return what the feed is: the data decide, a setting may only agree."""
    if said not in ("", fed):
        raise ConfigurationError(
            f"{instrument_id}: {FEED} is {said}, but its feed gives {fed}: leave {FEED} out - at {source} "
            f"or --set {FEED}"
        )
    return fed


def order_id_tag(instrument_id: str) -> str:
    """Return the part of a strategy's id that names its instrument: letters and digits only.

    It depends on nothing but the instrument, so adding another one does not rename running strategies.

    Examples
    --------
    >>> order_id_tag("BTCUSDT-PERP.BINANCE")
    'BTCUSDTPERPBINANCE'
    """
    return re.sub(r"[^A-Za-z0-9]", "", instrument_id)


def venue_configs(
    instruments: Sequence[Instrument],
    settings: BacktestSettings,
    *,
    on_bars: bool = False,
    funding: Mapping[str, Any] | None = None,
) -> list[BacktestVenueConfig]:
    """Return one simulated venue per venue of the instruments, with honest fills.

    Parameters
    ----------
    instruments
        What is traded.
    settings
        Account and fills.
    on_bars
        The run has bars and no trades: `runtime.bar_venue` walks them.
    funding
        ``module`` of `runtime.funding_schedule.FundingPlan`; None settles no funding.

    Raises
    ------
    ConfigurationError
        When spot and perpetuals of one venue, or several quote currencies, are mixed.
    """
    quotes = sorted({settlement_currency(instrument) for instrument in instruments})
    if len(quotes) > 1:
        raise ConfigurationError(
            f"instruments settle in {' and '.join(quotes)}: one run has one account currency, run them apart"
        )
    by_venue: dict[str, list[Instrument]] = {}
    for instrument in instruments:
        by_venue.setdefault(instrument.id.venue.value, []).append(instrument)
    modules = _modules(funding, on_bars=on_bars)
    return [
        _venue_config(venue, by_venue[venue], settings, modules, on_bars=on_bars)
        for venue in sorted(by_venue)
    ]


def _modules(funding: Mapping[str, Any] | None, *, on_bars: bool) -> list[ImportableActorConfig] | None:
    modules = [ImportableActorConfig(**BAR_MODULE)] if on_bars else []
    if funding is not None:  # behind the walk of bars: it settles what is open after it
        modules.append(
            ImportableActorConfig(
                actor_path=FUNDING_MODULES[on_bars], config_path=FUNDING_CONFIG, config=dict(funding)
            )
        )
    return modules or None


def settlement_currency(instrument: Instrument) -> str:
    """Return the code of the currency in which profit and balance of the instrument are counted."""
    return str(instrument.get_cost_currency().code)


def is_spot(instrument: Instrument) -> bool:
    """Tell whether the instrument is bought and held (cash account) rather than margined."""
    return isinstance(instrument, CurrencyPair)


def _venue_config(
    venue: str,
    instruments: Sequence[Instrument],
    settings: BacktestSettings,
    modules: list[ImportableActorConfig] | None,
    *,
    on_bars: bool,
) -> BacktestVenueConfig:
    kinds = {is_spot(instrument) for instrument in instruments}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"{venue} has spot and perpetuals in one run: they are separate accounts, run them apart"
        )
    currency = settlement_currency(instruments[0])
    return simulated_venue(
        venue, currency, settings, holds_spot=kinds == {True}, modules=modules, on_bars=on_bars
    )


def simulated_venue(
    venue: str,
    currency: str,
    settings: BacktestSettings,
    *,
    holds_spot: bool,
    modules: list[ImportableActorConfig] | None = None,
    on_bars: bool = False,
) -> BacktestVenueConfig:
    """Return one simulated venue; backtests and paper nodes have the same.

    Parameters
    ----------
    venue
        Its name in instrument ids.
    currency
        Of the account.
    settings
        Account and fills.
    holds_spot
        What is bought is held (cash account) rather than margined.
    modules
        What happens at the venue besides matching.
    on_bars
        See `venue_configs`.
    """
    fills = settings.fills
    return BacktestVenueConfig(
        name=venue,
        oms_type="NETTING",
        account_type="CASH" if holds_spot else "MARGIN",
        starting_balances=[f"{settings.balance:f} {currency}"],
        default_leverage=1.0 if holds_spot else settings.leverage,
        bar_execution=on_bars,  # where trades move the market, a bar would move it a second time
        bar_adaptive_high_low_ordering=False,
        modules=modules,
        liquidity_consumption=fills.liquidity_consumption,
        queue_position=fills.queue_position and not on_bars,  # there is no queue in bars
        support_contingent_orders=False,  # as at the venues: protection is the strategy's own
        # Without it a market order that arrives right after a fill ate the print is forgotten.
        use_market_order_acks=True,
        fill_model=ImportableFillModelConfig(
            fill_model_path="runtime.fees:TakerSlippageModel",
            config_path="runtime.fees:TakerSlippageConfig",
            config={
                "slippage_ticks": fills.slippage_ticks,
                "slippage_bps": str(fills.slippage_bps),
                "impact_bps": str(fills.impact_bps if on_bars else 0),
                "seed": fills.seed,
                "limits_fill_on_touch": not (on_bars and fills.queue_position),
            },
        ),
        latency_model=ImportableLatencyModelConfig(
            latency_model_path="nautilus_trader.backtest.models:LatencyModel",
            config_path="nautilus_trader.backtest.config:LatencyModelConfig",
            config={"base_latency_nanos": round(fills.latency_ms * NANOS_PER_MILLI)},
        ),
        fee_model=ImportableFeeModelConfig(
            fee_model_path="runtime.fees:VenueFeeModel",
            config_path="runtime.fees:VenueFeeConfig",
            config={},
        ),
    )


def fill_assumptions(
    settings: BacktestSettings, instruments: Sequence[Instrument], *, on_bars: bool = False
) -> dict[str, Any]:
    """Return how fills were simulated, in the words and units of the report."""
    fills = settings.fills
    spot = is_spot(instruments[0])
    # What a bar cannot tell is not claimed: it has neither prints nor a queue.
    told: dict[str, Any] = (
        {
            "limits_fill": "one increment beyond their price" if fills.queue_position else "at their price",
            "impact_bps": str(fills.impact_bps),
            "without_volume": f"market orders wait, at most {WAIT_BARS} bars",
        }
        if on_bars
        else {
            "liquidity_consumption": fills.liquidity_consumption,
            "queue_position": fills.queue_position,
        }
    )
    return {
        "data": "closed bars, adverse extreme first" if on_bars else "trades",
        "latency_ms": fills.latency_ms,
        **told,
        "slippage_ticks": fills.slippage_ticks,
        "slippage_bps": str(fills.slippage_bps),
        "slippage_applies_to": "market orders, not the stop-limit orders that protect spot"
        if spot
        else "market and stop-market orders",
        "seed": fills.seed,
        "fees": {
            instrument.id.value: {"maker": str(instrument.maker_fee), "taker": str(instrument.taker_fee)}
            for instrument in instruments
        },
        "fee_of_a_purchase": "base currency" if spot else "quote currency",
        "account": "CASH, long only" if spot else f"MARGIN, leverage {settings.leverage:g}",
        "funding": "none" if spot else funding_text(settings.funding, on_bars=on_bars),
    }


def data_configs(
    catalog_path: str,
    instrument_ids: Iterable[str],
    bar_catalogs: Mapping[str, str],
    start_ns: int | None,
    end_ns: int | None,
) -> list[BacktestDataConfig]:
    """Return the data of a run: trades per instrument, then bars, each sorted by id.

    The order matters: it decides which of several instruments comes first at equal times.

    Parameters
    ----------
    catalog_path
        Folder of the catalog.
    instrument_ids
        Instruments whose trades are replayed.
    bar_catalogs
        Folder of the catalog of each type of external bars; they are loaded from their first one, since a
        higher timeframe needs a long warm-up.
    start_ns, end_ns
        First and last time of the trades, both included, UNIX nanoseconds; None is open.
    """
    trades = [
        BacktestDataConfig(
            catalog_path=catalog_path,
            data_cls=TradeTick.fully_qualified_name(),
            instrument_id=InstrumentId.from_str(instrument_id),
            start_time=start_ns,
            end_time=end_ns,
        )
        for instrument_id in sorted(instrument_ids)
    ]
    bars = [
        BacktestDataConfig(
            catalog_path=folder,
            data_cls=Bar,  # the class, not its name: a name makes Nautilus ignore the bar type
            bar_types=[bar_type],
            end_time=end_ns,
        )
        for bar_type, folder in sorted(bar_catalogs.items())
    ]
    return trades + bars


def run_config(
    venues: list[BacktestVenueConfig],
    data: list[BacktestDataConfig],
    strategies: list[ImportableStrategyConfig],
    chunk_size: int | str,
    *,
    least_chunk: int = 1,
) -> BacktestRunConfig:
    """Return the configuration of one backtest: silent, streamed, errors raised.

    A chunk has at least ``least_chunk`` objects: a venue that walks bars must see one close time ahead.
    """
    return BacktestRunConfig(
        engine=BacktestEngineConfig(
            strategies=[_told_of_fills(one, venues) for one in strategies],
            cache=CacheConfig(tick_capacity=CACHE_CAPACITY, bar_capacity=CACHE_CAPACITY),
            logging=LoggingConfig(bypass_logging=True),
            run_analysis=False,  # the figures are ours (ui/reports/metrics.py): 365 days, exact money
        ),
        venues=venues,
        data=data,
        chunk_size=ALL_IN_ONE_CHUNK if chunk_size == "all" else max(int(chunk_size), least_chunk),
        raise_exception=True,
        dispose_on_completion=False,
    )


def _told_of_fills(
    strategy: ImportableStrategyConfig, venues: Sequence[BacktestVenueConfig]
) -> ImportableStrategyConfig:
    """Return a strategy's configuration whose ledger follows cancelled orders as this run fills them."""
    if "ledger_latency_ms" not in strategy.config:
        return strategy
    latency, fills = venues[0].latency_model, venues[0].fill_model  # the same at every venue
    assumed = {
        "ledger_latency_ms": latency.config["base_latency_nanos"] / NANOS_PER_MILLI if latency else 0.0,
        "ledger_slippage_ticks": fills.config["slippage_ticks"] if fills else 0,
        "ledger_slippage_bps": float(fills.config["slippage_bps"]) if fills else 0.0,
    }
    return msgspec.structs.replace(strategy, config={**strategy.config, **assumed})
