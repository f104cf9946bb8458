"""What a dataset says about its origin, in the form of the passport.

Read from `Dataset.meta`: `streams` (by Nautilus id: `venue`, `stream`, `bucket_usd`, `tick_size`, `lot_size`,
`synthetic`, `vpin_window`, `parameters`, and `files` with `name`, `rows`, `first_id`, `last_id`,
`missing_ids`, `sha256`), `strategy` and `strategy_version`,
`fills` (assumptions of the ungated run, with `fees` by id), and `latency_ms`. Only the first three of
`streams` must exist.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.dataset import Dataset, DatasetError
from ml.model_fit import decimals_of
from ml.passport import DataFile, DataManifest, DriftBins, Kind, LabelRule, SymbolScope

DECILES = np.arange(0.1, 0.95, 0.1)
BPS = Decimal(10_000)


def kind_of(data: Dataset) -> Kind:
    """Return what the rows are decisions about.

    Raises
    ------
    DatasetError
        For a kind that this program does not know.
    """
    kind: Kind = _convert(data.meta.get("kind", "cancel"), Kind, "kind")
    return kind


def symbol_scopes(meta: Mapping[str, Any]) -> dict[str, SymbolScope]:
    """Return the scope per Nautilus instrument id.

    Raises
    ------
    DatasetError
        When venue, stream or bucket size are not recorded: a model of unknown scope fits nothing.
    """
    streams = meta.get("streams")
    if not streams:
        raise DatasetError("the dataset does not say which streams it is from: make it again")
    fees = meta.get("fills", {}).get("fees", {})
    return {str(name): _scope(str(name), one, fees.get(name, {})) for name, one in streams.items()}


def _scope(name: str, stream: Mapping[str, Any], fees: Mapping[str, Any]) -> SymbolScope:
    known = ("venue", "stream", "bucket_usd", "vpin_window", "timeframe", "parameters")
    fields = {key: stream[key] for key in known if key in stream}
    fields |= {f"{key}_fee_bps": float(Decimal(fee) * BPS) for key, fee in fees.items()}
    for key, decimals in (("tick_size", "price_decimals"), ("lot_size", "size_decimals")):
        if key in stream:
            fields[decimals] = decimals_of(Decimal(str(stream[key])))
    scope: SymbolScope = _convert(fields, SymbolScope, f"stream of {name}")
    return scope


def data_manifest(data: Dataset, digest: str) -> DataManifest:
    """Return files, gaps and span; the span is that of the rows, first decision to last label."""
    streams = data.meta.get("streams", {}).values()
    files = [one for stream in streams for one in stream.get("files", ())]
    known = DataFile.__struct_fields__
    return DataManifest(
        files=tuple(
            _convert({key: value for key, value in one.items() if key in known}, DataFile, "files")
            for one in files
        ),
        start_ns=int(data.t0_ns.min()),
        end_ns=int(data.t1_ns.max()),
        gaps=sum(int(one.get("missing_ids") or 0) for one in files),
        dataset_sha256=digest,
        synthetic=any(bool(stream.get("synthetic")) for stream in streams),
    )


def label_rule(meta: Mapping[str, Any]) -> LabelRule:
    """Return how outcomes were decided, as far as the dataset says; of several fees the largest."""
    fills = meta.get("fills", {})
    fees = fills.get("fees", {}).values()
    words = ("liquidity_consumption", "queue_position", "slippage_ticks", "slippage_bps")
    latency = meta.get("latency_ms", fills.get("latency_ms"))
    return LabelRule(
        fill_rule=", ".join(f"{word} {fills[word]}" for word in words if word in fills),
        exit_rule="exits that the strategy recorded"
        if meta.get("kind") == "signal"
        else "exits of the ungated run, by the engine",
        latency_ms=None if latency is None else float(latency),
        maker_fee_bps=max((float(Decimal(one["maker"]) * BPS) for one in fees), default=None),
        taker_fee_bps=max((float(Decimal(one["taker"]) * BPS) for one in fees), default=None),
    )


def drift_bins(values: NDArray[np.float64]) -> DriftBins:
    """Return deciles of the finite values, shape (n,), and how often there was none.

    Equal deciles are one edge, so a feature of few values gets few bins.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return DriftBins(edges=(), freq=(1.0,), missing=1.0)
    edges = np.unique(np.quantile(finite, DECILES))
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return DriftBins(
        edges=tuple(float(edge) for edge in edges),
        freq=tuple(float(count) / len(finite) for count in counts),
        missing=1.0 - len(finite) / len(values),
        low=float(finite.min()),
        high=float(finite.max()),
    )


def _convert(fields: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(fields, kind, strict=False)  # numbers of the sidecar may be text
    except msgspec.ValidationError as error:
        raise DatasetError(f"{what} in the dataset: {error}; make it again") from error
