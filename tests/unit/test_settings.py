"""The settings file: what is accepted, what is refused, and in which words."""

import json
import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import yaml

from runtime.errors import ConfigurationError
from runtime.live.settings import STRUCTS as LIVE_STRUCTS
from runtime.live.settings import LiveSettings
from runtime.run_plan import describe_strategies
from runtime.settings import (
    BacktestSettings,
    DownloadSettings,
    FeeSettings,
    FillSettings,
    HostSettings,
    Settings,
    StrategySettings,
    as_plain,
    load_settings,
    parse_settings,
    settings_hash,
)
from runtime.settings_schema import settings_schema
from runtime.strategy_parameters import check_parameters, merged_parameters
from strategies.registry import documented_parameters

ROOT = Path(__file__).resolve().parents[2]


class ToyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A strategy's config without Nautilus."""

    instrument_id: str
    bucket_usd: Decimal = Decimal(100_000)
    structure: str = "external"
    min_reward_risk: float = 1.0
    trade_from_ns: int = 0

    def __post_init__(self) -> None:
        if self.min_reward_risk <= 0:
            raise ValueError(f"min_reward_risk ({self.min_reward_risk}) must be above 0")

    @classmethod
    def parse(cls, raw: bytes) -> "ToyConfig":
        """Decode, as Nautilus' configs do."""
        return msgspec.json.decode(raw, type=cls)


def build(text: str, instrument_id: str = "XRPUSDT.BINANCE", **command_line: str) -> ToyConfig:
    """Parse settings and build the toy strategy's config from them."""
    entry, path = parse_settings(text).strategy(None)
    merged = merged_parameters(entry, instrument_id, command_line)
    config = check_parameters(ToyConfig, merged, instrument_id, path, "config.yaml")
    assert isinstance(config, ToyConfig)
    return config


REFUSED = {
    "unknown key at the top": ("katalog: x", "config.yaml: unknown setting $.katalog, did you mean catalog?"),
    "unknown key inside": (
        "backtest: {fills: {latency: 5}}",
        "config.yaml: unknown setting $.backtest.fills.latency, did you mean latency_ms?",
    ),
    "unknown key unlike any": (
        "zzz: 1",
        "unknown setting $.zzz; known: backtest, catalog, download, hosts, journal, live, notifications",
    ),
    "wrong type": ("backtest: {charts: many}", "Expected int, got str - at $.backtest.charts"),
    "out of range": ("backtest: {chunk_size: 0}", "Expected int >= 1 - at $.backtest.chunk_size"),
    "fee in percent": ("backtest: {fees: {maker: 10}}", "maker 10 is a share of the notional between"),
    "a host without its scheme": (
        "hosts: {bybit: api.bybit.com}",
        "bybit 'api.bybit.com' is no base address: expected http(s)://host[:port][/path]",
    ),
    "a host with a slash at its end": ("hosts: {bybit: 'http://localhost/'}", "without a slash at the end"),
    "more than a venue's limit": (
        "download: {budget_ratio: 2}",
        "Expected float <= 1.0 - at $.download.budget_ratio",
    ),
    "two kinds of slippage": (
        "backtest: {fills: {slippage_ticks: 1, slippage_bps: 1}}",
        "both set: choose one - at $.backtest.fills",
    ),
    "no money": (
        "backtest: {balance: 0}",
        "balance 0 must be between 0.01 and 1,000,000,000,000 - at $.backtest",
    ),
    "a key twice": ("catalog: a\ncatalog: b", "catalog is set twice - at line 2, column 1"),
    "broken YAML": ("catalog: [a", "config.yaml: "),
    "a list": ("- a", "expected settings like"),
    "strategies as a word": ("strategies: ote", "expected a list of strategies - at $.strategies"),
    "a strategy without a name": ("strategies: [{bucket_usd: 1}]", "needs a name"),
    "overrides of the wrong shape": (
        "strategies: [{strategy: ote, symbols: {X: 1}}]",
        "expected instrument ids with parameters",
    ),
    "not a number key": ("1: 2", "key 1 is not text"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_setting_is_refused_with_its_path(text: str, message: str) -> None:
    """Each mistake raises ConfigurationError that says what, where and how to fix."""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(text)
    assert message in str(caught.value)


def test_empty_file_means_defaults() -> None:
    """An empty file, and a missing config.yaml, are the defaults."""
    assert parse_settings("") == Settings()


def test_missing_file_is_the_default_only_when_nobody_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --config an absent config.yaml is fine; a named one must exist."""
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()
    with pytest.raises(ConfigurationError, match="no such settings file"):
        load_settings("other.yaml")


def test_numbers_keep_every_digit() -> None:
    """Fees and balances arrive as the decimals that were written."""
    settings = parse_settings("backtest: {balance: 1234.56789012, fees: {maker: 0.00075, taker: 1e-3}}")
    assert settings.backtest.balance == Decimal("1234.56789012")
    assert settings.backtest.fees == FeeSettings(maker=Decimal("0.00075"), taker=Decimal("0.001"))


def test_hosts_may_be_local_and_have_a_path() -> None:
    """A mirror below a path and a server on loopback are addresses."""
    text = "hosts: {binance_spot: 'http://127.0.0.1:8080', binance_archive: 'https://mirror.example/binance'}"
    hosts = parse_settings(text).hosts
    assert (hosts.binance_spot, hosts.binance_archive) == (
        "http://127.0.0.1:8080",
        "https://mirror.example/binance",
    )
    assert hosts.bybit == HostSettings().bybit


def test_dates_stay_text() -> None:
    """A YAML date is not turned into an object that no setting expects."""
    assert parse_settings("catalog: 2026-03-18").catalog == "2026-03-18"


def test_parameters_merge_from_general_to_particular() -> None:
    """Default < entry < symbol < command line, each for its own instrument."""
    text = """
strategies:
  - strategy: toy
    bucket_usd: 50000
    min_reward_risk: 2
    symbols:
      XRPUSDT.BINANCE: {bucket_usd: 10000}
"""
    assert build(text).bucket_usd == Decimal(10_000)
    assert build(text, "ETHUSDT.BINANCE").bucket_usd == Decimal(50_000)
    assert build(text, bucket_usd="5000").bucket_usd == Decimal(5_000)
    assert build(text).min_reward_risk == 2.0
    assert build(text).structure == "external"


PARAMETER_ERRORS = {
    "unknown": (
        "strategies: [{strategy: t, bucket_us: 1}]",
        {},
        "config.yaml: unknown setting $.strategies[0].bucket_us, did you mean bucket_usd?",
    ),
    "unknown for a symbol": (
        "strategies: [{strategy: t, symbols: {XRPUSDT.BINANCE: {structur: x}}}]",
        {},
        "unknown setting $.strategies[0].symbols.XRPUSDT.BINANCE.structur, did you mean structure?",
    ),
    "wrong type": (
        "strategies: [{strategy: t, structure: 5}]",
        {},
        "config.yaml: Expected str, got int - at $.strategies[0].structure",
    ),
    "impossible": (
        "strategies: [{strategy: t, min_reward_risk: -1}]",
        {},
        "config.yaml: min_reward_risk (-1.0) must be above 0 - at $.strategies[0]",
    ),
    "unknown on the command line": (
        "",
        {"bucket": "1"},
        "unknown setting --set bucket, did you mean bucket_usd?",
    ),
    "wrong type on the command line": ("", {"bucket_usd": "much"}, "at --set bucket_usd"),
    "the program's own": (
        "strategies: [{strategy: t, trade_from_ns: 5}]",
        {},
        "$.strategies[0].trade_from_ns is set by the program",
    ),
}


@pytest.mark.parametrize(("text", "given", "message"), PARAMETER_ERRORS.values(), ids=PARAMETER_ERRORS.keys())
def test_wrong_parameter_is_refused_with_its_path(text: str, given: dict[str, str], message: str) -> None:
    """A strategy's parameter is checked against its config class, wherever it was set."""
    with pytest.raises(ConfigurationError) as caught:
        build(text, **given)
    assert message in str(caught.value)


def test_strategy_without_entry_has_defaults() -> None:
    """--strategy may name one that the file does not mention."""
    entry, _path = Settings().strategy("confluence")
    assert entry == StrategySettings(strategy="confluence")


def test_settings_survive_the_file() -> None:
    """What a run stores can be read back as the settings it had."""
    text = """
catalog: here
backtest: {balance: 123.45, chunk_size: all, fills: {slippage_bps: 1.5}}
strategies:
  - {strategy: ote, instruments: [XRPUSDT.BINANCE], bucket_usd: 5000, symbols: {XRPUSDT.BINANCE: {a: 1}}}
"""
    settings = parse_settings(text)
    assert parse_settings(yaml.safe_dump(as_plain(settings))) == settings


def test_hash_depends_on_values_not_on_their_order() -> None:
    """Equal settings have equal hashes."""
    assert (
        settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1}) != settings_hash({"a": 1, "b": 3})
    )


