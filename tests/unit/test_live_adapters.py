"""The adapters of a node: their own addresses unless a setting says otherwise."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from nautilus_trader.adapters.binance.common.enums import BinanceAccountType, BinanceEnvironment
from nautilus_trader.adapters.bybit.factories import BybitLiveDataClientFactory
from nautilus_trader.core.nautilus_pyo3 import BybitEnvironment, BybitProductType
from nautilus_trader.model.identifiers import InstrumentId

from runtime.errors import ConfigurationError
from runtime.live.adapters import data_config, exec_config, exec_factory
from runtime.live.addresses import adapter_addresses, addresses_of
from runtime.live.binance_spot import SpotExecClientFactory
from runtime.live.binance_usdm import UsdmExecClientFactory
from runtime.live.bybit import bybit_data_factory
from runtime.live.bybit_execution import RepairedBybitFactory
from runtime.live.keys import Keys, keys_of, require_keys
from runtime.live.node import cache_config, generate_missing_per_venue, node_config
from runtime.live.plan import plan_live
from runtime.live.settings import LiveSettings, LiveVenue, VenueHosts
from runtime.settings import parse_settings

KEYS = Keys(key="k" * 64, secret="s" * 64)
KINDS = {
    "binance spot": (LiveVenue(venue="binance", market="spot"), "XRPUSDT.BINANCE"),
    "binance usdm": (LiveVenue(venue="binance", market="usdm"), "XRPUSDT-PERP.BINANCE"),
    "bybit spot": (LiveVenue(venue="bybit", market="spot"), "XRPUSDT-SPOT.BYBIT"),
    "bybit linear": (LiveVenue(venue="bybit", market="linear"), "XRPUSDT-LINEAR.BYBIT"),
}
# The vendors' documents: "General API information", "WebSocket Streams", "Connect".
REAL = {
    "binance spot": ("https://api.binance.com", "wss://stream.binance.com:9443"),
    "binance usdm": ("https://fapi.binance.com", "wss://fstream.binance.com/market"),
    "bybit spot": ("https://api.bybit.com", "wss://stream.bybit.com/v5/public/spot"),
    "bybit linear": ("https://api.bybit.com", "wss://stream.bybit.com/v5/public/linear"),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_without_a_setting_every_address_is_the_adapters_own(kind: str) -> None:
    """Nothing is passed to the adapter, and what it resolves by itself is the real venue."""
    venue, name = KINDS[kind]
    for config in (data_config(venue, [name], None), exec_config(venue, [name], KEYS)):
        given = {field: getattr(config, field) for field in config.__struct_fields__ if "url" in field}
        assert given
        assert set(given.values()) == {None}
    assert addresses_of(venue) == adapter_addresses(venue)
    assert (addresses_of(venue).http, addresses_of(venue).ws) == REAL[kind]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_only_wanted_instruments_are_loaded(kind: str) -> None:
    """An exchange has thousands; a node loads the ones that it trades."""
    venue, name = KINDS[kind]
    for config in (data_config(venue, [name], None), exec_config(venue, [name], KEYS)):
        assert config.instrument_provider.load_ids == frozenset({InstrumentId.from_str(name)})
        assert config.instrument_provider.load_all is False


def test_each_market_is_asked_for_by_its_adapters_word() -> None:
    """Account type at Binance, product type at Bybit, and the environment of the settings."""
    spot, usdm = (data_config(*_of(kind), None) for kind in ("binance spot", "binance usdm"))
    assert spot.account_type is BinanceAccountType.SPOT
    assert usdm.account_type is BinanceAccountType.USDT_FUTURES
    assert usdm.use_agg_trade_ticks
    linear = exec_config(*_of("bybit linear"), KEYS)
    assert linear.product_types == (BybitProductType.LINEAR,)
    demo = LiveVenue(venue="bybit", market="spot", environment="demo")
    assert data_config(demo, [], None).environment == BybitEnvironment.DEMO
    testnet = LiveVenue(venue="binance", market="spot", environment="testnet")
    assert data_config(testnet, [], None).environment is BinanceEnvironment.TESTNET


def test_hosts_of_a_local_exchange_reach_the_fields_that_carry_them() -> None:
    """Spot's events come by the WebSocket interface, those of futures by a stream, Bybit's by two of them."""
    hosts = VenueHosts(http="http://h:1", ws="ws://h:1/p", ws_user="ws://h:1/u")
    spot = exec_config(LiveVenue(venue="binance", market="spot", hosts=hosts), [], KEYS)
    assert (spot.base_url_http, spot.base_url_ws, spot.base_url_ws_stream) == (
        "http://h:1",
        "ws://h:1/u",
        None,
    )
    usdm = exec_config(LiveVenue(venue="binance", market="usdm", hosts=hosts), [], KEYS)
    assert (usdm.base_url_ws, usdm.base_url_ws_stream) == (None, "ws://h:1/u")
    both = VenueHosts(http="http://h:1", ws="ws://h:1/b", ws_user="ws://h:1/u", ws_orders="ws://h:1/o")
    bybit = LiveVenue(venue="bybit", market="linear", hosts=both)
    config = exec_config(bybit, [], KEYS)
    assert (config.base_url_ws_private, config.base_url_ws_trade) == ("ws://h:1/u", "ws://h:1/o")
    assert addresses_of(bybit).ws == "ws://h:1/b/v5/public/linear"


def test_leverage_is_set_for_each_contract_and_only_if_wanted() -> None:
    """Null leaves what the account has."""
    usdm = LiveVenue(venue="binance", market="usdm", leverage=3)
    assert exec_config(usdm, ["XRPUSDT-PERP.BINANCE"], KEYS).futures_leverages == {"XRPUSDT": 3}
    linear = LiveVenue(venue="bybit", market="linear", leverage=3)
    assert exec_config(linear, ["XRPUSDT-LINEAR.BYBIT"], KEYS).futures_leverages == {"XRPUSDT-LINEAR": 3}
    assert exec_config(*_of("bybit linear"), KEYS).futures_leverages is None


def test_nobody_repays_a_debt_with_the_coins_of_a_position() -> None:
    """Bybit's adapter would after every purchase, and ask about it during a ban as well."""
    assert exec_config(*_of("bybit spot"), KEYS).auto_repay_spot_borrows is False


