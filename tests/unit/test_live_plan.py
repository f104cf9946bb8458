"""From settings to what a node trades: who may trade what, with which claims, under which hash."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.passport import MODEL_FILE
from runtime.errors import ConfigurationError
from runtime.live.plan import effective_config, plan_live
from runtime.settings import parse_settings

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
BASE: dict[str, Any] = {
    "live": {
        "venues": [
            {"venue": "binance", "market": "spot", "name": "BINANCE_SPOT"},
            {"venue": "binance", "market": "usdm", "name": "BINANCE_FUTURES"},
            {"venue": "bybit", "market": "linear"},
        ]
    },
    "strategies": [
        {"strategy": "ote", "instruments": ["XRPUSDT.BINANCE_SPOT", "XRPUSDT-PERP.BINANCE_FUTURES"]},
        {
            "strategy": "confluence",
            "instruments": ["BTCUSDT-LINEAR.BYBIT", "ADAUSDT-LINEAR.BYBIT"],
        },
    ],
}


def plan_of(content: dict[str, Any], mode: str = "paper") -> Any:
    """Plan settings as if they were a file."""
    return plan_live(parse_settings(yaml.safe_dump(content)), mode)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the settings with one value set, by a path such as ``live.trader_id``."""
    content = copy.deepcopy(BASE)
    *folders, last = path.split(".")
    place: Any = content
    for one in folders:
        place = place[int(one)] if one.isdigit() else place.setdefault(one, {})
    place[int(last) if last.isdigit() else last] = value
    return content


def test_strategies_and_venues_share_a_node() -> None:
    """Two strategies on three accounts become three instances, each on its account."""
    plan = plan_of(BASE)
    assert plan.instruments == (
        "ADAUSDT-LINEAR.BYBIT",
        "BTCUSDT-LINEAR.BYBIT",
        "XRPUSDT-PERP.BINANCE_FUTURES",
        "XRPUSDT.BINANCE_SPOT",
    )
    assert [one.venue_name for one in plan.venues] == ["BINANCE_SPOT", "BINANCE_FUTURES", "BYBIT"]
    assert len(plan.configs) == 3
    assert plan.instruments_of(plan.venues[2]) == ("ADAUSDT-LINEAR.BYBIT", "BTCUSDT-LINEAR.BYBIT")


def test_each_instance_claims_what_its_account_holds() -> None:
    """Orders and positions that were there before the start belong to the strategy of their instrument."""
    claims = [one.config["external_order_claims"] for one in plan_of(BASE).configs]
    assert claims == [
        ["XRPUSDT-PERP.BINANCE_FUTURES"],
        ["XRPUSDT.BINANCE_SPOT"],
        ["ADAUSDT-LINEAR.BYBIT", "BTCUSDT-LINEAR.BYBIT"],
    ]


def test_strategies_are_told_what_the_wire_brings() -> None:
    """Binance aggregates the trades of futures, and a model was trained on one kind only."""
    feeds = {one.config["instrument_id"]: one.config["model_stream"] for one in plan_of(BASE).configs[:2]}
    assert feeds == {"XRPUSDT-PERP.BINANCE_FUTURES": "aggtrades", "XRPUSDT.BINANCE_SPOT": "trades"}


