"""Tables of recorded signals whose truth is known: with a planted skill, and without any."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.signal_features import MEASURED, schema_hash

MINUTE_NS = 60_000_000_000
START_NS = 20_000 * 86_400_000_000_000
COINS = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE", "SOLUSDT-PERP.BINANCE")


def signals(count: int = 900, strength: float = 1.6, seed: int = 0) -> list[dict[str, Any]]:
    """Make signals whose outcome follows `atr_percentile` as strongly as wanted; a tenth never fills."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        measured = {name: float(generator.normal()) for name in MEASURED}
        chance = 1 / (1 + np.exp(-(strength * measured["atr_percentile"] - 0.2)))
        won, filled = generator.random() < chance, generator.random() > 0.1
        decided_ns = START_NS + number * 180 * MINUTE_NS
        is_long = number % 2 == 0
        rows.append(
            {
                "signal_id": f"s{number}",
                "instrument_id": COINS[number % len(COINS)],
                "timeframe": "5m",
                "side": "long" if is_long else "short",
                "schema_hash": schema_hash(),
                "known_ns": decided_ns - MINUTE_NS,
                "decided_ns": decided_ns,
                "closed_ns": decided_ns + int(generator.integers(5, 25)) * MINUTE_NS,
                "entry": 100.0,
                "stop": 99.0 if is_long else 101.0,
                "target": 101.5 if is_long else 98.5,
                "entry_fee": 0.0002,
                "stop_fee": 0.0005,
                "target_fee": 0.0002,
                "net_r": (1.46 if won else -1.07) if filled else None,
                **measured,
            }
        )
    return rows


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write Parquet."""
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
