"""The synthetic tape: same bytes for a seed, and the features of a real one."""

from pathlib import Path

import numpy as np
import pytest

from runtime import sample
from runtime.catalog import Catalog, TradeColumns
from runtime.errors import ConfigurationError
from runtime.importer import ImportRequest, import_files
from runtime.sample import SYMBOLS, SampleRequest, columns_sha256, make_sample, tape_of

DAY_NS = 86_400_000_000_000


@pytest.fixture(scope="module", params=["toxic", "none"])
def tapes(request: pytest.FixtureRequest) -> dict[str, TradeColumns]:
    """Make the default tapes of both symbols."""
    return {symbol: tape_of(SampleRequest(signature=request.param), symbol) for symbol in SYMBOLS}


def test_the_same_seed_makes_the_same_bytes() -> None:
    """Two runs agree in every column; another seed, symbol or signature does not."""
    requests = [SampleRequest(days=1), SampleRequest(days=1, seed=2), SampleRequest(days=1, signature="none")]
    first = [columns_sha256(tape_of(request, symbol)) for request in requests for symbol in SYMBOLS]
    again = [columns_sha256(tape_of(request, symbol)) for request in requests for symbol in SYMBOLS]
    assert first == again
    assert len(set(first)) == len(first)


def test_the_tape_of_the_default_seed_never_changes() -> None:
    """The digest was written down once: it must come out on every machine and after every edit."""
    assert columns_sha256(tape_of(SampleRequest(), "BTCUSDT")) == GOLDEN


def test_size_and_span(tapes: dict[str, TradeColumns]) -> None:
    """Two symbols, two whole days, more than half a million trades, ids without gaps."""
    assert len(tapes) == 2
    assert sum(map(len, tapes.values())) >= 500_000
    for tape in tapes.values():
        assert (np.diff(tape.trade_id) == 1).all()
        assert (np.diff(tape.ts_ns) >= 0).all()
        assert np.unique(tape.ts_ns // DAY_NS).size == 2
        assert min(tape.price_ticks.min(), tape.size_lots.min()) >= 1


def test_aggressors_persist(tapes: dict[str, TradeColumns]) -> None:
    """The sign of a trade tells that of the next."""
    for tape in tapes.values():
        sign = np.where(tape.is_buyer, 1.0, -1.0)
        assert np.corrcoef(sign[1:], sign[:-1])[0, 1] >= 0.2


def test_most_trades_share_their_time(tapes: dict[str, TradeColumns]) -> None:
    """A market order hits several resting ones at once."""
    for tape in tapes.values():
        assert (np.diff(tape.ts_ns) == 0).mean() >= 0.5


def test_arrivals_are_clustered(tapes: dict[str, TradeColumns]) -> None:
    """Short waits follow short waits, and waits vary more than those of a Poisson process."""
    for tape in tapes.values():
        waits = np.diff(np.unique(tape.ts_ns)).astype(float)
        is_short = waits < np.median(waits)
        assert waits.std() / waits.mean() > 1.5
        assert np.corrcoef(is_short[1:], is_short[:-1])[0, 1] > 0.05


def test_whales_print_several_buckets(tapes: dict[str, TradeColumns]) -> None:
    """Some trades are worth many times the default bucket of 10,000 USD, most far less."""
    for symbol, tape in tapes.items():
        _, tick_size, lot_size = SYMBOLS[symbol]
        usd = tape.price_ticks * float(tick_size) * tape.size_lots * float(lot_size)
        assert (usd > 30_000).sum() > 50
        assert np.median(usd) < 3_000


def test_prices_bounce_between_two_sides(tapes: dict[str, TradeColumns]) -> None:
    """Buyers pay more than sellers receive: price changes across sides revert."""
    for tape in tapes.values():
        turns = np.flatnonzero(np.diff(tape.is_buyer.astype(int)) != 0)
        change = (tape.price_ticks[turns + 1] - tape.price_ticks[turns]) * np.where(
            tape.is_buyer[turns + 1], 1, -1
        )
        assert np.median(change) > 0


def test_sample_is_labelled_and_repeatable(tmp_path: Path) -> None:
    """The manifest says synthetic; making it again changes nothing; another seed is refused."""
    request = SampleRequest(days=1)
    report = make_sample(request, tmp_path)
    assert report["synthetic"] is True
    assert "no market ever printed" in report["note"]
    manifest = (tmp_path / "manifest.json").read_bytes()
    for entry in Catalog(tmp_path).manifest.series.values():
        assert entry.synthetic
        assert "seed=1 days=1 signature=toxic" in entry.note
    assert make_sample(request, tmp_path)["columns_sha256"] == report["columns_sha256"]
    assert (tmp_path / "manifest.json").read_bytes() == manifest
    with pytest.raises(ConfigurationError, match="give the sample its own --catalog"):
        make_sample(SampleRequest(seed=2, days=1), tmp_path)


@pytest.mark.parametrize(("request_", "message"), [
    (SampleRequest(seed=-1), "--seed -1: must be 0 or more"),
    (SampleRequest(days=0), "--days 0: must be 1 to 60"),
])  # fmt: skip
def test_wrong_arguments_are_refused(tmp_path: Path, request_: SampleRequest, message: str) -> None:
    """Nothing is written."""
    with pytest.raises(ConfigurationError, match=message):
        make_sample(request_, tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


def test_real_trades_stay_out_of_the_synthetic_series(tmp_path: Path) -> None:
    """An import into the sample's catalog would mix a market with a random generator, and the reverse too."""
    make_sample(SampleRequest(days=1), tmp_path / "made")
    path = tmp_path / "real.csv"
    path.write_text("5,60000.01,0.5,1,1773792000000000,True,True\n")
    ask = ImportRequest((path,), "binance", "spot", "BTCUSDT", "trades")
    before = (tmp_path / "made" / "manifest.json").read_bytes()
    with pytest.raises(ConfigurationError, match=r"BTCUSDT\.BINANCE .*synthetic.*use another --catalog"):
        import_files(ask, tmp_path / "made")
    assert (tmp_path / "made" / "manifest.json").read_bytes() == before
    import_files(ask, tmp_path / "real")
    with pytest.raises(ConfigurationError, match="give the sample its own --catalog"):
        make_sample(SampleRequest(days=1), tmp_path / "real")


def test_a_sample_killed_between_its_symbols_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a sample is marked as such until the same command has completed it."""
    request = SampleRequest(days=1)
    whole = sample.tape_of

    def killed(asked: SampleRequest, symbol: str) -> TradeColumns:
        """Stop before the second symbol."""
        if symbol == "ETHUSDT":
            raise KeyboardInterrupt
        return whole(asked, symbol)

    monkeypatch.setattr(sample, "tape_of", killed)
    with pytest.raises(KeyboardInterrupt):
        make_sample(request, tmp_path)
    assert len(Catalog(tmp_path).series()) == 1
    assert (tmp_path / sample.UNFINISHED).exists()
    monkeypatch.undo()
    make_sample(request, tmp_path)
    assert [row["rows"] for row in Catalog(tmp_path).series()] == [160_000, 160_000]
    assert not (tmp_path / sample.UNFINISHED).exists()


GOLDEN = "6051f6ecb333ded9381f0ee2be18ceb577b5049202972e4efc1d28f6b2ead53c"
