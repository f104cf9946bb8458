"""Archives in Binance's spot format of any size, made from the recorded XRPUSDT trades for the benchmarks."""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
DECIMALS = 8  # of every price and size in Binance's spot archives
BLOCK = 1 << 18
DAY_NS = 86_400_000_000_000


def recorded() -> pa.Table:
    """Return the recorded trades, in the order of their ids; exits with a sentence without them."""
    paths = sorted(SHARED.glob("trades/binance-spot_XRPUSDT_2026-03-*.parquet"))
    if not paths:
        raise SystemExit(f"no recorded XRPUSDT trades in {SHARED / 'trades'}: set SHARED_DATA")
    return pa.concat_tables([pq.read_table(path) for path in paths]).sort_by("trade_id").combine_chunks()


def decimal_text(units: NDArray[np.int64], decimals: int) -> pa.Array:
    """Write integers as decimals: 15225 with 4 decimals is ``1.5225``."""
    words = np.zeros((len(units), 2), dtype="<i8")
    words[:, 0] = units
    return pa.Array.from_buffers(pa.decimal128(38, decimals), len(units), [None, pa.py_buffer(words)]).cast(
        pa.string()
    )


def blocks(rows: int) -> Iterator[pa.Table]:
    """Yield `rows` rows in blocks; the recording starts again, later and with higher ids, when it ends."""
    table = recorded()
    ids, ts_ns = table["trade_id"].to_numpy(), table["ts_ns"].to_numpy()
    price = np.rint(table["price"].to_numpy() * 1e4).astype(np.int64)
    qty = np.rint(table["qty"].to_numpy() * 10).astype(np.int64)
    is_maker = table["buyer_maker"].to_numpy()
    span_ns = (int(ts_ns[-1] - ts_ns[0]) // DAY_NS + 1) * DAY_NS
    done = lap = 0
    while done < rows:
        for low in range(0, min(len(ids), rows - done), BLOCK):
            part = slice(low, min(low + BLOCK, len(ids), low + rows - done))
            flags = pc.if_else(pa.array(is_maker[part]), "True", "False")
            yield pa.table(
                {
                    "id": pa.array(ids[part] + lap * (int(ids[-1] - ids[0]) + 1)),
                    "price": decimal_text(price[part] * 10**4, DECIMALS),
                    "qty": decimal_text(qty[part] * 10**7, DECIMALS),
                    "quote": decimal_text(price[part] * qty[part] * 10**3, DECIMALS),
                    "time": pa.array((ts_ns[part] + lap * span_ns) // 1_000),
                    "is_buyer_maker": flags,
                    "is_best_match": pa.array(["True"] * len(flags)),
                }
            )
            done += part.stop - part.start
        lap += 1


def write_zip(path: Path, rows: int, level: int = 6) -> None:
    """Write an archive of `rows` trades, as ``XRPUSDT-trades-2026-03.zip`` comes from the venue."""
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
        archive.open(f"{path.stem}.csv", "w", force_zip64=True) as member,
    ):
        for table in blocks(rows):
            text = io.BytesIO()
            pa_csv.write_csv(table, text, options)
            member.write(text.getbuffer())
