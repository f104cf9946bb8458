"""Settings of single coins: strategy, then category, then coin, then the command line."""

from typing import Any

import msgspec
import pytest

from runtime.coin_settings import unmatched_settings
from runtime.errors import ConfigurationError
from runtime.node_config import strategy_configs
from runtime.settings import parse_settings
from runtime.strategy_parameters import merged_parameters
from strategies.registry import discover

BTC, DOGE, PEPE, XRP = (f"{coin}USDT.BINANCE" for coin in ("BTC", "DOGE", "PEPE", "XRP"))
TEXT = """
strategies:
  - strategy: confluence
    min_confidence: 90
    stop_atr: 1.5
    categories:
      large: {}
      meme: {min_confidence: 95, max_leverage: 3, time_exit_mins: 30}
    symbols:
      BTCUSDT.BINANCE: {category: large, stop_atr: 1}
      DOGEUSDT.BINANCE: {category: meme}
      PEPEUSDT.BINANCE: {category: meme, max_leverage: 2}
"""


def coins(
    text: str = TEXT, known: dict[str, str] | None = None, names: tuple[str, ...] = (), **line: str
) -> dict[str, Any]:
    """Return what holds for the coins that have settings of their own."""
    (entry,) = parse_settings(text).strategies
    (config,) = strategy_configs(
        discover()["confluence"], entry, names or (BTC, DOGE, PEPE, XRP), command_line=line, categories=known
    )
    found: dict[str, Any] = config.config["coins"]
    return found


# Coin, setting, and its value: without the command line, and with max_leverage=8 and min_confidence=80 there.
PRECEDENCE = [
    (BTC, "min_confidence", 90, 80),  # of the strategy
    (BTC, "stop_atr", 1, 1),  # its own
    (BTC, "max_leverage", 10, 8),  # the default
    (BTC, "category", "large", "large"),
    (DOGE, "min_confidence", 95, 80),  # of the category
    (DOGE, "max_leverage", 3, 8),
    (DOGE, "time_exit_mins", 30, 30),
    (DOGE, "stop_atr", 1.5, 1.5),
    (PEPE, "max_leverage", 2, 8),  # its own over the category's
    (PEPE, "min_confidence", 95, 80),
]


def test_the_particular_wins_over_the_general() -> None:
    """Default < strategy < category < coin < command line; every rule is written out for the run."""
    plain, typed = coins(), coins(max_leverage="8", min_confidence="80")
    for name, setting, expected, with_line in PRECEDENCE:
        assert (plain[name][setting], typed[name][setting]) == (expected, with_line), (name, setting)
    assert set(plain) == {BTC, DOGE, PEPE}, "a coin without anything of its own has the strategy's"
    assert None not in (plain[DOGE]["min_turnover"], plain[DOGE]["mtf_secs"])


def test_a_category_that_is_known_otherwise_counts_where_the_settings_are_silent() -> None:
    """What the universe knows of a coin; its entry in `symbols` wins."""
    found = coins(known={XRP: "meme", BTC: "meme"})
    assert (found[XRP]["category"], found[XRP]["max_leverage"]) == ("meme", 3)
    assert (found[BTC]["category"], found[BTC]["max_leverage"]) == ("large", 10)


def test_strategies_for_one_instrument_have_categories_too() -> None:
    """The same order; the category itself is no parameter."""
    (entry,) = parse_settings(
        "strategies: [{strategy: ote, bucket_usd: 1, categories: {small: {bucket_usd: 2, side: long}},"
        " symbols: {A: {category: small, side: short}}}]"
    ).strategies
    assert merged_parameters(entry, "A", {}) == {
        "bucket_usd": (2, "categories.small"),
        "side": ("short", "symbols"),
    }
    assert merged_parameters(entry, "B", {}) == {"bucket_usd": (1, "entry")}
    assert merged_parameters(entry, "A", {"bucket_usd": "3"})["bucket_usd"] == (3, "command line")


ERRORS = {
    "unknown setting of a category": (
        "categories: {meme: {min_confidance: 95}}",
        "config.yaml: unknown setting $.strategies[0].categories.meme.min_confidance, did you mean min_conf",
    ),
    "unknown setting of a coin": (
        "symbols: {BTCUSDT.BINANCE: {min_confidance: 95}}",
        "unknown setting $.strategies[0].symbols.BTCUSDT.BINANCE.min_confidance, did you mean min_conf",
    ),
    "wrong type in a category": (
        "categories: {meme: {max_leverage: much}}",
        "Expected int | null, got str - at $.strategies[0].categories.meme.max_leverage",
    ),
    "category that is not described": (
        "categories: {meme: {}}, symbols: {DOGEUSDT.BINANCE: {category: mene}}",
        "unknown category $.strategies[0].symbols.DOGEUSDT.BINANCE.category: mene, did you mean meme?",
    ),
    "no mapping": (
        "categories: [meme]",
        "expected categories with parameters, `meme: {min_confidence: 95}` - at $.strategies[0].categories",
    ),
    "out of range": (
        "categories: {meme: {min_confidence: 950}}, symbols: {DOGEUSDT.BINANCE: {category: meme}}",
        "min_confidence (950.0) must be between 0 and 100",
    ),
}


