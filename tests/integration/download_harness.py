"""What the tests of downloads share: settings that lead to the local server, commands, and the results."""

import hashlib
import json
from pathlib import Path
from typing import Any

import download_data
from runtime.catalog import Catalog
from tests.market_server import MarketServer

# Of a server with all files of 2024-12-30..2025-02-03: two days, a month, three days.
WHOLE = ("--start", "2024-12-30", "--end", "2025-02-04")


def write_config(server: MarketServer, folder: Path, **settings: Any) -> Path:
    """Write a settings file."""
    download = {"retries": 2, "backoff_secs": 0.01, "timeout_secs": 5, "workers": 2, **settings}
    folder.mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(
        json.dumps({"hosts": server.hosts, "download": download, "catalog": str(folder / "catalog")})
    )
    return path


def words(command: str, config: Path, *more: str, **options: str) -> list[str]:
    """Write a command line for XRPUSDT of Binance spot over all days."""
    chosen = {"venue": "binance", "market": "spot", "symbol": "XRPUSDT"} | options
    span = () if "--start" in more else WHOLE
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    return [command, *flags, *span, *more, f"--config={config}"]


def run(command: str, config: Path, *more: str, **options: str) -> int:
    """Run it in this process."""
    return download_data.main(words(command, config, *more, **options))


def rows_of(config: Path, instrument: str = "XRPUSDT.BINANCE") -> list[tuple[Any, ...]]:
    """Return all trades of an instrument."""
    trades = Catalog(config.parent / "catalog").read_trades_all(instrument)
    columns = (trades.trade_id, trades.ts_ns, trades.price_ticks, trades.size_lots, trades.is_buyer)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def digests(config: Path) -> dict[str, str]:
    """Return the SHA-256 of every Parquet file of the catalog."""
    catalog = config.parent / "catalog"
    return {
        path.relative_to(catalog).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(catalog.rglob("*.parquet"))
    }
