"""Settings of the OTE strategy: checked however they are made, and passed on to where they act."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nautilus_trader.model.identifiers import InstrumentId

from strategies.dynamic_cancel import KeepPolicy, load_policy
from strategies.ote_config import OteConfig, entry_rules, exit_rules, perception

XRP = InstrumentId.from_str("XRPUSDT.BINANCE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"risk_per_trade_pct": -1.0}, "risk_per_trade_pct"),
        ({"risk_per_trade_pct": float("nan")}, "risk_per_trade_pct"),
        ({"bucket_usd": 0}, "bucket_usd"),
        ({"sweet_spot": 0.9}, "sweet_spot"),
        ({"retracement_max": 0.7}, "sweet_spot .* at most retracement_max"),
        ({"structure": "fractal"}, "structure .* one of external, internal"),
        ({"target": "moon"}, "target"),
        ({"post_only_reject": "cross"}, "post_only_reject"),
        ({"cancel_policy": "nonsense"}, "cancel_policy .* module:Class"),
        ({"approach_band_pct": -0.1}, "approach_band_pct"),
        ({"trade_from_ns": -1}, "trade_from_ns"),
    ],
)
def test_wrong_values_are_refused_in_code_and_in_files(change: dict[str, Any], message: str) -> None:
    """The decoder checks only what it decodes; the constructor checks as well."""
    with pytest.raises(ValueError, match=message):
        OteConfig(instrument_id=XRP, **change)
    plain = {name: (value if value == value else "NaN") for name, value in change.items()}
    with pytest.raises((ValueError, msgspec.ValidationError)):
        OteConfig.parse(msgspec.json.encode({"instrument_id": "XRPUSDT.BINANCE", **plain}))


def test_a_config_survives_the_way_through_json() -> None:
    """What a run stores is what it ran with."""
    config = OteConfig(instrument_id=XRP, bucket_usd=25_000, structure="internal", entry_ttl_secs=900.0)
    again = OteConfig.parse(config.json())
    assert again == config
    assert again.bucket_usd == Decimal(25_000)


def test_settings_reach_the_parts_they_are_for() -> None:
    """Each value is unlike its default, so a forgotten one shows."""
    config = OteConfig(
        instrument_id=XRP,
        side="long",
        retracement_min=0.6,
        retracement_max=0.8,
        sweet_spot=0.7,
        range_expiry_buckets=77,
        opposite_break_ends_zone=False,
        stop_buffer_pct=0.2,
        target="extension_1.27",
        min_reward_risk=1.5,
        risk_per_trade_pct=0.3,
        max_notional_pct=40.0,
        reprice_min_ticks=3,
        reprice_min_leg_pct=6.0,
        entry_ttl_secs=11.0,
        post_only_reject="drop",
        stop_limit_offset_pct=0.4,
        exit_market_after_secs=7.0,
    )
    buckets, structure = perception(config, Decimal("0.0001"), Decimal("0.1"))
    assert (buckets.bucket_usd, buckets.lot_size) == (10_000, Decimal("0.1"))
    assert (structure.ote_low, structure.ote_sweet, structure.ote_high) == (0.6, 0.7, 0.8)
    assert (structure.range_expiry, structure.range_opposed, structure.tick_size) == (77, False, 0.0001)
    entry, exits = entry_rules(config), exit_rules(config)
    for rules in (entry, exits):
        for name in type(rules).__slots__:
            if name in OteConfig.__struct_fields__:
                assert getattr(rules, name) == getattr(config, name), name


def test_policies_are_loaded_by_path() -> None:
    """A wrong path or a class that is no policy is a wrong setting, said in one line."""
    assert isinstance(load_policy("strategies.dynamic_cancel:KeepPolicy"), KeepPolicy)
    with pytest.raises(ValueError, match="cannot be imported as module:Class"):
        load_policy("strategies.dynamic_cancel:Missing")
    with pytest.raises(ValueError, match="has no method decide"):
        load_policy("decimal:Decimal")