@pytest.mark.parametrize(("text", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_mistakes_are_named_with_their_path(text: str, message: str) -> None:
    """Where it stands, what is wrong, and what was meant."""
    with pytest.raises(ConfigurationError) as caught:
        coins(f"strategies: [{{strategy: confluence, {text}}}]")
    assert message in str(caught.value)


def test_plain_on_and_off_of_yaml_are_modes() -> None:
    """YAML reads them as true and false."""
    modes = {one: parse_settings(f"universe: {{mode: {one}}}").universe.mode for one in ("on", "off", "auto")}
    assert modes == {"on": "on", "off": "off", "auto": "auto"}
    assert msgspec.to_builtins(parse_settings("universe: {mode: off}").universe)["mode"] == "off"
    with pytest.raises(ConfigurationError, match=r"unknown setting \$\.universe\.min_turnovr, did you mean"):
        parse_settings("universe: {min_turnovr: 5}")


WORDS = [
    ("rules", "off", "off"),
    ("correlation_sides", "off", "off"),
    ("correlation_sides", "no", "off"),
    ("correlation_sides", "any", "any"),
]


@pytest.mark.parametrize(("name", "typed", "meant"), WORDS)
def test_words_that_yaml_takes_for_booleans_are_words(name: str, typed: str, meant: str) -> None:
    """In the file and on the command line, where the setting is one of several words."""
    cases: list[tuple[str, dict[str, str]]] = [(f"{name}: {typed}", {}), ("", {name: typed})]
    for text, line in cases:
        (entry,) = parse_settings(f"strategies: [{{strategy: confluence, {text}}}]").strategies
        (config,) = strategy_configs(discover()["confluence"], entry, (BTC,), command_line=line)
        assert config.config[name] == meant


BLAMED = [
    ({"correlation_sides": "on"}, "Invalid enum value 'on' - at --set correlation_sides"),
    ({"min_confidence": "950"}, "min_confidence (950.0) must be between 0 and 100 - at --set min_confidence"),
    ({"correlation_min_bars": "1"}, "- at --set correlation_min_bars"),
    ({"max_drawdown_pct": "200"}, "- at --set max_drawdown_pct"),
    (
        {"context_instrument_id": "ETHUSDT.BINANCE"},
        "context_instrument_id (ETHUSDT.BINANCE) is not among the instruments of the run: ",
    ),
]


@pytest.mark.parametrize(("line", "message"), BLAMED)
def test_a_wrong_value_of_the_command_line_is_blamed_on_it(line: dict[str, str], message: str) -> None:
    """Not on the file, which is right."""
    (entry,) = parse_settings("strategies: [{strategy: confluence, stop_atr: 2}]").strategies
    with pytest.raises(ConfigurationError) as caught:
        strategy_configs(discover()["confluence"], entry, (BTC,), command_line=line)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"- at --set {next(iter(line))}")
    assert "config.yaml" not in str(caught.value)


def test_settings_that_no_coin_takes_are_named() -> None:
    """A coin that is not in the run, and a category that no coin has, with what may have been meant."""
    (entry,) = parse_settings(TEXT.replace("DOGEUSDT.BINANCE: {", "DOGEUSD.BINANCE: {")).strategies
    assert unmatched_settings(entry, (BTC, DOGE, PEPE)) == [
        f"symbols.DOGEUSD.BINANCE: this instrument is not in the run, did you mean {DOGE}?"
    ]
    (entry,) = parse_settings(
        "strategies: [{strategy: confluence, categories: {leverage: {}, other: {}, stable: {}},"
        f" symbols: {{{XRP}: {{stop_atr: 1}}}}}}]"
    ).strategies
    assert unmatched_settings(entry, (BTC,), known=(XRP,), categories=("stable", "leveraged")) == [
        "categories.leverage: no instrument has this category, did you mean leveraged?",
        "categories.other: no instrument has this category; its settings have no effect",
    ]
    assert unmatched_settings(entry, (BTC,))[0].startswith(
        f"symbols.{XRP}: this instrument is not in the run"
    )
