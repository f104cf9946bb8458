"""One settings file: `config.yaml` into frozen structs, refused with the path of the wrong setting.

A strategy's parameters stay a plain dictionary here: `runtime.strategy_parameters` checks them against the
strategy's own config class.
"""

import hashlib
import re
import types
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from ml.train_settings import TrainSettings
from runtime.cli import did_you_mean
from runtime.errors import ConfigurationError
from runtime.live.keys import refuse_keys_in
from runtime.live.limits import NO_LIMITS, LimitSettings
from runtime.live.settings import LiveSettings
from runtime.notify.settings import NotifySettings
from runtime.secret_urls import url_secrets
from runtime.setting_choices import explained
from runtime.universe_settings import UniverseSettings
from runtime.yaml_text import load_yaml, with_line

DEFAULT_PATH: Final = Path("config.yaml")
# These keys of a strategy entry are ours; every other key is a field of the strategy's config class.
STRATEGY_KEYS: Final = ("strategy", "instruments", "symbols", "categories")
CATEGORY: Final = "category"  # of an instrument, in its entry of `symbols`
# The caller decides these for each instrument, so the settings file must not.
RESERVED_PARAMETERS: Final = (
    "instrument_id",
    "instrument_ids",
    "coins",
    "universe_days",
    "trade_from_ns",
    "order_id_tag",
    "strategy_id",
)

# What Nautilus' money can hold, with room for profits, in the decimals of a quote currency.
MIN_BALANCE: Final = Decimal("0.01")
MAX_BALANCE: Final = Decimal(10) ** 12
BALANCE_STEP: Final = Decimal("0.00000001")
HOST_ADDRESS: Final = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?")

# No venue lets a rate be beyond.
LARGEST_FUNDING_PCT: Final = Decimal(20)

type Parameters = dict[str, Any]
type FundingSource = Literal["catalog", "constant", "none"]


class FeeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fee rates that replace the instrument's own.

    Parameters
    ----------
    maker
        Share of the notional for resting orders, e.g. 0.001 is 0.1 %; null keeps the instrument's rate.
    taker
        Share of the notional for orders that take liquidity; null keeps the instrument's rate.
    """

    maker: Decimal | None = None
    taker: Decimal | None = None

    def __post_init__(self) -> None:
        for name, rate in (("maker", self.maker), ("taker", self.taker)):
            if rate is not None and not Decimal("-0.05") <= rate <= Decimal("0.05"):
                raise ValueError(
                    f"{name} {rate} is a share of the notional between -0.05 and 0.05 (0.001 = 0.1 %)"
                )


class FillSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the simulated venue fills orders; the defaults are the pessimistic ones (docs/fills.md).

    Parameters
    ----------
    latency_ms
        Time between sending an order, change or cancel and its arrival at the venue, milliseconds.
    liquidity_consumption
        A print fills at most its own size; false lets any print fill the whole order.
    queue_position
        A resting order fills only after what stood before it has traded, with trades alone: when the
        price trades through it; false fills at the first touch.
    slippage_ticks
        Price increments by which every market and stop-market order is filled worse than the last print.
        Stop-limit orders, which protect spot, fill up to their limit without it.
    slippage_bps
        The same as a share of the price, in hundredths of a percent, rounded up to whole increments.
    impact_bps
        Runs on bars: by how much more an order as large as the bar's volume is filled worse, in hundredths of
        a percent; half of it at a quarter of the volume (square root), ten times it at most.
    seed
        Seed of the simulator's random numbers (nothing random happens with the defaults).
    """

    latency_ms: Annotated[float, Meta(ge=0, le=60_000)] = 50.0
    liquidity_consumption: bool = True
    queue_position: bool = True
    slippage_ticks: Annotated[int, Meta(ge=0, le=10_000)] = 0
    slippage_bps: Decimal = Decimal(0)
    impact_bps: Decimal = Decimal(20)
    seed: Annotated[int, Meta(ge=0)] = 42

    def __post_init__(self) -> None:
        if not 0 <= self.slippage_bps <= 1000:
            raise ValueError(f"slippage_bps {self.slippage_bps} must be between 0 and 1000")
        if not 0 <= self.impact_bps <= 1000:
            raise ValueError(f"impact_bps {self.impact_bps} must be between 0 and 1000")
        if self.slippage_ticks and self.slippage_bps:
            raise ValueError("slippage_ticks and slippage_bps are both set: choose one")


class FundingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Funding of linear perpetuals; spot has none.

    Parameters
    ----------
    source
        ``catalog``: the rates that ``download_data.py funding`` stored, each at its own time; where some are
        missing the report says how many. ``constant``: one rate all the time. ``none``: nothing is settled.
    rate_pct
        With ``constant`` alone: percent of the notional per funding time, e.g. 0.01; longs pay it to shorts,
        a negative one the other way round. Between -20 and 20.
    interval_hours
        With ``constant`` alone: 1, 2, 4 or 8 hours between funding times, counted from 00:00 UTC.
    """

    source: FundingSource = "catalog"
    rate_pct: Decimal | None = None
    interval_hours: Literal[1, 2, 4, 8] = 8

    def __post_init__(self) -> None:
        if self.source == "constant" and self.rate_pct is None:
            raise ValueError("source constant needs rate_pct: percent per funding time, for example 0.01")
        if self.source != "constant" and self.rate_pct is not None:
            raise ValueError(f"rate_pct {self.rate_pct} is set, but source is {self.source}: set constant")
        rate = self.rate_pct
        if rate is not None and not (rate.is_finite() and abs(rate) <= LARGEST_FUNDING_PCT):
            raise ValueError(f"rate_pct {self.rate_pct} must be between -20 and 20 percent per funding time")


class BacktestSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backtest needs besides data and strategy.

    Parameters
    ----------
    chunk_size
        Trades held in memory at a time, or "all"; the result does not depend on it.
    balance
        Starting balance in the quote currency, per venue: 0.01 to 10**12, at most 8 decimals.
    leverage
        Leverage of margin accounts (perpetuals); spot accounts ignore it.
    fees
        Fee rates that replace the instrument's own.
    fills
        How orders are filled.
    funding
        Where the funding rates of perpetuals come from.
    bar_feed
        How closed bars reach a strategy: ``columns`` scores all bars beforehand where the strategy supports
        it, ``events`` brings every bar through the engine. The result is the same.
    runs
        Folder that receives one folder per run.
    charts
        Largest number of trades drawn in the tearsheet.
    telemetry
        Write down what a terminal would have seen, for ``python -m ui replay``.
    limits
        What the account may risk, as ``live.limits`` for a node; off unless set.
    """

    chunk_size: Annotated[int, Meta(ge=1)] | Literal["all"] = 50_000
    balance: Decimal = Decimal(10_000)
    leverage: Annotated[float, Meta(ge=1, le=200)] = 10.0
    fees: FeeSettings = FeeSettings()
    fills: FillSettings = FillSettings()
    funding: FundingSettings = FundingSettings()
    bar_feed: Literal["columns", "events"] = "columns"
    runs: str = "var/runs"
    charts: Annotated[int, Meta(ge=0, le=500)] = 60
    telemetry: bool = True
    limits: LimitSettings = NO_LIMITS

    def __post_init__(self) -> None:
        if not self.balance.is_finite() or not MIN_BALANCE <= self.balance <= MAX_BALANCE:
            raise ValueError(f"balance {self.balance} must be between {MIN_BALANCE} and {MAX_BALANCE:,}")
        if self.balance % BALANCE_STEP:
            raise ValueError(f"balance {self.balance} has more than 8 decimals")


class JournalSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the journal is kept (docs/journal.md).

    Parameters
    ----------
    backtests
        Journal backtests too; paper and live are always journaled, sweeps never.
    url
        Database: ``sqlite:///FILE`` or ``postgresql://user@host/name``. A password belongs into the
        environment: ``SMCBOT_JOURNAL_URL`` replaces this setting.
    spool
        Folder in which records wait for the database.
    """

    backtests: bool = True
    url: str = "sqlite:///var/journal.sqlite"
    spool: str = "var/spool"

    def __post_init__(self) -> None:
        if url_secrets(self.url):
            raise ValueError(
                "url holds a password, or the name of a file with one: put the whole URL into the "
                "environment variable SMCBOT_JOURNAL_URL"
            )


class HostSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the venues' public data is: base addresses, so that mirrors and local servers work.

    Parameters
    ----------
    binance_archive
        Binance's archive of daily and monthly files.
    binance_archive_listing
        The listing of that archive (S3 XML, version 1).
    binance_spot
        REST interface of Binance spot.
    binance_usdm
        REST interface of Binance USD-M futures.
    bybit_archive
        Bybit's archive of trades.
    bybit
        REST interface of Bybit, version 5.
    """

    binance_archive: str = "https://data.binance.vision"
    binance_archive_listing: str = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
    binance_spot: str = "https://api.binance.com"
    binance_usdm: str = "https://fapi.binance.com"
    bybit_archive: str = "https://public.bybit.com"
    bybit: str = "https://api.bybit.com"

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            address = getattr(self, name)
            if not HOST_ADDRESS.fullmatch(address):
                raise ValueError(
                    f"{name} {address!r} is no base address: expected http(s)://host[:port][/path] "
                    "without a slash at the end"
                )


class DownloadSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``download_data.py`` fetches: how much at once, how patiently, how politely.

    Parameters
    ----------
    workers
        Processes that parse and write.
    connections
        Requests under way at a time, over all hosts.
    timeout_secs
        Longest time without a byte from a host before the request counts as failed.
    retries
        Further attempts after a failed one: server error, reset, timeout, truncated answer, 429.
    backoff_secs
        Pause before the first further attempt; it doubles each time, with up to 50 % of jitter.
    backoff_max_secs
        Longest of these pauses.
    max_wait_secs
        Longest wait that a host may ask for (Retry-After, spent budget); beyond it the command fails.
    budget_ratio
        Share of a venue's request limit that is used; the rest is left to a live node at the same address.
    keep_archives
        Keep the downloaded archive files beside the catalog after they were imported.
    """

    workers: Annotated[int, Meta(ge=1, le=256)] = 2
    connections: Annotated[int, Meta(ge=1, le=64)] = 8
    timeout_secs: Annotated[float, Meta(gt=0, le=600)] = 30.0
    retries: Annotated[int, Meta(ge=0, le=20)] = 5
    backoff_secs: Annotated[float, Meta(ge=0, le=60)] = 0.5
    backoff_max_secs: Annotated[float, Meta(ge=0, le=600)] = 30.0
    max_wait_secs: Annotated[float, Meta(ge=0, le=3600)] = 120.0
    budget_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    keep_archives: bool = False


class StrategySettings(Struct, frozen=True, kw_only=True):
    """One entry of `strategies`: which strategy, on what, with which parameters.

    In the file the parameters stand flat beside `strategy`, `instruments`, `symbols` and `categories`.

    Parameters
    ----------
    strategy
        Name as listed by ``backtest_node.py strategies``.
    instruments
        Nautilus instrument ids; empty means every instrument of the catalog that has trades.
    symbols
        Instrument id -> parameters that replace the entry's for that instrument; ``category`` names one
        of `categories`.
    categories
        Category -> parameters that replace the entry's for its instruments, below those of `symbols`.
    parameters
        Field name of the strategy's config -> value.
    """

    strategy: str
    instruments: tuple[str, ...] = ()
    symbols: dict[str, Parameters] = {}
    categories: dict[str, Parameters] = {}
    parameters: Parameters = {}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything `config.yaml` may say.

    Parameters
    ----------
    catalog
        Folder of the Nautilus ParquetDataCatalog.
    hosts
        Base addresses of the venues' public data.
    download
        How archives and REST data are fetched.
    backtest
        Account, fills and report of a backtest.
    training
        How ``python -m ml train`` trains and judges a model.
    universe
        Which coins of a run may be entered on which day.
    notifications
        Who hears of what; the channels' addresses are secrets and come from the environment.
    journal
        Where the journal is kept.
    live
        Accounts and state of paper and live nodes.
    strategies
        Strategies with their parameters; the first one runs unless ``--strategy`` names another.
    """

    catalog: str = "var/catalog"
    hosts: HostSettings = HostSettings()
    download: DownloadSettings = DownloadSettings()
    backtest: BacktestSettings = BacktestSettings()
    training: TrainSettings = TrainSettings()
    universe: UniverseSettings = UniverseSettings()
    notifications: NotifySettings = NotifySettings()
    journal: JournalSettings = JournalSettings()
    live: LiveSettings = LiveSettings()
    strategies: tuple[StrategySettings, ...] = (StrategySettings(strategy="ote"),)

    def strategy(self, name: str | None) -> tuple[StrategySettings, str]:
        """Return the entry of that name (None: the first) and its path in the file.

        A name without an entry is a strategy with default parameters.
        """
        for index, entry in enumerate(self.strategies):
            if name is None or entry.strategy == name:
                return entry, f"$.strategies[{index}]"
        return StrategySettings(strategy=name or "ote"), "$.strategies"


def load_settings(path: Path | str | None = None) -> Settings:
    """Read the settings file.

    Parameters
    ----------
    path
        The file; None reads `config.yaml` of the working directory, or gives the defaults without one.

    Raises
    ------
    ConfigurationError
        When the file is missing, not YAML, or has an unknown key, a wrong type or an impossible combination.
    """
    file = DEFAULT_PATH if path is None else Path(path)
    if path is None and not file.exists():
        return Settings()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file}: no such settings file; copy config.example.yaml to start one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read as UTF-8 text: {error}") from error
    return parse_settings(text, str(file))