def test_adapters_are_nautilus_own_but_for_two_documented_subclasses() -> None:
    """USD-M has a repaired reconciliation, Bybit's data another address where one is set."""
    assert exec_factory(KINDS["bybit linear"][0]) is RepairedBybitFactory
    assert exec_factory(KINDS["binance spot"][0]) is SpotExecClientFactory
    assert exec_factory(KINDS["binance usdm"][0]) is UsdmExecClientFactory
    assert bybit_data_factory(None) is BybitLiveDataClientFactory
    assert issubclass(bybit_data_factory("ws://127.0.0.1:1/v5/public/spot"), BybitLiveDataClientFactory)


def test_keys_come_from_the_environment_by_market_and_environment() -> None:
    """USD-M takes its own keys before those of Binance; testnet keys are never those for money."""
    usdm = LiveVenue(venue="binance", market="usdm")
    general = {"BINANCE_API_KEY": "a", "BINANCE_API_SECRET": "b"}
    own = {"BINANCE_USDM_API_KEY": "c", "BINANCE_USDM_API_SECRET": "d"}
    assert keys_of(usdm, general) == Keys(key="a", secret="b")
    assert keys_of(usdm, general | own) == Keys(key="c", secret="d")
    testnet = LiveVenue(venue="binance", market="spot", environment="testnet")
    assert keys_of(testnet, general) is None
    with pytest.raises(ConfigurationError, match="BINANCE_TESTNET_API_KEY and BINANCE_TESTNET_API_SECRET"):
        require_keys(testnet, general)
    with pytest.raises(ConfigurationError, match="BINANCE_API_SECRET is not set"):
        keys_of(usdm, {"BINANCE_API_KEY": "a"})
    assert "a" not in repr(keys_of(usdm, general)).removeprefix("Keys")


LIVE = """
live:
  venues:
    - {venue: binance, market: spot, name: BINANCE_SPOT}
    - {venue: binance, market: usdm, name: BINANCE_FUTURES}
strategies:
  - strategy: ote
    instruments: [XRPUSDT.BINANCE_SPOT, XRPUSDT-PERP.BINANCE_FUTURES]
"""


def test_a_live_node_reconciles_and_a_paper_node_shows_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys reach the adapters of a live node alone; both ask their venue what it has."""
    monkeypatch.setenv("BINANCE_API_KEY", KEYS.key)
    monkeypatch.setenv("BINANCE_API_SECRET", KEYS.secret)
    settings = parse_settings(LIVE)
    paper, live = (node_config(plan_live(settings, mode), tmp_path) for mode in ("paper", "live"))
    assert {one.api_key for one in paper.data_clients.values()} == {None}
    assert {one.api_key for one in live.exec_clients.values()} == {KEYS.key}
    assert set(live.data_clients) == set(live.exec_clients) == {"BINANCE_SPOT", "BINANCE_FUTURES"}
    assert paper.exec_engine.reconciliation
    assert live.exec_engine.reconciliation
    assert live.exec_engine.generate_missing_orders
    assert live.cache.database is None
    spot = plan_live(parse_settings(_only_spot()), "live")
    assert not node_config(spot, tmp_path).exec_engine.generate_missing_orders


def test_a_live_node_without_keys_names_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to set."""
    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET", "BINANCE_USDM_API_KEY", "BINANCE_USDM_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="set BINANCE_API_KEY and BINANCE_API_SECRET"):
        node_config(plan_live(parse_settings(LIVE), "live"), tmp_path)


def test_redis_is_a_setting_and_its_password_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and port come from the file, the password from the environment."""
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2hunter2")
    database = cache_config(LiveSettings(redis="rediss://cache:6390")).database
    assert database is not None
    assert (database.host, database.port, database.ssl) == ("cache", 6390, True)
    assert database.password == "hunter2hunter2"


class _Engine:
    """The two names of Nautilus' engine that the switch per venue touches."""

    def __init__(self) -> None:
        self.generate_missing_orders = True
        self.seen: list[bool] = []

    def _reconcile_position_report(self, report: Any) -> bool:
        self.seen.append(self.generate_missing_orders)
        return report is not None


class _Report:
    def __init__(self, name: str) -> None:
        self.instrument_id = InstrumentId.from_str(name)


def test_missing_positions_are_generated_for_contracts_and_not_for_spot() -> None:
    """A node with both must adopt a futures position and must not sell what spot holds on paper."""
    engine = _Engine()
    generate_missing_per_venue(engine, plan_live(parse_settings(LIVE), "live").venues)
    for name in ("XRPUSDT.BINANCE_SPOT", "XRPUSDT-PERP.BINANCE_FUTURES", "XRPUSDT.BINANCE_SPOT"):
        assert engine._reconcile_position_report(_Report(name))
    assert engine.seen == [False, True, False]


def _of(kind: str) -> tuple[LiveVenue, list[str]]:
    venue, name = KINDS[kind]
    return venue, [name]


def _only_spot() -> str:
    content = yaml.safe_load(LIVE)
    content["strategies"][0]["instruments"] = ["XRPUSDT.BINANCE_SPOT"]
    return yaml.safe_dump(content)
