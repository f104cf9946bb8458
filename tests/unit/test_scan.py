"""The volatility scan: what is measured, in which order, and what is left out."""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import download_data
from indicators.average import AverageTrueRange
from runtime.arrow_schema import BarColumns
from runtime.candles import CandleStore
from runtime.catalog import Catalog
from runtime.instruments import make_instrument
from runtime.intervals import interval_nanos
from runtime.volatility import measure, rank

START = 1_767_225_600_000_000_000  # 2026-01-01
HOUR = interval_nanos("1h")


def walk(count: int, size: int, seed: int = 3, interval: str = "1h") -> BarColumns:
    """Make a random walk whose steps are up to `size` ticks."""
    rng = np.random.default_rng(seed)
    close = 20_000 + np.cumsum(rng.integers(-size, size + 1, count))
    opens_at = np.r_[20_000, close[:-1]]
    ts_open_ns = START + np.arange(count) * interval_nanos(interval)
    return BarColumns(
        ts_open_ns,
        ts_open_ns + interval_nanos(interval),
        opens_at,
        np.maximum(opens_at, close) + rng.integers(0, size + 1, count),
        np.minimum(opens_at, close) - rng.integers(0, size + 1, count),
        close,
        np.ones(count, dtype=np.int64),
    )


def store_with(folder: Path, **series: BarColumns) -> CandleStore:
    """Store hourly bars per symbol."""
    catalog = Catalog(folder, create=True)
    for symbol, bars in series.items():
        instrument = make_instrument("binance", "spot", symbol, Decimal("0.0001"), Decimal("0.1"))
        catalog.write_bars(instrument, "1h", bars)
    return CandleStore(catalog)


def test_the_true_range_is_that_of_the_indicator(tmp_path: Path) -> None:
    """Mean true range of 14 bars in % of the last close; the range and volatility by their definitions."""
    candles = store_with(tmp_path, XRPUSDT=walk(120, 30)).read("XRPUSDT.BINANCE", "1h")
    high, low, close = (candles.prices(name) for name in ("high", "low", "close"))
    atr = AverageTrueRange(14)
    last = [atr.update(*bar) for bar in zip(high.tolist(), low.tolist(), close.tolist(), strict=True)][-1]
    found = measure(candles)
    assert found.atr_pct == pytest.approx(100 * last / close[-1])
    assert found.range_pct == pytest.approx(100 * (max(high) - min(low)) / close[-1])
    returns = np.diff(np.log(close))
    assert found.realised_vol_pct == pytest.approx(100 * np.sqrt(np.mean(returns**2) * 365 * 24))
    assert (found.bars, found.last_close) == (120, close[-1])


def test_a_gap_is_no_move(tmp_path: Path) -> None:
    """The jump over missing bars is neither a return nor part of a true range."""
    bars = walk(60, 30)
    jump = BarColumns(*(getattr(bars, name).copy() for name in BarColumns.__dataclass_fields__))
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks"):
        getattr(jump, name)[50:] += 5_000
    holed = jump[np.r_[np.arange(49), np.arange(50, 60)]]
    calm = measure(store_with(tmp_path / "a", XRPUSDT=bars).read("XRPUSDT.BINANCE", "1h"))
    found = measure(store_with(tmp_path / "b", XRPUSDT=holed).read("XRPUSDT.BINANCE", "1h"))
    jumped = measure(store_with(tmp_path / "c", XRPUSDT=jump).read("XRPUSDT.BINANCE", "1h"))
    assert found.realised_vol_pct < 1.2 * calm.realised_vol_pct
    assert found.atr_pct < 1.2 * calm.atr_pct
    assert jumped.realised_vol_pct > 3 * calm.realised_vol_pct
    assert jumped.atr_pct > 3 * calm.atr_pct


def test_the_ranking_sees_nothing_after_its_time(tmp_path: Path) -> None:
    """As of a time in the past it is what it was then; the largest comes first."""
    series = {"ADAUSDT": walk(200, 10), "XRPUSDT": walk(200, 40), "ETHUSDT": walk(200, 20)}
    ids = [f"{symbol}.BINANCE" for symbol in series]
    as_of_ns = START + 120 * HOUR + HOUR // 2
    whole = rank(store_with(tmp_path / "whole", **series), ids, "1h", as_of_ns, 50)
    prefix = {symbol: bars[:120] for symbol, bars in series.items()}
    then = rank(store_with(tmp_path / "then", **prefix), ids, "1h", as_of_ns, 50)
    assert whole == then
    assert [row.instrument for row in whole.rows] == ["XRPUSDT.BINANCE", "ETHUSDT.BINANCE", "ADAUSDT.BINANCE"]
    assert {row.bars for row in whole.rows} == {50}
    assert whole.as_of_ns == START + 120 * HOUR


def test_too_few_bars_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """A symbol that was delisted, and one without klines of the timeframe."""
    store = store_with(tmp_path, XRPUSDT=walk(200, 10), ADAUSDT=walk(120, 10))
    found = rank(store, ["ADAUSDT.BINANCE", "XRPUSDT.BINANCE"], "1h", START + 200 * HOUR, 100)
    assert [row.instrument for row in found.rows] == ["XRPUSDT.BINANCE"]
    assert found.skipped == {"ADAUSDT.BINANCE": "20 of 100 bars"}
    found = rank(store, ["XRPUSDT.BINANCE"], "5m", START + 200 * HOUR, 100)
    assert found.rows == []
    assert "no 5m klines, and none to derive them from (stored: 1h)" in found.skipped["XRPUSDT.BINANCE"]
    with pytest.raises(ValueError, match="at least 15"):
        rank(store, ["XRPUSDT.BINANCE"], "1h", START + 200 * HOUR, 14)


def test_the_command_prints_a_table_or_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Top N per timeframe, also derived ones."""
    store_with(tmp_path, XRPUSDT=walk(400, 40), ADAUSDT=walk(400, 10))
    options = ["--catalog", str(tmp_path), "--timeframe=1h", "--timeframe=4h", "--bars=50", "--top=1"]
    assert download_data.main(["scan", *options, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["by"], printed["bars"]) == ("atr_pct", 50)
    assert [shown["timeframe"] for shown in printed["timeframes"]] == ["1h", "4h"]
    for shown in printed["timeframes"]:
        (row,) = shown["rows"]
        assert (row["rank"], row["instrument"], row["bars"], shown["ranked"]) == (1, "XRPUSDT.BINANCE", 50, 2)
        assert shown["as_of"] == "2026-01-17T16:00:00Z"
    assert download_data.main(["scan", *options]) == 0
    output = capsys.readouterr().out
    assert "4h as of 2026-01-17T16:00:00Z" in output
    assert output.count("XRPUSDT.BINANCE") == 2


def test_misuse_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A catalog without klines, and a window that is too short."""
    Catalog(tmp_path, create=True)
    assert download_data.main(["scan", "--catalog", str(tmp_path)]) == 2
    assert "no klines: import or download some" in capsys.readouterr().err
    assert download_data.main(["scan", "--catalog", str(tmp_path), "--bars=10"]) == 2
    assert "--bars 10: the ATR needs at least 15" in capsys.readouterr().err