def parse_settings(text: str, source: str = "config.yaml") -> Settings:
    """Convert YAML text to settings; `source` names the text in errors (ConfigurationError).

    Errors name the path of the value and its line; what looks like a key is refused before its value could be
    told.
    """
    try:
        return _parsed(text, source)
    except ConfigurationError as error:
        raise ConfigurationError(with_line(str(error), text)) from error


def _parsed(text: str, source: str) -> Settings:
    content = load_yaml(text, source)
    if content is None:
        return Settings()
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{source}: expected settings like `catalog: var/catalog`, got {content!r} - at $"
        )
    refuse_keys_in(content, source)
    content = dict(content)
    if "strategies" in content:
        content["strategies"] = _strategy_entries(content["strategies"], source)
    _refuse_unknown(Settings, content, "$", source)
    return _convert(content, source)


def as_plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as the mapping that the file would hold, strategies flat, decimals as text."""
    plain: dict[str, Any] = msgspec.to_builtins(settings)
    plain["strategies"] = [
        {
            "strategy": entry.strategy,
            "instruments": list(entry.instruments),
            "symbols": msgspec.to_builtins(entry.symbols),
            "categories": msgspec.to_builtins(entry.categories),
            **msgspec.to_builtins(entry.parameters),
        }
        for entry in settings.strategies
    ]
    return plain


def settings_hash(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of settings in canonical JSON (keys sorted)."""
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def _strategy_entries(raw: Any, source: str) -> list[Any]:
    """Give flat strategy entries the shape of :class:`StrategySettings`."""
    if not isinstance(raw, list):
        raise ConfigurationError(f"{source}: expected a list of strategies - at $.strategies")
    entries = []
    for index, item in enumerate(raw):
        path = f"$.strategies[{index}]"
        if not isinstance(item, dict) or "strategy" not in item:
            raise ConfigurationError(f"{source}: each strategy needs a name, `strategy: ote` - at {path}")
        own = {key: item[key] for key in STRATEGY_KEYS if key in item}
        own["categories"] = _categories(own.get("categories"), path, source)
        symbols = own.get("symbols") or {}
        if not isinstance(symbols, dict) or not all(isinstance(value, dict) for value in symbols.values()):
            raise ConfigurationError(
                f"{source}: expected instrument ids with parameters, "
                f"`XRPUSDT.BINANCE: {{bucket_usd: 5000}}` - at {path}.symbols"
            )
        own["symbols"] = symbols
        _require_described(own["categories"], symbols, path, source)
        own["instruments"] = own.get("instruments") or []
        own["parameters"] = {key: value for key, value in item.items() if key not in STRATEGY_KEYS}
        entries.append(own)
    return entries


def _categories(raw: Any, path: str, source: str) -> dict[str, Any]:
    if raw is None:
        return {}
    if not isinstance(raw, dict) or not all(isinstance(value, dict) for value in raw.values()):
        raise ConfigurationError(
            f"{source}: expected categories with parameters, `meme: {{min_confidence: 95}}` - at "
            f"{path}.categories"
        )
    return raw


def _require_described(
    categories: Mapping[str, Any], symbols: Mapping[str, Mapping[str, Any]], path: str, source: str
) -> None:
    """Refuse a category of a symbol that `categories`, where there is one, does not have."""
    for name, own in symbols.items():
        category = own.get(CATEGORY)
        if categories and category is not None and category not in categories:
            known = ", ".join(categories)
            hint = did_you_mean(str(category), list(categories)) or f"; described are: {known}"
            raise ConfigurationError(
                f"{source}: unknown category {path}.symbols.{name}.{CATEGORY}: {category}{hint}"
            )


def _refuse_unknown(struct: type[Any], content: Mapping[str, Any], path: str, source: str) -> None:
    """Refuse the first unknown key below `path`, with a suggestion: msgspec names neither."""
    hints = get_type_hints(struct)
    for key, value in content.items():
        if key not in hints:
            hint = did_you_mean(key, list(hints)) or f"; known: {', '.join(sorted(hints))}"
            raise ConfigurationError(f"{source}: unknown setting {path}.{key}{hint}")
        inner = _struct_of(hints[key])
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(inner, value, f"{path}.{key}", source)
        elif inner is not None and isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, dict):
                    _refuse_unknown(inner, one, f"{path}.{key}[{index}]", source)


def _struct_of(annotation: Any) -> type[Any] | None:
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((found for arg in get_args(annotation) if (found := _struct_of(arg))), None)
    return None


def _convert(content: Mapping[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(content, Settings)
    except msgspec.ValidationError as error:
        message, _, path = str(error).replace("`", "").partition(" - at ")
        words = explained(Settings, message, path)
        raise ConfigurationError(f"{source}: {words} - at {path or '$'}") from error