REFUSED = {
    "no account": ("live.venues", [], "no account to trade on"),
    "no instrument": ("strategies.0.instruments", [], "list the instruments of ote"),
    "no id": ("strategies.0.instruments", ["XRPUSDT"], "is no instrument id like XRPUSDT.BINANCE"),
    "unknown account": ("strategies.0.instruments", ["XRPUSDT.KRAKEN"], "no account is named KRAKEN"),
    "other market": (
        "strategies.0.instruments",
        ["XRPUSDT-PERP.BINANCE_SPOT"],
        "is not of binance spot, whose ids look like XRPUSDT.BINANCE_SPOT",
    ),
    "two owners": (
        "strategies.1.instruments",
        ["XRPUSDT.BINANCE_SPOT"],
        "XRPUSDT.BINANCE_SPOT is traded by ote",
    ),
    "a key in the file": ("live.trader_id", f"A-{KEY}", None),
    "a key as a value": ("strategies.0.model", KEY, "this looks like an API key"),
    "two entries of one name": (
        "live.venues",
        [{"venue": "binance", "market": "spot"}, {"venue": "binance", "market": "usdm"}],
        "two entries are named BINANCE: set name, for example BINANCE_SPOT and BINANCE_FUTURES",
    ),
    "spot and linear of Bybit": (
        "live.venues",
        [{"venue": "bybit", "market": "spot"}, {"venue": "bybit", "market": "linear"}],
        "run spot and linear as two nodes",
    ),
    "no such market": ("live.venues", [{"venue": "bybit", "market": "usdm"}], "bybit has no market usdm"),
    "leverage of spot": (
        "live.venues",
        [{"venue": "binance", "market": "spot", "leverage": 2}],
        "spot has none",
    ),
    "a name that hides the venue": (
        "live.venues",
        [{"venue": "binance", "market": "spot", "name": "MINE"}],
        "must begin with BINANCE",
    ),
    "half of Bybit's addresses": (
        "live.venues",
        [{"venue": "bybit", "market": "spot", "hosts": {"http": "http://127.0.0.1:1"}}],
        "the adapter would take it for the stream",
    ),
    "no address": (
        "live.venues",
        [{"venue": "binance", "market": "spot", "hosts": {"ws": "http://127.0.0.1:1"}}],
        "expected ws(s)://host",
    ),
    "unknown key of an account": (
        "live.venues",
        [{"venue": "binance", "market": "spot", "enviroment": "demo"}],
        "unknown setting $.live.venues[0].enviroment, did you mean environment?",
    ),
    "password for Redis": ("live.redis", "redis://u:hunter2@h:6379", "REDIS_PASSWORD"),
}


@pytest.mark.parametrize("case", [name for name, row in REFUSED.items() if row[2] is not None])
def test_what_cannot_be_traded_is_refused_with_its_place(case: str) -> None:
    """Each of these ends the command before anything is asked of a venue."""
    path, value, words = REFUSED[case]
    with pytest.raises(ConfigurationError) as refused:
        plan_of(changed(path, value))
    assert words in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_refused_key_is_not_repeated() -> None:
    """The message names the place of a key and never the key."""
    with pytest.raises(ConfigurationError) as refused:
        plan_of(changed("strategies.0.model", KEY))
    assert KEY not in str(refused.value)
    assert "$.strategies[0]" in str(refused.value)


CHANGES: dict[str, Any] = {
    "live.trader_id": "OTHER-001",
    "live.folder": "var/elsewhere",
    "live.venues.1.leverage": 3,
    "live.venues.1.environment": "testnet",
    "live.venues.0.hosts": {"http": "http://127.0.0.1:18080"},
    "live.data.stale_secs": 31,
    "journal.url": "sqlite:///var/other.sqlite",
    "strategies.0.risk_per_trade_pct": 0.5,
    "strategies.1.instruments": ["BTCUSDT-LINEAR.BYBIT"],
    "notifications.minimum": "warning",
}


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_the_hash_to_approve_changes_with_any_setting(path: str) -> None:
    """Whoever approved other settings approved nothing."""
    before, after = (effective_config(plan_of(one, "live")) for one in (BASE, changed(path, CHANGES[path])))
    assert before["config_sha256"] != after["config_sha256"]


def test_the_hash_to_approve_changes_with_the_model_in_the_folder(tmp_path: Path) -> None:
    """A model that was trained again under the same name is another one, and nobody approved it."""
    file = tmp_path / MODEL_FILE
    content = changed("strategies.0.model", str(tmp_path))

    def approved(model: bytes) -> str:
        file.write_bytes(model)
        return str(effective_config(plan_of(content, "live"))["config_sha256"])

    first = approved(b"one")
    assert approved(b"two") != first
    assert approved(b"one") == first


def test_the_hash_to_approve_depends_on_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file gives the same hash; keys are not in it; paper and live differ."""
    first = effective_config(plan_of(BASE, "live"))
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    again = effective_config(plan_of(copy.deepcopy(BASE), "live"))
    assert again == first
    assert KEY not in str(again)
    assert effective_config(plan_of(BASE))["config_sha256"] != first["config_sha256"]