NESTED = (HostSettings, DownloadSettings, BacktestSettings, FeeSettings, FillSettings, LiveSettings)


@pytest.mark.parametrize("struct", [Settings, *dict.fromkeys((*NESTED, *LIVE_STRUCTS)), StrategySettings])
def test_every_setting_is_documented(struct: type[msgspec.Struct]) -> None:
    """The docstring's Parameters section has a text for each field and for nothing else."""
    documented = documented_parameters(struct.__doc__ or "")
    assert set(documented) == set(struct.__struct_fields__)
    assert all(documented.values())


def test_example_holds_every_setting_with_its_default() -> None:
    """config.example.yaml is complete, and it means exactly the defaults."""
    text = (ROOT / "config.example.yaml").read_text()
    assert parse_settings(text) == Settings()
    for struct in NESTED:
        for name in struct.__struct_fields__:
            assert re.search(rf"^\s+{name}:", text, re.MULTILINE), name


def test_own_config_is_valid() -> None:
    """The config.yaml of the repository can be read."""
    assert load_settings(ROOT / "config.yaml").strategies[0].strategy == "ote"


def test_schema_for_editors_is_current_and_agrees_with_the_program() -> None:
    """docs/config.schema.json is what the code makes, and knows every setting and parameter."""
    schema = settings_schema(describe_strategies())
    stored = json.loads((ROOT / "docs" / "config.schema.json").read_text())
    assert stored == json.loads(json.dumps(schema)), (
        "run: python -m runtime.settings_schema > docs/config.schema.json"
    )
    definitions = schema["$defs"]
    for struct in (Settings, *NESTED):
        assert set(definitions[struct.__name__]["properties"]) == set(struct.__struct_fields__)
        assert definitions[struct.__name__]["additionalProperties"] is False
    (ote,) = (
        one["then"]
        for one in definitions["StrategySettings"]["allOf"]
        if one["if"]["properties"]["strategy"]["const"] == "ote"
    )
    assert "bucket_usd" in ote["properties"]
    assert "instrument_id" not in ote["properties"]
